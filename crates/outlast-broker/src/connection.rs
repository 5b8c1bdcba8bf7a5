//! What the broker knows about one client connection.

use std::net::SocketAddr;

use outlast_protocol::Str;
use parking_lot::Mutex;

use crate::HostPort;

pub struct Connection {
    pub id: u64,
    pub peer: SocketAddr,
    /// Where clients of this listener are told to connect.
    pub advertised: HostPort,
    software: Mutex<Option<ClientSoftware>>,
}

/// The client's library, as it named itself in its ApiVersions request (KIP-511).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSoftware {
    pub name: Str,
    pub version: Str,
}

impl Connection {
    pub fn new(id: u64, peer: SocketAddr, advertised: HostPort) -> Self {
        Self {
            id,
            peer,
            advertised,
            software: Mutex::new(None),
        }
    }

    /// `None` until the client has said it.
    pub fn software(&self) -> Option<ClientSoftware> {
        self.software.lock().clone()
    }

    pub(crate) fn set_software(&self, software: ClientSoftware) {
        *self.software.lock() = Some(software);
    }
}
