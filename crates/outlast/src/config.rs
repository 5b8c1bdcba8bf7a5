//! Configuration: every key is declared once, and flags, environment variables, the TOML file, the checks and the
//! reference all come from that declaration.
//!
//! `keys` declares what the process configures, and takes in what the broker declares; `value` checks a text against
//! its key; `file` and `load` collect texts from their sources; `resolved` is the checked result, with nothing left to
//! check.

mod file;
mod key;
mod keys;
mod load;
mod problem;
mod resolved;
mod suggest;
mod value;

pub use key::{Key, Section};
pub use keys::all;
pub use load::{FlagValues, Sources};
pub use resolved::Settings;
