//! Sees to what no request waits for: transactions that were ending when the broker stopped, whose time is up, or of which a
//! partition was not there for a moment.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use outlast_protocol::{ErrorCode, Str};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until};

use crate::broker::Broker;
use crate::txn::{News, Producer};

/// How soon what could not be done is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Runs until the broker is gone or the coordinator is shut down.
pub(super) async fn attend(broker: Weak<Broker>, mut news: UnboundedReceiver<News>) {
    let mut left = Left::default();
    let mut again = Instant::now();
    loop {
        tokio::select! {
            heard = news.recv() => match heard {
                Some(News::Ending(id)) => {
                    left.ending.insert(id);
                }
                Some(News::TimedOut(id, producer)) => {
                    left.timed_out.insert((id, producer));
                }
                None => return,
            },
            () = sleep_until(again), if !left.is_empty() => {}
        }
        // Nothing is tried more often than that, however much is heard.
        if Instant::now() < again && !left.is_fresh() {
            continue;
        }
        let Some(broker) = broker.upgrade() else {
            return;
        };
        left.see_to(&broker).await;
        if !left.is_empty() {
            again = Instant::now() + AGAIN_AFTER;
        }
    }
}

#[derive(Default)]
struct Left {
    ending: BTreeSet<Str>,
    timed_out: BTreeSet<(Str, Producer)>,
    /// How much there was after the last round.
    known: usize,
}

impl Left {
    fn is_empty(&self) -> bool {
        self.ending.is_empty() && self.timed_out.is_empty()
    }

    fn is_fresh(&self) -> bool {
        self.ending.len() + self.timed_out.len() > self.known
    }

    async fn see_to(&mut self, broker: &Arc<Broker>) {
        if let Some(coordinator) = broker.opened_transactions() {
            for (id, producer) in std::mem::take(&mut self.timed_out) {
                match coordinator.time_out(broker, &id, producer).await {
                    Ok(()) => tracing::info!(
                        transactional_id = &*id,
                        producer = %producer.id,
                        "a transaction was open for too long and is aborted"
                    ),
                    // It ended meanwhile, or somebody else has taken over.
                    Err(
                        ErrorCode::ProducerFenced
                        | ErrorCode::InvalidProducerIdMapping
                        | ErrorCode::ConcurrentTransactions,
                    ) => {}
                    Err(_) => {
                        self.timed_out.insert((id, producer));
                    }
                }
            }
            self.ending.retain(|id| {
                !coordinator
                    .complete(broker, id)
                    .is_ok_and(|ended| ended.done)
            });
        }
        self.known = self.ending.len() + self.timed_out.len();
    }
}
