//! The store against a disk that fails, crashes and lies. What happens in each case is in the table of
//! [`crate::recovery`]; here is the proof.

mod crashes;
mod damage;
mod full_disk;
mod harness;
mod model;
mod producers;
mod retention;
mod segments;
mod serving;
mod transactions;
