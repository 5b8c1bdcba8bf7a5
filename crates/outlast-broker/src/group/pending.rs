//! Offsets that are committed within transactions (KIP-98, KIP-447): nobody sees them before the transaction's marker is in
//! the log, and after an abort nobody ever does.
//!
//! A pending offset is a record in a batch of the transaction; the marker is a control batch behind it. Both are all that a
//! restart needs: when a transaction commits, no further record is written. A deletion of the offset, of its group or of its
//! topic meanwhile takes the pending one with it.

use std::collections::BTreeMap;

use outlast_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use outlast_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use outlast_protocol::records::group::OffsetCommitValue;
use outlast_protocol::{ErrorCode, Str};
use outlast_records::{EndTxnMarker, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use uuid::Uuid;

use super::{
    CommittedOffset, Effects, GenerationId, Group, GroupId, GroupRecord, GroupState, Groups,
    InstanceId, MAX_NAME_BYTES, MemberId, validate_member,
};

type Key = (GroupId, Str, i32);

#[derive(Debug, Default)]
struct OpenTransaction {
    epoch: ProducerEpoch,
    offsets: BTreeMap<Key, CommittedOffset>,
}

/// The open transactions of one shard, by producer.
#[derive(Debug, Default)]
pub(super) struct PendingOffsets(BTreeMap<ProducerId, OpenTransaction>);

impl PendingOffsets {
    fn add(&mut self, producer: (ProducerId, ProducerEpoch), key: Key, committed: CommittedOffset) {
        let open = self.0.entry(producer.0).or_default();
        open.epoch = producer.1;
        open.offsets.insert(key, committed);
    }

    pub(super) fn is_pending(&self, group: &GroupId, topic: &Str, partition: i32) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let key = (group.clone(), topic.clone(), partition);
        self.0.values().any(|open| open.offsets.contains_key(&key))
    }

    pub(super) fn of_group(&self, group: &GroupId) -> Vec<(Str, i32)> {
        self.matching(|key, _| key.0 == *group)
            .map(|(_, topic, partition)| (topic, partition))
            .collect()
    }

    pub(super) fn of_topic(&self, name: &Str, id: Uuid) -> Vec<(GroupId, i32)> {
        self.matching(|key, committed| key.1 == *name && committed.is_of(id))
            .map(|(group, _, partition)| (group, partition))
            .collect()
    }

    fn matching(
        &self,
        matches: impl Fn(&Key, &CommittedOffset) -> bool,
    ) -> impl Iterator<Item = Key> {
        self.0
            .values()
            .flat_map(|open| &open.offsets)
            .filter(move |(key, committed)| matches(key, committed))
            .map(|(key, _)| key.clone())
    }

    pub(super) fn remove(&mut self, group: &GroupId, topic: &str, partition: i32) {
        if self.0.is_empty() {
            return;
        }
        let key = (group.clone(), Str::from(topic), partition);
        self.0.retain(|_, open| {
            open.offsets.remove(&key);
            !open.offsets.is_empty()
        });
    }

    pub(super) fn records(&self) -> impl Iterator<Item = GroupRecord> {
        self.0.iter().flat_map(|(producer, open)| {
            open.offsets
                .iter()
                .map(
                    |((group, topic, partition), committed)| GroupRecord::PendingOffset {
                        producer: (*producer, open.epoch),
                        group: group.clone(),
                        topic: topic.clone(),
                        partition: *partition,
                        value: committed.to_value(),
                    },
                )
        })
    }
}

impl Groups {
    /// Commits offsets within the transaction of a producer, which the caller has verified. Topics are those that exist, with
    /// their ids.
    pub fn txn_commit(
        &mut self,
        request: &TxnOffsetCommitRequest,
        topic_ids: &[Uuid],
        now: Timestamp,
        fx: &mut Effects,
    ) -> TxnOffsetCommitResponse {
        let id = GroupId::new(&request.group_id);
        if let Err(error) = self.admit_txn_commit(&id, request) {
            return txn_commit_error(request, error);
        }
        let producer = (
            ProducerId(request.producer_id),
            ProducerEpoch(request.producer_epoch),
        );
        let mut topics = Vec::with_capacity(request.topics.len());
        for (topic, topic_id) in request.topics.iter().zip(topic_ids) {
            let name = super::detached(&topic.name);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in &topic.partitions {
                let error = if self.metadata_too_long(partition.committed_metadata.as_ref()) {
                    ErrorCode::OffsetMetadataTooLarge
                } else {
                    let value = committed(partition, *topic_id, now).to_value();
                    let index = partition.partition_index;
                    self.apply_pending(producer, &id, &name, index, &value);
                    fx.records.push(GroupRecord::PendingOffset {
                        producer,
                        group: id.clone(),
                        topic: name.clone(),
                        partition: index,
                        value,
                    });
                    ErrorCode::None
                };
                partitions.push(TxnOffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: error.code(),
                });
            }
            topics.push(TxnOffsetCommitResponseTopic {
                name: topic.name.clone(),
                partitions,
            });
        }
        TxnOffsetCommitResponse {
            topics,
            ..TxnOffsetCommitResponse::default()
        }
    }

    fn admit_txn_commit(
        &self,
        id: &GroupId,
        request: &TxnOffsetCommitRequest,
    ) -> Result<(), ErrorCode> {
        if request.group_id.len() > MAX_NAME_BYTES {
            return Err(ErrorCode::InvalidGroupId);
        }
        let generation = GenerationId(request.generation_id);
        let Some(group) = self.groups.get(id) else {
            return match generation.0 {
                ..0 => Ok(()),
                _ => Err(ErrorCode::IllegalGeneration),
            };
        };
        let member = MemberId::new(&request.member_id);
        let instance = request.group_instance_id.as_ref().map(InstanceId::new);
        let says_who = generation.0 >= 0 || !member.is_empty() || instance.is_some();
        // Producers from before KIP-447 don't say: their transactional id has fenced whoever was there before.
        if !says_who || (generation.0 < 0 && group.state() == GroupState::Empty) {
            return Ok(());
        }
        validate_member(group, &member, instance.as_ref())?;
        if generation != group.generation() {
            return Err(ErrorCode::IllegalGeneration);
        }
        Ok(())
    }

    /// The one way in which an offset becomes pending, both when it happens and when it is replayed.
    pub(super) fn apply_pending(
        &mut self,
        producer: (ProducerId, ProducerEpoch),
        group: &GroupId,
        topic: &Str,
        partition: i32,
        value: &OffsetCommitValue,
    ) {
        let key = (group.clone(), topic.clone(), partition);
        self.pending
            .add(producer, key, CommittedOffset::from_value(value));
    }

    /// A producer's transaction is over: writes the marker, and what it had committed is committed or forgotten.
    pub fn end_transaction(
        &mut self,
        producer: (ProducerId, ProducerEpoch),
        marker: EndTxnMarker,
        now: Timestamp,
        fx: &mut Effects,
    ) {
        self.apply_end(producer.0, marker, now);
        fx.records
            .push(GroupRecord::TransactionEnd { producer, marker });
    }

    /// The same when it is replayed.
    pub fn apply_end(&mut self, producer: ProducerId, marker: EndTxnMarker, now: Timestamp) {
        let Some(open) = self.pending.0.remove(&producer) else {
            return;
        };
        if !marker.commit {
            return;
        }
        for ((group, topic, partition), committed) in open.offsets {
            self.groups
                .entry(group.clone())
                .or_insert_with(|| Group::new(group, now))
                .offsets
                .insert(&topic, partition, committed);
        }
    }
}

fn committed(
    partition: &TxnOffsetCommitRequestPartition,
    topic_id: Uuid,
    now: Timestamp,
) -> CommittedOffset {
    CommittedOffset {
        offset: Offset(partition.committed_offset),
        leader_epoch: LeaderEpoch(partition.committed_leader_epoch),
        metadata: partition.committed_metadata.clone().unwrap_or_default(),
        committed_at: now,
        expires_at: None,
        topic_id,
    }
}

/// The same error for every partition.
pub(crate) fn txn_commit_error(
    request: &TxnOffsetCommitRequest,
    error: ErrorCode,
) -> TxnOffsetCommitResponse {
    let topics = request
        .topics
        .iter()
        .map(|topic| TxnOffsetCommitResponseTopic {
            name: topic.name.clone(),
            partitions: topic
                .partitions
                .iter()
                .map(|partition| TxnOffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: error.code(),
                })
                .collect(),
        });
    TxnOffsetCommitResponse {
        topics: topics.collect(),
        ..TxnOffsetCommitResponse::default()
    }
}
