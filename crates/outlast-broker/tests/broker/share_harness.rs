//! A share consumer as Kafka's clients are: it joins, fetches within a session, acknowledges, and goes.

use std::sync::Arc;

use outlast_broker::Connection;
use outlast_protocol::messages::share_acknowledge::{
    AcknowledgePartition, AcknowledgeTopic, AcknowledgementBatch as AloneBatch,
};
use outlast_protocol::messages::share_fetch::{
    AcknowledgementBatch, FetchPartition, FetchTopic, PartitionData,
};
use outlast_protocol::messages::*;
use outlast_protocol::{ErrorCode, Request, Str};
use outlast_records::PartitionId;

use crate::harness::*;
use crate::queue_harness::*;

pub const ACCEPT: i8 = 1;
pub const RELEASE: i8 = 2;
pub const REJECT: i8 = 3;
pub const RENEW: i8 = 4;

/// First and last offset, and what is said of them.
pub type Ack = (i64, i64, &'static [i8]);

pub struct ShareConsumer<'a> {
    pub test: &'a QueueTest,
    pub connection: Arc<Connection>,
    pub member: String,
    pub member_epoch: i32,
    pub session_epoch: i32,
}

impl<'a> ShareConsumer<'a> {
    /// A member of the group, with a connection of its own.
    pub async fn join(
        test: &'a QueueTest,
        member: &str,
        connection: u64,
        topics: &[&str],
    ) -> ShareConsumer<'a> {
        let mut consumer = ShareConsumer {
            test,
            connection: test.connect(connection),
            member: member.to_owned(),
            member_epoch: 0,
            session_epoch: 0,
        };
        let joined = consumer.heartbeat(Some(topics)).await;
        assert_eq!(
            error(joined.error_code),
            ErrorCode::None,
            "{:?}",
            joined.error_message
        );
        consumer
    }

    pub async fn call<R: Request>(&self, version: i16, request: R) -> R::Response {
        let answer = self
            .test
            .call_over(&self.connection, version, request)
            .await;
        answer.unwrap().expect("a response")
    }

    pub async fn heartbeat(&mut self, topics: Option<&[&str]>) -> ShareGroupHeartbeatResponse {
        let names = topics.map(|topics| topics.iter().map(|name| Str::from(*name)).collect());
        let request = ShareGroupHeartbeatRequest {
            group_id: GROUP.into(),
            member_id: self.member.as_str().into(),
            member_epoch: self.member_epoch,
            subscribed_topic_names: names,
            ..Default::default()
        };
        let response = self.call(1, request).await;
        if response.error_code == 0 {
            self.member_epoch = response.member_epoch;
        }
        response
    }

    pub async fn leave(&mut self) -> ErrorCode {
        self.member_epoch = -1;
        error(self.heartbeat(None).await.error_code)
    }

    /// The request of the next fetch.
    pub fn fetch_request(&self, partitions: &[PartitionId]) -> ShareFetchRequest {
        ShareFetchRequest {
            group_id: Some(GROUP.into()),
            member_id: Some(self.member.as_str().into()),
            share_session_epoch: self.session_epoch,
            min_bytes: 1,
            max_bytes: 1 << 20,
            max_records: 500,
            batch_size: 500,
            topics: partitions.iter().map(|id| fetch_topic(*id, &[])).collect(),
            ..Default::default()
        }
    }

    pub async fn send_fetch(&mut self, request: ShareFetchRequest) -> ShareFetchResponse {
        let response = self.call(2, request).await;
        if response.error_code == 0 {
            self.session_epoch += 1;
        }
        response
    }

    /// The first fetch of a session over these partitions, or the next of it.
    pub async fn fetch(&mut self, partitions: &[PartitionId]) -> Vec<Message> {
        let request = self.fetch_request(partitions);
        let response = self.send_fetch(request).await;
        assert_eq!(
            error(response.error_code),
            ErrorCode::None,
            "{:?}",
            response.error_message
        );
        fetched(&response)
    }

    pub async fn acknowledge(&mut self, id: PartitionId, acks: &[Ack]) -> ErrorCode {
        self.acknowledge_as(
            id,
            acks,
            acks.iter().any(|(_, _, types)| types.contains(&RENEW)),
        )
        .await
    }

    pub async fn acknowledge_as(
        &mut self,
        id: PartitionId,
        acks: &[Ack],
        is_renew_ack: bool,
    ) -> ErrorCode {
        let batches = acks
            .iter()
            .map(|(first_offset, last_offset, types)| AloneBatch {
                first_offset: *first_offset,
                last_offset: *last_offset,
                acknowledge_types: types.to_vec(),
            });
        let partition = AcknowledgePartition {
            partition_index: id.index,
            acknowledgement_batches: batches.collect(),
        };
        let request = ShareAcknowledgeRequest {
            group_id: Some(GROUP.into()),
            member_id: Some(self.member.as_str().into()),
            share_session_epoch: self.session_epoch,
            is_renew_ack,
            topics: vec![AcknowledgeTopic {
                topic_id: id.topic,
                partitions: vec![partition],
            }],
        };
        let response = self.call(2, request).await;
        if response.error_code != 0 {
            return error(response.error_code);
        }
        self.session_epoch += 1;
        error(response.responses[0].partitions[0].error_code)
    }
}

pub fn fetch_topic(id: PartitionId, acks: &[Ack]) -> FetchTopic {
    let batches = acks
        .iter()
        .map(|(first_offset, last_offset, types)| AcknowledgementBatch {
            first_offset: *first_offset,
            last_offset: *last_offset,
            acknowledge_types: types.to_vec(),
        });
    FetchTopic {
        topic_id: id.topic,
        partitions: vec![FetchPartition {
            partition_index: id.index,
            acknowledgement_batches: batches.collect(),
        }],
    }
}

/// The acquired records of all partitions.
pub fn fetched(response: &ShareFetchResponse) -> Vec<Message> {
    let partitions = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions);
    partitions.flat_map(acquired).collect()
}

fn acquired(data: &PartitionData) -> Vec<Message> {
    assert_eq!(
        error(data.error_code),
        ErrorCode::None,
        "{:?}",
        data.error_message
    );
    let mut messages = Vec::new();
    for record in decode(&data.records.0) {
        let holds = |range: &&share_fetch::AcquiredRecords| {
            range.first_offset <= record.offset.0 && record.offset.0 <= range.last_offset
        };
        if let Some(range) = data.acquired_records.iter().find(holds) {
            messages.push(Message {
                offset: record.offset.0,
                value: text(record.value.as_deref()),
                count: range.delivery_count as u16,
            });
        }
    }
    messages
}
