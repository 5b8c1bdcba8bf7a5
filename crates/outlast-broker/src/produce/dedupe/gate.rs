//! Who may look at a partition's window and append: one request at a time, in the order of their arrival.
//!
//! Ordinarily a request goes through all its gates without waiting, and appends before its future is first suspended, as
//! requests of one connection must to keep their order. Where a window has to be rebuilt first, requests queue up: each
//! takes its places at all its gates in one step, so that nobody overtakes and no two wait for each other.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use outlast_records::Timestamp;
use outlast_storage::{PartitionLog, ReadError, Store};
use parking_lot::Mutex as SyncMutex;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::load;
use super::window::Window;
use crate::error::ApiError;
use crate::topic_config::DedupeConfig;
use outlast_protocol::ErrorCode;

/// One partition's gate; costs next to nothing while nobody deduplicates.
#[derive(Default)]
pub(crate) struct Gate(Arc<Mutex<Option<Window>>>);

pub(super) type Pass = OwnedMutexGuard<Option<Window>>;

/// Held while a request takes its places.
#[derive(Default)]
pub(crate) struct Turnstile(SyncMutex<()>);

impl Turnstile {
    /// Passes all gates; they must be different ones.
    pub(super) async fn pass(&self, gates: &[&Gate]) -> Vec<Pass> {
        let free: Result<Vec<Pass>, _> = {
            let _turn = self.0.lock();
            gates
                .iter()
                .map(|gate| gate.0.clone().try_lock_owned())
                .collect()
        };
        match free {
            Ok(passes) => passes,
            Err(_) => self.queue(gates).await,
        }
    }

    async fn queue(&self, gates: &[&Gate]) -> Vec<Pass> {
        let mut places: Vec<Place> = gates
            .iter()
            .map(|gate| Place::Waiting(Box::pin(gate.0.clone().lock_owned())))
            .collect();
        let mut turn = Some(&self.0);
        poll_fn(|context| {
            // Only the first poll takes places.
            let _turn = turn.take().map(SyncMutex::lock);
            let mut all = true;
            for place in &mut places {
                if let Place::Waiting(waiting) = place {
                    match waiting.as_mut().poll(context) {
                        Poll::Ready(pass) => *place = Place::Through(pass),
                        Poll::Pending => all = false,
                    }
                }
            }
            if all { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        places
            .into_iter()
            .filter_map(|place| match place {
                Place::Through(pass) => Some(pass),
                Place::Waiting(_) => None,
            })
            .collect()
    }
}

enum Place {
    Waiting(Pin<Box<dyn Future<Output = Pass> + Send>>),
    Through(Pass),
}

/// Whether the window knows all that was appended, under this configuration. Notes failed appends on the way.
pub(super) fn is_ready(
    window: &mut Option<Window>,
    config: &DedupeConfig,
    log: &PartitionLog,
) -> bool {
    let Some(window) = window.as_mut().filter(|window| window.config == *config) else {
        return false;
    };
    window.settle();
    // After a failed write the log continues at an earlier offset.
    window.seen = window.seen.min(log.end_offset());
    window.seen == log.end_offset()
}

/// Brings a window up to date, on a blocking thread. Goes on when its caller no longer waits: the work is not lost.
pub(super) async fn prepare(
    mut pass: Pass,
    config: DedupeConfig,
    log: Arc<PartitionLog>,
    store: &Store,
    now: Timestamp,
) -> Result<Pass, ApiError> {
    // Of what was appended before, all that will ever be durable is to be seen.
    let _ = store.after_all().await;
    let prepared = tokio::task::spawn_blocking(move || {
        let read: Result<(), ReadError> = match pass.as_mut() {
            Some(window) if window.config == config => load::catch_up(window, &log, now),
            _ => load::window(&log, config, now).map(|window| *pass = Some(window)),
        };
        read.map(|()| pass)
    });
    match prepared.await {
        Ok(Ok(pass)) => Ok(pass),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(ApiError::new(
            ErrorCode::KafkaStorageError,
            "the ids of published messages could not be read: try again",
        )),
    }
}
