//! An address as clients are told it: a host name or IP address, and a port.

use std::fmt;

use outlast_protocol::Str;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    pub host: Str,
    pub port: u16,
}

impl HostPort {
    pub fn new(host: impl Into<Str>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", &*self.host, self.port)
        } else {
            write!(f, "{}:{}", &*self.host, self.port)
        }
    }
}
