//! The queue coordinator's place in the broker: opened when `__share_group_state` exists, which the first queue causes.

use std::sync::Arc;

use outlast_protocol::{ErrorCode, Str};
use tokio::sync::OnceCell;

use super::QueueCoordinator;
use crate::broker::Broker;
use crate::coordinator::TopicLookup;
use crate::error::ApiError;
use crate::topic_changes::auto_create;
use crate::topic_name::SHARE_GROUP_STATE;
use crate::topics::Topics;

#[derive(Default)]
pub struct LazyQueues(OnceCell<Arc<QueueCoordinator>>);

impl LazyQueues {
    pub fn opened(&self) -> Option<&QueueCoordinator> {
        self.0.get().map(|queues| &**queues)
    }

    /// At the broker's start: locks run out and dead letters are moved although nobody asks.
    pub async fn open_existing(&self, broker: &Arc<Broker>) {
        if let Some(facts) = Topics::by_name(&broker.topics, SHARE_GROUP_STATE) {
            let open = || async { QueueCoordinator::open(broker, facts) };
            self.0.get_or_init(open).await;
        }
    }

    pub async fn get(&self, broker: &Arc<Broker>) -> Result<&QueueCoordinator, ApiError> {
        let opened = self.0.get_or_try_init(|| async {
            if Topics::by_name(&broker.topics, SHARE_GROUP_STATE).is_none() {
                let failed = auto_create(broker, vec![Str::from_static(SHARE_GROUP_STATE)]).await;
                for (name, code) in &failed {
                    tracing::warn!(topic = &**name, %code, "the topic of queues' state could not be created");
                }
            }
            Topics::by_name(&broker.topics, SHARE_GROUP_STATE)
                .map(|facts| QueueCoordinator::open(broker, facts))
                .ok_or_else(|| ApiError::from(ErrorCode::CoordinatorNotAvailable))
        });
        opened.await.map(|queues| &**queues)
    }

    pub fn shutdown(&self) {
        if let Some(queues) = self.opened() {
            queues.shutdown();
        }
    }
}

impl Drop for LazyQueues {
    /// The background tasks keep the coordinator.
    fn drop(&mut self) {
        self.shutdown();
    }
}
