//! The real program: its command line, its start and its end.

mod client;
mod command_line;
mod failed_sync;
mod harness;
mod serve;
