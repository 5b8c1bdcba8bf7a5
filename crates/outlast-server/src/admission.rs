//! Who is let in: a limit on connections as a whole and for each client address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::Limits;
use crate::metrics::Refusal;

#[derive(Debug)]
pub(crate) struct Admission {
    max_total: usize,
    max_per_ip: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    per_ip: HashMap<IpAddr, usize>,
}

/// A connection's place; dropping it lets the next one in.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    ip: IpAddr,
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            max_total: limits.max_connections,
            max_per_ip: limits.max_connections_per_ip,
            open: Mutex::default(),
        })
    }

    pub(crate) fn enter(self: &Arc<Self>, ip: IpAddr) -> Result<Place, Refusal> {
        // The same client must not count twice because it came over an IPv6 socket.
        let ip = ip.to_canonical();
        let mut open = self.open.lock();
        if open.total >= self.max_total {
            return Err(Refusal::MaxConnections);
        }
        let from_ip = open.per_ip.entry(ip).or_default();
        if *from_ip >= self.max_per_ip {
            return Err(Refusal::MaxConnectionsPerIp);
        }
        *from_ip += 1;
        open.total += 1;
        Ok(Place {
            admission: Arc::clone(self),
            ip,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock();
        open.total -= 1;
        if let Some(from_ip) = open.per_ip.get_mut(&self.ip) {
            *from_ip -= 1;
            if *from_ip == 0 {
                open.per_ip.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_come_back() {
        let admission = Admission::new(&Limits {
            max_connections: 3,
            max_connections_per_ip: 2,
            ..Limits::default()
        });
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let first = admission.enter(ip("10.0.0.1")).expect("first");
        let _second = admission.enter(ip("::ffff:10.0.0.1")).expect("second");
        assert_eq!(
            admission.enter(ip("10.0.0.1")).unwrap_err(),
            Refusal::MaxConnectionsPerIp
        );
        let _third = admission.enter(ip("10.0.0.2")).expect("third");
        assert_eq!(
            admission.enter(ip("10.0.0.3")).unwrap_err(),
            Refusal::MaxConnections
        );
        drop(first);
        admission.enter(ip("10.0.0.1")).expect("a place came back");
        assert_eq!(admission.open.lock().per_ip.len(), 2);
    }
}
