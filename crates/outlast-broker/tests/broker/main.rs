//! The broker driven as a client drives it, with frames, over a disk that can fail.

mod harness;

mod admin;
mod configs;
mod data;
mod disk;
mod fetch;
mod fetch_session_model;
mod groups;
mod hostile;
mod produce;
mod restart;
mod topics;
mod transactions;
