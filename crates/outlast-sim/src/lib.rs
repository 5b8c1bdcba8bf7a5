//! Workloads and checkers that put Outlast under conditions nobody wants to meet in production.
//!
//! `crash` runs the real binary under real Kafka clients and kills it; `queue_crash` does the same
//! with workers that take messages off a queue, and kills those, too. The workloads know what was
//! promised to them, and the checkers compare that with what can be read back; neither looks
//! inside the broker.

pub mod clock;
pub mod crash;
pub mod queue_api;
pub mod queue_crash;
pub mod report;

mod kafka_client;
mod read_back;
mod server;
