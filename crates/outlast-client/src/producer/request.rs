//! Puts batches into one Produce request and finds each batch's part of the answer.

use std::mem;

use outlast_protocol::Str;
use outlast_protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, TopicProduceData,
};
use outlast_protocol::messages::{ProduceRequest, ProduceResponse};
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

    /// Lends the batches to a request; [`Shipment::take_back`] returns them.
    pub fn lend(&mut self, acks: i16, timeout_ms: i32) -> ProduceRequest {
        let mut request = ProduceRequest {
            acks,
            timeout_ms,
            ..Default::default()
        };
        for entry in &mut self.entries {
            let same_topic = request
                .topic_data
                .last()
                .is_some_and(|topic| topic.name == entry.topic);
            if !same_topic {
                request.topic_data.push(TopicProduceData {
                    name: entry.topic.clone(),
                    topic_id: entry.topic_id,
                    partition_data: Vec::new(),
                });
            }
            if let Some(topic) = request.topic_data.last_mut() {
                topic.partition_data.push(PartitionProduceData {
                    index: entry.partition,
                    records: Some(mem::take(&mut entry.batch.bytes)),
                });
            }
        }
        request
    }

    pub fn take_back(&mut self, request: ProduceRequest) {
        let lent = request
            .topic_data
            .into_iter()
            .flat_map(|topic| topic.partition_data);
        for (entry, lent) in self.entries.iter_mut().zip(lent) {
            entry.batch.bytes = lent.records.unwrap_or_default();
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
