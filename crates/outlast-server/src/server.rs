//! A server's life: bind, serve, stop.
//!
//! Binding comes first and takes nothing but ports, so that a taken port is known before a data directory is touched.
//! Stopping lets every request that has been read be answered, within a deadline; the broker and the store are shut
//! down by the caller afterwards, when nothing can reach them any more.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outlast_broker::{Broker, Connection, HostPort};
use outlast_storage::Store;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::address::is_wildcard;
use crate::admission::{Admission, Place};
use crate::byte_budget::ByteBudget;
use crate::config::{ListenerConfig, ServerConfig};
use crate::connection::{self, Shared};
use crate::error::ServerError;
use crate::http::{self, HttpState};
use crate::listener;
use crate::metrics::{CloseReason, ClosedLabels, Counted, Refusal, RefusedLabels, ServerMetrics};
use crate::queue_metrics::QueueMetrics;
use crate::queue_rates::{self, QueueRates};

/// How far a server has come. It only moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Serving,
    /// No new connections and no new requests.
    Draining,
    /// Whatever is still open is closed.
    Closed,
}

impl Stage {
    /// Waits until the server has come as far as this.
    pub(crate) async fn reached(self, stage: &mut watch::Receiver<Stage>) {
        // An error means that the server is gone, which is as far as it gets.
        let _ = stage.wait_for(|now| *now >= self).await;
    }
}

/// A server whose ports are taken. Clients that connect already wait until it starts.
#[derive(Debug)]
pub struct BoundServer {
    config: ServerConfig,
    kafka: Vec<BoundListener>,
    http: Vec<TcpListener>,
}

#[derive(Debug)]
struct BoundListener {
    socket: TcpListener,
    /// None: whatever address the client has reached.
    advertise: Option<HostPort>,
}

/// One address that clients can connect to.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub address: SocketAddr,
    /// What clients that come here are told to connect to; None means the address they came to.
    pub advertised: Option<HostPort>,
}

impl BoundServer {
    pub async fn bind(config: ServerConfig) -> Result<Self, ServerError> {
        let mut kafka: Vec<BoundListener> = Vec::new();
        let mut http: Vec<TcpListener> = Vec::new();
        for wanted in &config.listeners {
            let ours = kafka.iter().map(|listener| &listener.socket);
            for socket in bind(&wanted.listen, "--listen", ours.collect()).await? {
                let port = socket.local_addr().map_or(0, |address| address.port());
                kafka.push(BoundListener {
                    socket,
                    advertise: advertised(wanted, port),
                });
            }
        }
        for wanted in &config.http {
            let ours = kafka.iter().map(|listener| &listener.socket).chain(&http);
            let bound = bind(wanted, "--http-listen", ours.collect()).await?;
            http.extend(bound);
        }
        Ok(Self {
            config,
            kafka,
            http,
        })
    }

    /// Where Kafka clients can connect.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let endpoint = |listener: &BoundListener| {
            Some(Endpoint {
                address: listener.socket.local_addr().ok()?,
                advertised: listener.advertise.clone(),
            })
        };
        self.kafka.iter().filter_map(endpoint).collect()
    }

    /// Where health and metrics are served.
    pub fn http_addresses(&self) -> Vec<SocketAddr> {
        let address = |listener: &TcpListener| listener.local_addr().ok();
        self.http.iter().filter_map(address).collect()
    }

    /// Starts to serve; returns at once.
    pub fn start(self, broker: Arc<Broker>, store: Store) -> Server {
        let metrics = ServerMetrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        broker.register(&mut registry);
        store.metrics().register(&mut registry);
        let rates = QueueRates::new(Arc::clone(&broker));
        registry.register_collector(Box::new(QueueMetrics(Arc::clone(&rates))));

        let served = Arc::clone(&broker);
        let limits = self.config.limits.clone();
        let budget = ByteBudget::new(limits.request_memory_bytes.max(limits.max_request_bytes));
        let (stage, _) = watch::channel(Stage::Serving);
        let (running, finished) = mpsc::channel(1);
        let acceptor = Arc::new(Acceptor {
            admission: Admission::new(&limits),
            shared: Arc::new(Shared {
                broker: Arc::clone(&broker),
                limits,
                budget: budget.clone(),
                metrics: metrics.clone(),
            }),
            stage: stage.clone(),
            next_connection: AtomicU64::new(1),
        });
        for listener in self.kafka {
            let accept = Arc::clone(&acceptor).accept(listener, running.clone());
            tokio::spawn(accept);
        }
        tokio::spawn(queue_rates::run(Arc::clone(&rates), stage.subscribe()));
        let routes = http::router(HttpState {
            registry,
            store,
            stage: stage.subscribe(),
            budget,
            metrics: metrics.clone(),
            broker,
            rates,
            max_body_bytes: self.config.limits.max_request_bytes,
        });
        let (http_running, http_finished) = mpsc::channel(1);
        let http_places = Arc::new(Semaphore::new(self.config.limits.max_http_connections));
        for listener in self.http {
            let (routes, running) = (routes.clone(), http_running.clone());
            let places = Arc::clone(&http_places);
            tokio::spawn(http::serve(
                listener,
                routes,
                stage.subscribe(),
                running,
                places,
            ));
        }
        Server {
            stage,
            finished,
            http_finished,
            metrics,
            broker: served,
            stop_deadline: self.config.stop_deadline,
        }
    }
}

/// `ours` are the addresses that this process has bound already, to tell its own from another's.
async fn bind(
    wanted: &HostPort,
    flag: &'static str,
    ours: Vec<&TcpListener>,
) -> Result<Vec<TcpListener>, ServerError> {
    let is_ours = |address: &HostPort| {
        let taken = ours
            .iter()
            .filter_map(|listener| listener.local_addr().ok());
        let mut taken = taken.map(|taken| HostPort::new(taken.ip().to_string(), taken.port()));
        taken.any(|taken| taken == *address)
    };
    listener::bind(wanted, flag)
        .await
        .map_err(|error| match error {
            ServerError::AddressInUse { address, .. } if is_ours(&address) => {
                ServerError::ListenedTwice { address }
            }
            other => other,
        })
}

/// What clients of a listener are told; None means the address that they have reached.
fn advertised(listener: &ListenerConfig, port: u16) -> Option<HostPort> {
    match &listener.advertise {
        Some(told) if told.port == 0 => Some(HostPort::new(told.host.clone(), port)),
        Some(told) => Some(told.clone()),
        None if is_wildcard(&listener.listen) => None,
        None => Some(HostPort::new(listener.listen.host.clone(), port)),
    }
}

/// A server that serves. Dropping it leaves it running until the runtime ends; [`Server::stop`] is the way to end it.
pub struct Server {
    stage: watch::Sender<Stage>,
    // Every connection holds a sender; the channel ends with the last of them.
    finished: mpsc::Receiver<Infallible>,
    /// The same for HTTP, which tells that the server stops until it has stopped.
    http_finished: mpsc::Receiver<Infallible>,
    metrics: ServerMetrics,
    broker: Arc<Broker>,
    stop_deadline: Duration,
}

/// How long HTTP requests in flight may still take when everything else has ended.
const HTTP_STOP_DEADLINE: Duration = Duration::from_secs(2);

impl Server {
    /// Stops accepting, lets requests in flight be answered (those that wait at once), and closes what is left at the deadline. Returns how many
    /// connections had to be closed with requests unanswered.
    pub async fn stop(mut self) -> usize {
        self.stage.send_replace(Stage::Draining);
        // In this order: whoever is answered now could ask again.
        self.broker.answer_waiting();
        let drained = timeout(self.stop_deadline, self.finished.recv()).await;
        let left = match drained {
            Ok(_) => 0,
            Err(_) => self.metrics.open_connections.get(),
        };
        self.stage.send_replace(Stage::Closed);
        self.finished.recv().await;
        // Nobody is promised an answer that didn't come by now.
        let _ = timeout(HTTP_STOP_DEADLINE, self.http_finished.recv()).await;
        usize::try_from(left).unwrap_or_default()
    }
}

struct Acceptor {
    admission: Arc<Admission>,
    shared: Arc<Shared>,
    stage: watch::Sender<Stage>,
    next_connection: AtomicU64,
}

impl Acceptor {
    async fn accept(self: Arc<Self>, listener: BoundListener, running: mpsc::Sender<Infallible>) {
        let mut stage = self.stage.subscribe();
        loop {
            let accepted = tokio::select! {
                accepted = listener.socket.accept() => accepted,
                _ = Stage::Draining.reached(&mut stage) => return,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Mostly a lack of file descriptors: the next try would fail at once, again and again.
                    warn!(%error, "can't accept a connection");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            match self.admission.enter(peer.ip()) {
                Ok(place) => self.open(stream, peer, &listener, place, running.clone()),
                Err(reason) => self.refuse(peer, reason),
            }
        }
    }

    fn refuse(&self, peer: SocketAddr, reason: Refusal) {
        let labels = RefusedLabels { reason };
        self.shared.metrics.refused.get_or_create(&labels).inc();
        let key = match reason {
            Refusal::MaxConnections => "max.connections",
            Refusal::MaxConnectionsPerIp => "max.connections.per.ip",
        };
        debug!(%peer, "connection refused: {key} is reached");
    }

    fn open(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        listener: &BoundListener,
        place: Place,
        running: mpsc::Sender<Infallible>,
    ) {
        let reached = match prepare(&stream) {
            Ok(reached) => reached,
            Err(error) => {
                debug!(%peer, %error, "connection lost");
                return;
            }
        };
        let metrics = &self.shared.metrics;
        metrics.accepted.inc();
        let open = Counted::new(&metrics.open_connections);
        let advertised = listener.advertise.clone().unwrap_or_else(|| {
            HostPort::new(reached.ip().to_canonical().to_string(), reached.port())
        });
        let connection = Arc::new(Connection::new(
            self.next_connection.fetch_add(1, Ordering::Relaxed),
            peer,
            advertised,
        ));
        let shared = Arc::clone(&self.shared);
        let stage = self.stage.subscribe();
        let mut closed = self.stage.subscribe();
        tokio::spawn(async move {
            let (source, sink) = stream.into_split();
            let ending = Arc::clone(&connection);
            let reason = tokio::select! {
                reason = connection::serve(Arc::clone(&shared), connection, source, sink, stage) => reason,
                _ = Stage::Closed.reached(&mut closed) => CloseReason::Stop,
            };
            debug!(%peer, ?reason, "connection closed");
            // When the server stops, workers keep what they have: they come back to it.
            if reason != CloseReason::Stop {
                shared.broker.connection_closed(&ending);
            }
            shared
                .metrics
                .closed
                .get_or_create(&ClosedLabels { reason })
                .inc();
            drop((place, open, running));
        });
    }
}

/// Sets a socket up; says which of our addresses the client has reached.
fn prepare(stream: &TcpStream) -> std::io::Result<SocketAddr> {
    // Answers are written whole; waiting for more only adds latency.
    stream.set_nodelay(true)?;
    // A peer that vanished without a word is noticed by the system.
    socket2::SockRef::from(stream).set_keepalive(true)?;
    stream.local_addr()
}
