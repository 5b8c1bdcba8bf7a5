//! The real program: its command line, its start and its end.

mod command_line;
mod harness;
mod serve;
