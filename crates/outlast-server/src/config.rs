//! What a server needs to know, already checked: where to listen, what to advertise and every limit on connections,
//! bytes and time. Texts, defaults and bounds of the settings are the binary's business.

use std::time::Duration;

use outlast_broker::HostPort;

/// A request frame may not be larger unless configured: Kafka's `socket.request.max.bytes`.
pub const DEFAULT_MAX_REQUEST_BYTES: usize = 100 * 1024 * 1024;

#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where Kafka clients connect; at least one.
    pub listeners: Vec<ListenerConfig>,
    /// Where health and metrics are served; empty switches HTTP off.
    pub http: Vec<HostPort>,
    pub limits: Limits,
    /// How long a stopping server waits for requests in flight before it closes their connections.
    pub stop_deadline: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listeners: vec![ListenerConfig {
                listen: HostPort::new("localhost", 9092),
                advertise: None,
            }],
            http: vec![HostPort::new("localhost", 9644)],
            limits: Limits::default(),
            stop_deadline: Duration::from_secs(10),
        }
    }
}

#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// `localhost` means both loopback addresses, IPv4 and IPv6; any other name every address it resolves to.
    pub listen: HostPort,
    /// What clients are told to connect to. A port of 0 means the listener's own. None: the host that is listened
    /// on, or for a wildcard the address that the client itself has reached.
    pub advertise: Option<HostPort>,
}

/// What one client, and all of them together, may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A larger frame closes its connection.
    pub max_request_bytes: usize,
    /// Request bytes that may be held at a time, over all connections; more wait in their sockets. At least
    /// `max_request_bytes`, or the largest request could never be read.
    pub request_memory_bytes: usize,
    /// Requests of one connection that may be worked on at a time.
    pub max_requests_in_flight: usize,
    /// Answer bytes waiting for one client; a client that doesn't read gets no further request started.
    pub max_unsent_bytes: usize,
    pub max_connections: usize,
    pub max_connections_per_ip: usize,
    /// Over HTTP, where a worker that waits has one; more wait in the listeners' backlogs.
    pub max_http_connections: usize,
    /// A connection without a request, and without one being worked on, is closed after this.
    pub max_idle: Duration,
    /// A frame must arrive within this time plus one second per 64 KiB of it.
    pub frame_deadline: Duration,
    /// A client that takes no byte of a waiting answer for this long is disconnected.
    pub write_stall: Duration,
    /// How long the requests of a client that has gone are still worked on.
    pub abandon_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_request_bytes: DEFAULT_MAX_REQUEST_BYTES,
            request_memory_bytes: 256 * 1024 * 1024,
            max_requests_in_flight: 128,
            max_unsent_bytes: 1024 * 1024,
            max_connections: 10_000,
            max_connections_per_ip: i32::MAX as usize,
            max_http_connections: 2_000,
            max_idle: Duration::from_secs(600),
            frame_deadline: Duration::from_secs(30),
            write_stall: Duration::from_secs(60),
            abandon_after: Duration::from_secs(30),
        }
    }
}
