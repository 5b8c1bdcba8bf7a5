//! `outlast serve`: opens the data directory, starts the broker and its listeners, and stops them in order.

mod args;
mod report;
mod run;

pub use args::ServeArgs;
pub use run::run;
