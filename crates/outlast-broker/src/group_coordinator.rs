//! The group coordinator's place in the broker: opened when `__consumer_offsets` exists, which the first group causes.

use std::collections::HashMap;
use std::sync::Arc;

use outlast_protocol::{ErrorCode, Str};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::broker::Broker;
use crate::coordinator::{GroupCoordinator, TopicFacts, TopicLookup};
use crate::error::ApiError;
use crate::share;
use crate::topic_changes::auto_create;
use crate::topic_name::CONSUMER_OFFSETS;
use crate::topics::{Topic, Topics};

#[derive(Default)]
pub struct LazyGroups(OnceCell<GroupCoordinator>);

impl LazyGroups {
    pub fn opened(&self) -> Option<&GroupCoordinator> {
        self.0.get()
    }

    /// At the broker's start: a coordinator that nobody asks must still expire members and offsets.
    pub async fn open_existing(&self, broker: &Arc<Broker>) {
        let facts = Topics::by_name(&broker.topics, CONSUMER_OFFSETS);
        if let Some(facts) = facts {
            self.0.get_or_init(|| async { open(broker, facts) }).await;
        }
    }

    pub async fn get(&self, broker: &Arc<Broker>) -> Result<&GroupCoordinator, ApiError> {
        self.0
            .get_or_try_init(|| async {
                let failed = match Topics::by_name(&broker.topics, CONSUMER_OFFSETS) {
                    Some(_) => HashMap::new(),
                    None => auto_create(broker, vec![Str::from_static(CONSUMER_OFFSETS)]).await,
                };
                for (name, code) in &failed {
                    tracing::warn!(topic = &**name, %code, "the topic of committed offsets could not be created");
                }
                let facts = Topics::by_name(&broker.topics, CONSUMER_OFFSETS);
                facts
                    .map(|facts| open(broker, facts))
                    .ok_or_else(|| ErrorCode::CoordinatorNotAvailable.into())
            })
            .await
    }

    pub fn shutdown(&self) {
        if let Some(groups) = self.opened() {
            groups.shutdown();
        }
    }
}

fn open(broker: &Arc<Broker>, offsets_topic: TopicFacts) -> GroupCoordinator {
    let groups = GroupCoordinator::open(
        broker.store.clone(),
        broker.clock.clone(),
        broker.random.clone(),
        broker.config.group.clone(),
        broker.topics.clone(),
        offsets_topic,
    );
    if let Some(departures) = groups.departures() {
        tokio::spawn(share::follow(Arc::downgrade(broker), departures));
    }
    groups
}

impl TopicLookup for Topics {
    fn by_name(&self, name: &str) -> Option<TopicFacts> {
        self.load().get(name).ok().map(|topic| facts(topic))
    }

    fn name_of(&self, id: Uuid) -> Option<Str> {
        self.load()
            .get_by_id(id)
            .ok()
            .map(|topic| topic.name.clone())
    }
}

fn facts(topic: &Topic) -> TopicFacts {
    TopicFacts {
        id: topic.id,
        partitions: i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX),
    }
}
