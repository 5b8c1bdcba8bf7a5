//! Where a broker listens: `host:port`, `[v6]:port`, or a bare host with Kafka's usual port.

use std::fmt;
use std::str::FromStr;

use crate::error::ClientError;

/// Kafka's customary port, used where an address names none.
pub const DEFAULT_PORT: u16 = 9092;

/// A host, as a name or an IP address, and a port. Names are resolved at each connect, so a broker may move.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl Address {
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }

    /// Reads a comma-separated list, the form of Kafka's `bootstrap.servers`.
    pub fn parse_list(list: &str) -> Result<Vec<Address>, ClientError> {
        let addresses = list
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(str::parse)
            .collect::<Result<Vec<Address>, _>>()?;
        if addresses.is_empty() {
            return Err(ClientError::invalid(
                "no broker address was given; expected host:port[,host:port…]",
            ));
        }
        Ok(addresses)
    }
}

impl FromStr for Address {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why: &str| {
            ClientError::invalid(format!(
                "'{text}' is not a broker address ({why}); expected host:port, such as localhost:9092 or [::1]:9092"
            ))
        };
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, after) = rest
                .split_once(']')
                .ok_or_else(|| wrong("a ] is missing"))?;
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err(wrong("something follows the ]")),
            }
        } else {
            match text.rsplit_once(':') {
                // More than one colon without brackets is a bare IPv6 address.
                Some((before, _)) if before.contains(':') => (text, None),
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        if host.is_empty() {
            return Err(wrong("the host is missing"));
        }
        if host
            .chars()
            .any(|c| c.is_whitespace() || c == '/' || c == '@')
        {
            return Err(wrong("the host holds a character that no host name has"));
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| wrong("the port is not a number from 1 to 65535"))?,
        };
        Ok(Address::new(host, port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        let check = |given: &str, expect: &str| {
            let address: Address = given.parse().unwrap_or_else(|e| panic!("{given}: {e}"));
            assert_eq!(address.to_string(), expect, "{given}");
        };
        check("localhost:9092", "localhost:9092");
        check("localhost", "localhost:9092");
        check("127.0.0.1:19092", "127.0.0.1:19092");
        check("[::1]:9093", "[::1]:9093");
        check("[::1]", "[::1]:9092");
        check("::1", "[::1]:9092");
    }

    #[test]
    fn wrong_addresses_say_what_is_wrong() {
        let check = |given: &str, expect: &str| {
            let error = given.parse::<Address>().expect_err(given).to_string();
            assert!(error.contains(expect), "{given}: {error}");
        };
        check(":9092", "host is missing");
        check("localhost:0", "port is not a number");
        check("localhost:http", "port is not a number");
        check("localhost:70000", "port is not a number");
        check("http://localhost:9092", "no host name has");
        check("[::1", "] is missing");
        check("[::1]9092", "follows the ]");
    }

    #[test]
    fn a_list_skips_blanks_and_must_not_be_empty() {
        let list = Address::parse_list("a:1, b ,,c:3").unwrap();
        let shown: Vec<String> = list.iter().map(Address::to_string).collect();
        assert_eq!(shown, ["a:1", "b:9092", "c:3"]);
        assert!(Address::parse_list(" , ").is_err());
    }
}
