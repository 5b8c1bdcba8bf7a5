//! The broker driven as a client drives it, with frames, over a disk that can fail.

mod harness;
mod queue_harness;
mod share_harness;

mod admin;
mod configs;
mod data;
mod dedupe;
mod disk;
mod fetch;
mod fetch_session_model;
mod group_configs;
mod groups;
mod hostile;
mod produce;
mod queue_damage;
mod queue_dead_letters;
mod queue_delivery;
mod queue_redrive;
mod queue_restart;
mod queue_stress;
mod restart;
mod share_admin;
mod share_fetch;
mod share_sessions;
mod topics;
mod transactions;
