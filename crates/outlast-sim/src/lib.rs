//! Workloads and checkers that put Outlast under conditions nobody wants to meet in production.
//!
//! `crash` runs the real binary under real clients and kills it. The workloads know what was
//! promised to them, and the checkers compare that with what can be read back; neither looks
//! inside the broker.

pub mod crash;
