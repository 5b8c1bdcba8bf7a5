//! Fetching: which partitions a client reads (sessions), what is there for it (reading), and waiting until it is enough.
//!
//! A [`FetchSet`] is the partitions of one fetch request or, kept between requests, of one incremental fetch session
//! (KIP-227). It knows which of its partitions may have news and looks at those only, so that a session over thousands of
//! quiet partitions costs next to nothing.

mod long_poll;
mod session;
mod set;

pub use long_poll::Limits;
pub use session::{FetchSessions, SessionTicket};
pub use set::FetchSet;
