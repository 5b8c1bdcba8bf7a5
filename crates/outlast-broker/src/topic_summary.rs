//! What the server's HTTP side asks of the broker about topics, members and time, without a request of Kafka's protocol.

use std::sync::Arc;

use outlast_protocol::Str;
use outlast_protocol::messages::share_group_describe::Member;
use outlast_records::Timestamp;
use uuid::Uuid;

use crate::broker::Broker;
use crate::topics::Topic;

/// One topic, as far as a publisher must know it.
#[derive(Debug, Clone)]
pub struct TopicSummary {
    pub id: Uuid,
    pub partitions: i32,
    /// The largest batch that the topic takes.
    pub max_message_bytes: usize,
    /// A message whose id, in the header of this name, was in its partition before isn't stored again, so that a batch
    /// may lose some of its messages.
    pub dedupe_header: Option<Arc<str>>,
    /// Records that can be read.
    pub records: u64,
}

impl Broker {
    /// `None` when there is no such topic.
    pub fn topic(&self, name: &str) -> Option<TopicSummary> {
        self.topics
            .load()
            .get(name)
            .ok()
            .map(|topic| summary(topic))
    }

    pub fn topic_name(&self, id: Uuid) -> Option<Str> {
        let table = self.topics.load();
        table.get_by_id(id).ok().map(|topic| topic.name.clone())
    }

    /// How many members of a share group have partitions of a topic.
    pub async fn share_group_members(&self, group: &str, topic: Uuid) -> usize {
        let Some(groups) = self.opened_groups() else {
            return 0;
        };
        let described = groups.share_group_describe(&[group.into()]).await;
        let members = described.iter().flat_map(|group| &group.members);
        let works = |member: &&Member| {
            let parts = &member.assignment.topic_partitions;
            parts
                .iter()
                .any(|part| part.topic_id == topic && !part.partitions.is_empty())
        };
        members.filter(works).count()
    }

    /// The broker's wall clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

fn summary(topic: &Topic) -> TopicSummary {
    let lengths = topic.partitions().iter().map(|partition| {
        let log = &partition.log;
        (log.high_watermark().0 - log.start_offset().0).max(0) as u64
    });
    TopicSummary {
        id: topic.id,
        partitions: i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX),
        max_message_bytes: topic.config.max_message_bytes,
        dedupe_header: topic
            .config
            .messages
            .dedupe
            .as_ref()
            .map(|dedupe| dedupe.header.clone()),
        records: lengths.sum(),
    }
}
