//! Puts batches into one Produce request and finds each batch's part of the answer.

use outlast_protocol::messages::ProduceResponse;
use outlast_protocol::messages::produce::{
    PartitionProduceResponse, SharedPartitionProduceData, SharedProduceRequest,
    SharedTopicProduceData,
};
use outlast_protocol::{Records, Str};
use uuid::Uuid;

use super::flow::Batch;

/// The last version of Produce that names topics by name.
const LAST_BY_NAME: i16 = 12;

/// One batch on its way, with the sender's number of its partition.
#[derive(Debug)]
pub(super) struct Entry {
    pub slot: usize,
    pub topic: Str,
    pub topic_id: Uuid,
    pub partition: i32,
    pub batch: Batch,
}

/// The entries of one request, those of a topic side by side.
#[derive(Debug)]
pub(super) struct Shipment {
    pub entries: Vec<Entry>,
}

impl Shipment {
    pub fn new(mut entries: Vec<Entry>) -> Self {
        // Usually one topic, and then already in order.
        entries.sort_by(|a, b| a.topic.cmp(&b.topic));
        Self { entries }
    }

    /// Newer versions know only topic ids, which an old broker didn't tell.
    pub fn version_cap(&self) -> i16 {
        if self.entries.iter().any(|entry| entry.topic_id.is_nil()) {
            LAST_BY_NAME
        } else {
            i16::MAX
        }
    }

    /// The request, which shares the batches: they are kept here for another attempt.
    pub fn request(&self, acks: i16, timeout_ms: i32) -> SharedProduceRequest {
        let mut topics: Vec<SharedTopicProduceData> = Vec::new();
        for entry in &self.entries {
            let partition = SharedPartitionProduceData {
                index: entry.partition,
                records: Some(Records::from(entry.batch.bytes.clone())),
            };
            match topics.last_mut().filter(|last| last.name == entry.topic) {
                Some(topic) => topic.partition_data.push(partition),
                None => topics.push(SharedTopicProduceData {
                    name: entry.topic.clone(),
                    topic_id: entry.topic_id,
                    partition_data: vec![partition],
                }),
            }
        }
        SharedProduceRequest {
            transactional_id: None,
            acks,
            timeout_ms,
            topic_data: topics,
        }
    }

    /// Pairs each entry with its part of the answer, which brokers usually, but not surely, give in our order.
    pub fn match_with(
        self,
        response: ProduceResponse,
    ) -> impl Iterator<Item = (Entry, Option<PartitionProduceResponse>)> {
        let mut answers: Vec<(Str, Uuid, Option<PartitionProduceResponse>)> = response
            .responses
            .into_iter()
            .flat_map(|topic| {
                topic
                    .partition_responses
                    .into_iter()
                    .map(move |partition| (topic.name.clone(), topic.topic_id, Some(partition)))
            })
            .collect();
        let mut next = 0;
        self.entries.into_iter().map(move |entry| {
            let fits = |(name, id, answer): &(Str, Uuid, Option<PartitionProduceResponse>)| {
                let same_topic = *name == entry.topic || (!id.is_nil() && *id == entry.topic_id);
                let same_partition = answer.as_ref().is_some_and(|a| a.index == entry.partition);
                same_topic && same_partition
            };
            let at = match answers.get(next) {
                Some(answer) if fits(answer) => Some(next),
                _ => answers.iter().position(fits),
            };
            let answer = at.and_then(|at| {
                next = at + 1;
                answers[at].2.take()
            });
            (entry, answer)
        })
    }
}
