//! The transaction coordinator's place in the broker: opened when `__transaction_state` exists, which the first transactional
//! producer causes.

use std::sync::Arc;

use outlast_protocol::{ErrorCode, Str};
use tokio::sync::OnceCell;

use super::TransactionCoordinator;
use crate::broker::Broker;
use crate::coordinator::{TopicFacts, TopicLookup};
use crate::error::ApiError;
use crate::topic_changes::auto_create;
use crate::topic_name::TRANSACTION_STATE;

#[derive(Default)]
pub(crate) struct LazyTransactions(OnceCell<TransactionCoordinator>);

impl LazyTransactions {
    pub(crate) fn opened(&self) -> Option<&TransactionCoordinator> {
        self.0.get()
    }

    /// At the broker's start: transactions that nobody asks for must still come to an end. After the groups, whose offsets
    /// are part of them.
    pub(crate) async fn open_existing(&self, broker: &Arc<Broker>) {
        if let Some(facts) = broker.topics.by_name(TRANSACTION_STATE) {
            self.0.get_or_init(|| async { open(broker, facts) }).await;
        }
    }

    pub(crate) async fn get(
        &self,
        broker: &Arc<Broker>,
    ) -> Result<&TransactionCoordinator, ApiError> {
        self.0
            .get_or_try_init(|| async {
                if broker.topics.by_name(TRANSACTION_STATE).is_none() {
                    let name = Str::from_static(TRANSACTION_STATE);
                    for (name, code) in auto_create(broker, vec![name]).await {
                        tracing::warn!(topic = &*name, %code, "the topic of transactions could not be created");
                    }
                }
                let facts = broker.topics.by_name(TRANSACTION_STATE);
                facts
                    .map(|facts| open(broker, facts))
                    .ok_or_else(|| ErrorCode::CoordinatorNotAvailable.into())
            })
            .await
    }

    pub(crate) fn shutdown(&self) {
        if let Some(transactions) = self.opened() {
            transactions.shutdown();
        }
    }
}

fn open(broker: &Arc<Broker>, state_topic: TopicFacts) -> TransactionCoordinator {
    TransactionCoordinator::open(
        broker,
        broker.store.clone(),
        broker.clock.clone(),
        broker.config.transactions.clone(),
        state_topic,
    )
}
