//! Listeners, connections and HTTP: everything between a socket and the broker.
//!
//! `BoundServer::bind` takes the ports, `start` serves, `Server::stop` drains. What a request means is the broker's
//! business; here are frames, their order, and the limits that keep one client from harming another. `http` is health,
//! metrics and the queue API.

mod address;
mod admission;
mod answers;
mod byte_budget;
mod config;
mod connection;
mod error;
mod frame_reader;
mod http;
mod listener;
mod metrics;
mod patience;
mod queue_metrics;
mod queue_rates;
mod server;

pub use address::{AddressError, parse_address};
pub use config::{DEFAULT_MAX_REQUEST_BYTES, Limits, ListenerConfig, ServerConfig};
pub use error::ServerError;
pub use outlast_broker::HostPort;
pub use server::{BoundServer, Endpoint, Server};
