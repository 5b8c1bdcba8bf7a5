//! HTTP: `/healthz`, `/readyz`, `/metrics` and the queue API under `/v1`, which `/openapi.json` describes.
//!
//! Health means that the process can do its work at all, readiness that clients should be sent here; a server that is
//! draining is healthy but not ready. Metrics are Prometheus text. The queue API is a file an endpoint; `routes` has the
//! table of all.

mod api;
mod dead_letters;
mod in_process;
mod manage;
mod message;
mod openapi;
mod peek;
mod problem;
mod publish;
mod receipt;
mod receive;
mod redrive;
mod request;
mod routes;
mod settings;
mod settle;
mod stats;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use outlast_broker::Broker;
use outlast_storage::Store;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::byte_budget::ByteBudget;
use crate::metrics::ServerMetrics;
use crate::queue_rates::QueueRates;
use crate::server::Stage;
pub(crate) use api::{Api, OWN_GROUPS};
use in_process::InProcess;
pub(crate) use problem::Problem;
use routes::Reached;

/// A client must have sent its request's head by then, and an idle connection ends: later than those of the usual clients
/// and proxies, which would otherwise find out with a request that they can't repeat.
const HEAD_DEADLINE: Duration = Duration::from_secs(75);

const PROMETHEUS_TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(crate) struct HttpState {
    pub(crate) registry: Registry,
    pub(crate) store: Store,
    pub(crate) stage: watch::Receiver<Stage>,
    pub(crate) budget: ByteBudget,
    pub(crate) metrics: ServerMetrics,
    pub(crate) broker: Arc<Broker>,
    pub(crate) rates: Arc<QueueRates>,
    pub(crate) max_body_bytes: usize,
}

/// Everything that the HTTP port serves.
pub(crate) fn router(state: HttpState) -> Router {
    let api = Arc::new(Api {
        broker: Arc::clone(&state.broker),
        kafka: InProcess::new(Arc::clone(&state.broker)),
        budget: state.budget.clone(),
        rates: Arc::clone(&state.rates),
        stage: state.stage.clone(),
        max_body_bytes: state.max_body_bytes,
        turn: AtomicUsize::new(0),
    });
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(state))
        .merge(routes::router(api))
        .fallback(routes::unknown_path)
}

/// Serves one listener until the server is closed. `places` is how many connections all listeners together may have.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Router,
    mut stage: watch::Receiver<Stage>,
    running: mpsc::Sender<Infallible>,
    places: Arc<Semaphore>,
) {
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = Stage::Closed.reached(&mut stage) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let (routes, stage, running) = (routes.clone(), stage.clone(), running.clone());
                tokio::spawn(async move {
                    connection(stream, routes, stage).await;
                    drop((place, running));
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
    let reached = stream.local_addr().map(Reached).ok();
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(reached) = reached {
            request.extensions_mut().insert(reached);
        }
        routes.call(request)
    });
    // A message goes out in one piece with its head; waiting for more only adds latency.
    let _ = stream.set_nodelay(true);
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .serve_connection(TokioIo::new(stream), service);
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
