//! `host:port` as people write it: `localhost:9092`, `0.0.0.0:9092`, `[::1]:9092`.
//!
//! Parsing is strict, so that a typing error stops the start instead of listening somewhere unexpected. Host names
//! are looked up later, when a listener is bound.

use std::net::IpAddr;

use outlast_broker::HostPort;

/// True for `0.0.0.0` and `::`: fine to listen on, meaningless to connect to.
pub(crate) fn is_wildcard(address: &HostPort) -> bool {
    address
        .host
        .parse::<IpAddr>()
        .is_ok_and(|address| address.is_unspecified())
}

/// What is wrong with a text that should have been `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("a port is missing; write HOST:PORT, for example localhost:9092")]
    NoPort,
    #[error(
        "a host is missing; write HOST:PORT, for example localhost:9092, or 0.0.0.0:9092 for every network interface"
    )]
    NoHost,
    #[error("{0:?} is not a port; a port is a number from 0 to 65535 (0 lets the system choose)")]
    BadPort(String),
    #[error("an IPv6 address needs brackets, for example [::1]:9092")]
    NeedsBrackets,
    #[error("{0:?} is neither a host name nor an IP address")]
    BadHost(String),
}

/// Reads a text such as `localhost:9092`. The host comes without the brackets of an IPv6 address.
pub fn parse_address(text: &str) -> Result<HostPort, AddressError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest
                .split_once(']')
                .ok_or_else(|| AddressError::BadHost(text.to_owned()))?;
            if !matches!(host.parse(), Ok(IpAddr::V6(_))) {
                return Err(AddressError::BadHost(host.to_owned()));
            }
            (host, after.strip_prefix(':').ok_or(AddressError::NoPort)?)
        }
        None => {
            let (host, port) = text.rsplit_once(':').ok_or(AddressError::NoPort)?;
            if host.contains(':') {
                return Err(AddressError::NeedsBrackets);
            }
            (host, port)
        }
    };
    if host.is_empty() {
        return Err(AddressError::NoHost);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    if !host.chars().all(allowed) {
        return Err(AddressError::BadHost(host.to_owned()));
    }
    let port = port
        .parse()
        .map_err(|_| AddressError::BadPort(port.to_owned()))?;
    Ok(HostPort::new(host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_people_write() {
        let check = |text: &str, expect: Result<(&str, u16), AddressError>| {
            let expect = expect.map(|(host, port)| HostPort::new(host, port));
            assert_eq!(parse_address(text), expect, "{text}");
            if let Ok(address) = expect {
                assert_eq!(address.to_string(), text);
            }
        };
        check("localhost:9092", Ok(("localhost", 9092)));
        check("127.0.0.1:0", Ok(("127.0.0.1", 0)));
        check("[::1]:9092", Ok(("::1", 9092)));
        check(
            "broker-1.example.com:65535",
            Ok(("broker-1.example.com", 65535)),
        );
        check("localhost", Err(AddressError::NoPort));
        check("[::1]", Err(AddressError::NoPort));
        check(":9092", Err(AddressError::NoHost));
        check("::1:9092", Err(AddressError::NeedsBrackets));
        check(
            "localhost:65536",
            Err(AddressError::BadPort("65536".into())),
        );
        check("localhost:", Err(AddressError::BadPort("".into())));
        check(
            "[localhost]:1",
            Err(AddressError::BadHost("localhost".into())),
        );
        check("PLAINTEXT://localhost:1", Err(AddressError::NeedsBrackets));
    }

    #[test]
    fn wildcards_are_known() {
        assert!(is_wildcard(&HostPort::new("0.0.0.0", 1)));
        assert!(is_wildcard(&HostPort::new("::", 1)));
        assert!(!is_wildcard(&HostPort::new("localhost", 1)));
    }
}
