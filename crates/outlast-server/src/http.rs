//! HTTP: `/healthz`, `/readyz` and `/metrics`.
//!
//! Health means that the process can do its work at all, readiness that clients should be sent here; a server that is
//! draining is healthy but not ready. Metrics are Prometheus text.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use outlast_storage::Store;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::byte_budget::ByteBudget;
use crate::metrics::ServerMetrics;
use crate::server::Stage;

/// Scrapers and probes need few; the limit keeps HTTP from taking the brokers' file descriptors.
const MAX_CONNECTIONS: usize = 256;
/// A client must have sent its request's head by then, and an idle connection ends.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

const PROMETHEUS_TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(crate) struct HttpState {
    pub(crate) registry: Registry,
    pub(crate) store: Store,
    pub(crate) stage: watch::Receiver<Stage>,
    pub(crate) budget: ByteBudget,
    pub(crate) metrics: ServerMetrics,
}

/// Serves one listener until the server is closed.
pub(crate) async fn serve(listener: TcpListener, state: Arc<HttpState>) {
    let mut stage = state.stage.clone();
    let routes = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(state);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = Stage::Closed.reached(&mut stage) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let (routes, stage) = (routes.clone(), stage.clone());
                tokio::spawn(async move {
                    connection(stream, routes, stage).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "can't accept an HTTP connection");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, routes: Router, mut stage: watch::Receiver<Stage>) {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    let mut serving = std::pin::pin!(serving);
    let result = tokio::select! {
        result = serving.as_mut() => result,
        _ = Stage::Closed.reached(&mut stage) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        debug!(%error, "HTTP connection lost");
    }
}

async fn healthz(State(state): State<Arc<HttpState>>) -> Response {
    match storage_failure(&state) {
        Some(failure) => (StatusCode::SERVICE_UNAVAILABLE, failure).into_response(),
        None => "ok\n".into_response(),
    }
}

async fn readyz(State(state): State<Arc<HttpState>>) -> Response {
    if let Some(failure) = storage_failure(&state) {
        return (StatusCode::SERVICE_UNAVAILABLE, failure).into_response();
    }
    if *state.stage.borrow() == Stage::Serving {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response()
    }
}

fn storage_failure(state: &HttpState) -> Option<String> {
    let failure = state.store.failure().borrow().clone();
    failure.map(|error| format!("storage failed: {error}\n"))
}

async fn metrics(State(state): State<Arc<HttpState>>) -> Response {
    let used = i64::try_from(state.budget.used()).unwrap_or(i64::MAX);
    state.metrics.request_memory.set(used);
    let mut body = String::new();
    match text::encode(&mut body, &state.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], body).into_response(),
        Err(error) => {
            warn!(%error, "can't encode the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
