//! Offsets within transactions: seen by nobody before the marker, by nobody ever after an abort, and gone with what they
//! belong to.

use outlast_protocol::messages::TxnOffsetCommitRequest;
use outlast_protocol::messages::offset_fetch::OffsetFetchRequestTopics;
use outlast_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use outlast_records::{EndTxnMarker, ProducerEpoch, ProducerId};

use super::*;

const OTHER: i64 = 2;

fn request(producer: i64, offset: i64) -> TxnOffsetCommitRequest {
    TxnOffsetCommitRequest {
        transactional_id: Str::from("id"),
        group_id: Str::from(GROUP),
        producer_id: producer,
        topics: vec![TxnOffsetCommitRequestTopic {
            name: Str::from(TOPIC),
            partitions: vec![TxnOffsetCommitRequestPartition {
                committed_offset: offset,
                ..Default::default()
            }],
        }],
        ..Default::default()
    }
}

impl Harness {
    fn txn_commit(&mut self, request: &TxnOffsetCommitRequest) -> ErrorCode {
        let response = self.run(|groups, now, fx| groups.txn_commit(request, &[TOPIC_ID], now, fx));
        ErrorCode::from_code(response.topics[0].partitions[0].error_code).unwrap()
    }

    fn pend(&mut self, producer: i64, offset: i64) {
        assert_eq!(self.txn_commit(&request(producer, offset)), ErrorCode::None);
    }

    fn end(&mut self, producer: i64, commit: bool) {
        let marker = EndTxnMarker {
            commit,
            coordinator_epoch: 0,
        };
        let producer = (ProducerId(producer), ProducerEpoch(0));
        self.run(|groups, now, fx| groups.end_transaction(producer, marker, now, fx));
    }

    /// The committed offset, or the error.
    fn seen(&self, require_stable: bool) -> Result<i64, ErrorCode> {
        let topics = [OffsetFetchRequestTopics {
            name: Str::from(TOPIC),
            topic_id: TOPIC_ID,
            partition_indexes: vec![0],
        }];
        let fetched = self
            .groups
            .fetch(&GroupId::from(GROUP), &topics, require_stable);
        let partition = &fetched[0].partitions[0];
        match partition.error_code {
            0 => Ok(partition.committed_offset),
            code => Err(ErrorCode::from_code(code).unwrap()),
        }
    }
}

const UNSTABLE: Result<i64, ErrorCode> = Err(ErrorCode::UnstableOffsetCommit);

#[test]
fn the_marker_decides() {
    for restart in [false, true] {
        let mut h = Harness::new();
        for (commit, offset, expect) in [(true, 5, 5), (false, 9, 5), (true, 7, 7)] {
            let before = h.seen(false);
            h.pend(1, offset);
            if restart {
                h.restart();
            }
            assert_eq!((h.seen(false), h.seen(true)), (before, UNSTABLE));
            h.end(OTHER, true);
            assert_eq!(h.seen(true), UNSTABLE, "another one's end");
            h.end(1, commit);
            if restart {
                h.restart();
            }
            assert_eq!(h.seen(true), Ok(expect));
        }
    }
}

#[test]
fn two_transactions_are_told_apart() {
    let mut h = Harness::new();
    h.pend(1, 5);
    h.pend(OTHER, 6);
    h.end(1, false);
    assert_eq!(h.seen(true), UNSTABLE);
    h.end(OTHER, true);
    assert_eq!(h.seen(true), Ok(6));
}

#[test]
fn what_is_deleted_does_not_come_back_with_the_marker() {
    let name = Str::from(TOPIC);
    for what in ["topic", "group", "another topic of that name"] {
        let mut h = Harness::new();
        h.pend(1, 5);
        h.end(1, true);
        h.pend(1, 9);
        match what {
            "topic" => h.run(|g, now, fx| g.topic_deleted(&name, TOPIC_ID, now, fx)),
            "group" => h.run(|g, now, fx| {
                let deleted = g.delete(&Str::from(GROUP), now, fx);
                assert_eq!(deleted.error_code, 0);
            }),
            _ => h.run(|g, now, fx| g.topic_deleted(&name, Uuid::from_u128(8), now, fx)),
        }
        h.restart();
        h.end(1, true);
        let expect = if what.starts_with("another") { 9 } else { -1 };
        assert_eq!(h.seen(true), Ok(expect), "{what}");
    }
}

#[test]
fn an_offset_that_is_about_to_be_replaced_does_not_expire() {
    let mut h = Harness::new();
    h.pend(1, 5);
    h.end(1, true);
    h.pend(1, 9);
    h.now = Timestamp(h.now.0 + h.config.offsets_retention_ms());
    h.run(|groups, now, fx| groups.expire(now, fx));
    assert_eq!(h.seen(false), Ok(5));
    h.end(1, false);
    h.run(|groups, now, fx| groups.expire(now, fx));
    assert_eq!(h.seen(true), Ok(-1));
}

#[test]
fn members_are_checked_when_the_request_names_one() {
    let mut h = Harness::new();
    let of_generation = |generation_id| TxnOffsetCommitRequest {
        generation_id,
        member_id: Str::from("member"),
        ..request(1, 5)
    };
    assert_eq!(
        h.txn_commit(&of_generation(1)),
        ErrorCode::IllegalGeneration,
        "there is no group"
    );
    h.pend(1, 5);
    h.end(1, true);
    assert_eq!(h.txn_commit(&of_generation(1)), ErrorCode::UnknownMemberId);
    let long = TxnOffsetCommitRequest {
        group_id: Str::from("g".repeat(40_000)),
        ..request(1, 5)
    };
    assert_eq!(h.txn_commit(&long), ErrorCode::InvalidGroupId);
    let mut metadata = request(1, 5);
    metadata.topics[0].partitions[0].committed_metadata = Some(Str::from("m".repeat(5_000)));
    assert_eq!(h.txn_commit(&metadata), ErrorCode::OffsetMetadataTooLarge);
}
