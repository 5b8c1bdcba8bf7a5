//! What can stop a server from starting.

use std::io;

use outlast_broker::HostPort;

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(
        "{address} is already in use by another process (is another broker running?); choose another address with {flag}"
    )]
    AddressInUse {
        address: HostPort,
        flag: &'static str,
    },
    #[error(
        "{address} is to be listened on twice; --listen and --http-listen need different addresses"
    )]
    ListenedTwice { address: HostPort },
    #[error("can't listen on {address} ({flag}): {source}")]
    Bind {
        address: HostPort,
        flag: &'static str,
        source: io::Error,
    },
    #[error("can't look up the host of {address} ({flag}): {source}")]
    Lookup {
        address: HostPort,
        flag: &'static str,
        source: io::Error,
    },
}
