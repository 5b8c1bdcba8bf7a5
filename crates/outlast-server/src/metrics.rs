//! What the server itself counts: connections and bytes on the wire. Requests are counted where they are understood,
//! in the broker.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, Default)]
pub(crate) struct ServerMetrics {
    pub(crate) open_connections: Gauge,
    pub(crate) accepted: Counter,
    pub(crate) refused: Family<RefusedLabels, Counter>,
    pub(crate) closed: Family<ClosedLabels, Counter>,
    pub(crate) received: Counter,
    pub(crate) sent: Counter,
    pub(crate) requests_in_flight: Gauge,
    pub(crate) request_memory: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RefusedLabels {
    pub(crate) reason: Refusal,
}

/// Why a connection was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Refusal {
    MaxConnections,
    MaxConnectionsPerIp,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ClosedLabels {
    pub(crate) reason: CloseReason,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum CloseReason {
    /// The client closed it.
    Client,
    /// The client sent something that is no request.
    BadRequest,
    Idle,
    /// A request took too long to arrive.
    SlowRequest,
    /// The client did not take its answers.
    SlowReader,
    /// Reading or writing failed.
    Network,
    /// The server stops.
    Stop,
}

impl ServerMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("outlast_server");
        registry.register(
            "open_connections",
            "Kafka connections that are open now",
            self.open_connections.clone(),
        );
        registry.register(
            "connections_accepted",
            "Kafka connections that were let in",
            self.accepted.clone(),
        );
        registry.register(
            "connections_refused",
            "Kafka connections that were closed at once because of a limit",
            self.refused.clone(),
        );
        registry.register(
            "connections_closed",
            "Kafka connections that have ended, by reason",
            self.closed.clone(),
        );
        registry.register_with_unit(
            "received",
            "Bytes of request frames read from clients",
            Unit::Bytes,
            self.received.clone(),
        );
        registry.register_with_unit(
            "sent",
            "Bytes of answers that sockets have taken",
            Unit::Bytes,
            self.sent.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests that are being worked on",
            self.requests_in_flight.clone(),
        );
        registry.register_with_unit(
            "request_memory",
            "Bytes of requests that are held in memory; queued.max.request.bytes is the most there may be",
            Unit::Bytes,
            self.request_memory.clone(),
        );
    }
}

/// One of the things that a gauge counts, until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Counted {
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
