//! Binds the addresses to listen on. `localhost` means both loopback addresses; a machine without IPv6 is fine.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use outlast_broker::HostPort;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::error::ServerError;

/// Connections that the system keeps until they are accepted; a restart of many clients comes at once.
const BACKLOG: i32 = 1024;

/// Binds every address that `wanted` stands for. With port 0 they share one port that the system chose.
/// `flag` is named in errors as the way out.
pub(crate) async fn bind(
    wanted: &HostPort,
    flag: &'static str,
) -> Result<Vec<TcpListener>, ServerError> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut missing = None;
    let mut port = wanted.port;
    for ip in addresses(wanted, flag).await? {
        match bind_one(SocketAddr::new(ip, port)) {
            Ok(listener) => {
                if port == 0 {
                    port = listener.local_addr().map_or(0, |address| address.port());
                }
                listeners.push(listener);
            }
            // No such address on this machine: an IPv6 loopback in a container without IPv6, for example.
            Err(error) if is_absent(&error) => missing = Some(error),
            Err(error) => return Err(refused(HostPort::new(ip.to_string(), port), flag, error)),
        }
    }
    match missing {
        Some(error) if listeners.is_empty() => Err(refused(wanted.clone(), flag, error)),
        _ => Ok(listeners),
    }
}

async fn addresses(wanted: &HostPort, flag: &'static str) -> Result<Vec<IpAddr>, ServerError> {
    if let Ok(ip) = wanted.host.parse() {
        return Ok(vec![ip]);
    }
    if wanted.host.eq_ignore_ascii_case("localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let lookup = |source| ServerError::Lookup {
        address: wanted.clone(),
        flag,
        source,
    };
    let found = tokio::net::lookup_host((&*wanted.host, wanted.port))
        .await
        .map_err(lookup)?;
    let mut ips: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    ips.sort();
    ips.dedup();
    if ips.is_empty() {
        return Err(lookup(io::Error::other("the name has no address")));
    }
    Ok(ips)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )
    .map_err(|error| {
        // A system without IPv6 refuses the socket already, with an error that has no kind of its own.
        let family_missing = address.is_ipv6() && error.kind() != io::ErrorKind::PermissionDenied;
        if family_missing {
            io::Error::new(io::ErrorKind::AddrNotAvailable, error)
        } else {
            error
        }
    })?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        // Each address is bound on its own, so that the same port can be bound for both families.
        socket.set_only_v6(true)?;
    }
    // A restart must not wait until the old connections' TIME_WAIT is over.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
}

fn refused(address: HostPort, flag: &'static str, source: io::Error) -> ServerError {
    if source.kind() == io::ErrorKind::AddrInUse {
        ServerError::AddressInUse { address, flag }
    } else {
        ServerError::Bind {
            address,
            flag,
            source,
        }
    }
}
