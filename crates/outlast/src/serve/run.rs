//! The order of a start and of a stop.
//!
//! Start: settings, ports, data directory, broker, clients. Ports come first because a taken one is the commonest
//! mistake, and nothing has been touched then. Stop: no new clients, requests in flight answered, broker, store. A
//! failed disk skips all that: nothing may be acknowledged any more.

use std::io::{IsTerminal, Write as _};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use outlast_broker::Broker;
use outlast_server::{BoundServer, Server};
use outlast_storage::{DiskIo, RecoveryReport, StorageError, Store, SystemClock};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use super::args::ServeArgs;
use super::report::StartReport;
use crate::config::Settings;

/// Files that the process needs beside its connections: the log's own, and some to spare.
const FILES_BESIDE_CONNECTIONS: u64 = 512;

pub fn run(args: ServeArgs) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut settings = Settings::load(&args.sources()?)?;
    log_to_stderr(&settings.logging);
    allow_open_files(&mut settings);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("outlast")
        .build()
        .context("can't start the runtime")?;
    let result = runtime.block_on(serve(settings, began));
    // What is left after an orderly stop is nothing worth waiting for; after a failure nothing may go on.
    runtime.shutdown_background();
    result
}

async fn serve(settings: Settings, began: Instant) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let Started {
        server,
        broker,
        store,
    } = tokio::select! {
        started = start(settings, began) => started?,
        signal = signals.next() => return Err(anyhow!("stopped by {signal} before the start was complete")),
    };
    let mut failure = store.failure();
    let failed = async {
        failure
            .wait_for(Option::is_some)
            .await
            .map(|failure| failure.clone())
    };
    tokio::select! {
        signal = signals.next() => info!(signal, "stopping"),
        failure = failed => return Err(storage_failed(failure.ok().flatten())),
    }
    tokio::select! {
        result = stop(server, broker, store.clone()) => result,
        _ = signals.next() => Err(anyhow!("stopped at once by a second signal, without waiting for requests in flight")),
    }
}

struct Started {
    server: Server,
    broker: Arc<Broker>,
    store: Store,
}

async fn start(settings: Settings, began: Instant) -> anyhow::Result<Started> {
    let bound = BoundServer::bind(settings.server.clone()).await?;
    let (store, recovery) = open_store(&settings).await?;
    let broker = Broker::open(
        settings.broker.clone(),
        store.clone(),
        Arc::new(SystemClock),
    )
    .await?;
    let (kafka, http) = (bound.endpoints(), bound.http_addresses());
    let server = bound.start(Arc::clone(&broker), store.clone());

    let data = std::fs::canonicalize(&settings.data).unwrap_or_else(|_| settings.data.clone());
    let report = StartReport {
        kafka: &kafka,
        http: &http,
        data: &data,
        config_file: settings.file.as_deref(),
        recovery: &recovery,
        took: began.elapsed(),
    };
    // Whoever closed our standard output still wants a broker.
    let _ = write!(std::io::stdout(), "{report}");
    Ok(Started {
        server,
        broker,
        store,
    })
}

async fn open_store(settings: &Settings) -> anyhow::Result<(Store, RecoveryReport)> {
    let (data, options) = (settings.data.clone(), settings.store.clone());
    let open = move || Store::open(Arc::new(DiskIo), Arc::new(SystemClock), &data, options);
    Ok(tokio::task::spawn_blocking(open).await??)
}

async fn stop(server: Server, broker: Arc<Broker>, store: Store) -> anyhow::Result<()> {
    let unanswered = server.stop().await;
    if unanswered > 0 {
        warn!(
            connections = unanswered,
            "closed connections with requests in flight: shutdown.timeout.ms is over"
        );
    }
    broker.shutdown().await;
    tokio::task::spawn_blocking(move || store.shutdown())
        .await?
        .context("the data directory could not be closed cleanly; nothing acknowledged is lost, the next start recovers it")?;
    info!("stopped");
    Ok(())
}

fn storage_failed(failure: Option<Arc<StorageError>>) -> anyhow::Error {
    let cause = failure.map_or_else(
        || "the store ended".to_owned(),
        |failure| failure.to_string(),
    );
    anyhow!(
        "the storage has failed and nothing is acknowledged any more: {cause}. What was acknowledged is on disk; check \
         the disk, then start again"
    )
}

/// SIGTERM and SIGINT: both ask for an orderly stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("can't wait for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("can't wait for SIGINT")?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

fn log_to_stderr(filter: &str) {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// Raises the limit on open files as far as it goes, and accepts no more connections than that allows: running out of
/// files must never reach the log.
fn allow_open_files(settings: &mut Settings) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            warn!(%error, "can't raise the limit on open files");
            limit = getrlimit(Resource::Nofile);
        }
    }
    let Some(files) = limit.current else { return };
    let count = |files: u64| usize::try_from(files).unwrap_or(usize::MAX);
    let limits = &mut settings.server.limits;
    limits.max_http_connections = limits.max_http_connections.min(count(files / 8));
    let http = limits.max_http_connections as u64;
    let room = count(
        files
            .saturating_sub(FILES_BESIDE_CONNECTIONS + http)
            .max(files / 2),
    );
    let max = &mut limits.max_connections;
    if *max > room {
        warn!(
            open_files = files,
            "max.connections is lowered from {max} to {room}: the system allows no more open files"
        );
        *max = room;
    }
}
