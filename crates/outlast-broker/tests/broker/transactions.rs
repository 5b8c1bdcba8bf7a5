//! Transactions from end to end: what consumers see, who is fenced, and what a crash leaves, whenever it comes.

use std::time::Duration;

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::add_partitions_to_txn::AddPartitionsToTxnTopic;
use outlast_protocol::messages::describe_producers::TopicRequest;
use outlast_protocol::messages::fetch::PartitionData;
use outlast_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use outlast_protocol::messages::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use outlast_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use outlast_protocol::messages::write_txn_markers::{WritableTxnMarker, WritableTxnMarkerTopic};
use outlast_protocol::messages::*;
use outlast_storage::io::fault::{Op, Survives, enospc};

use crate::harness::*;
use crate::queue_harness::{GROUP, QueueTest, offsets};

/// A transactional producer as clients are: of the second version of the protocol, or of the first.
#[derive(Clone)]
struct Producer {
    name: &'static str,
    id: i64,
    epoch: i16,
    sequences: std::collections::HashMap<(String, i32), i32>,
    first_protocol: bool,
}

impl Producer {
    async fn start(broker: &TestBroker, name: &'static str) -> Producer {
        let (id, epoch) = init(broker, name, 60_000).await.expect("init");
        Producer {
            name,
            id,
            epoch,
            sequences: Default::default(),
            first_protocol: false,
        }
    }

    async fn start_of_first_protocol(broker: &TestBroker, name: &'static str) -> Producer {
        Producer {
            first_protocol: true,
            ..Producer::start(broker, name).await
        }
    }

    async fn try_send(
        &mut self,
        broker: &TestBroker,
        topic: &str,
        partition: i32,
        value: &str,
    ) -> Result<i64, ErrorCode> {
        let version = if self.first_protocol { 11 } else { 12 };
        let place = (topic.to_owned(), partition);
        let sequence = self.sequences.get(&place).copied().unwrap_or(0);
        let records = Batch::producer(self.id, self.epoch, sequence)
            .transactional()
            .values(&[value])
            .bytes();
        let mut request = produce_request(topic, partition, -1, records);
        request.transactional_id = Some(self.name.into());
        let answer =
            broker.call(version, request).await.responses[0].partition_responses[0].clone();
        match error(answer.error_code) {
            ErrorCode::None => {
                self.sequences.insert(place, sequence + 1);
                Ok(answer.base_offset)
            }
            code => Err(code),
        }
    }

    async fn send(&mut self, broker: &TestBroker, topic: &str, partition: i32, value: &str) -> i64 {
        if self.first_protocol {
            assert_eq!(self.add(broker, topic, partition).await, ErrorCode::None);
        }
        let sent = self.try_send(broker, topic, partition, value).await;
        sent.unwrap_or_else(|code| panic!("{code} for {value}"))
    }

    async fn add(&self, broker: &TestBroker, topic: &str, partition: i32) -> ErrorCode {
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.name.into(),
            v3_and_below_producer_id: self.id,
            v3_and_below_producer_epoch: self.epoch,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic {
                name: topic.into(),
                partitions: vec![partition],
            }],
            ..Default::default()
        };
        let response = broker.call(3, request).await;
        let result = &response.results_by_topic_v3_and_below[0].results_by_partition[0];
        error(result.partition_error_code)
    }

    async fn try_end(&mut self, broker: &TestBroker, commit: bool) -> ErrorCode {
        let request = EndTxnRequest {
            transactional_id: self.name.into(),
            producer_id: self.id,
            producer_epoch: self.epoch,
            committed: commit,
        };
        let version = if self.first_protocol { 4 } else { 5 };
        let response = broker.call(version, request).await;
        let code = error(response.error_code);
        if code == ErrorCode::None && !self.first_protocol {
            assert_eq!(response.producer_id, self.id);
            assert_eq!(response.producer_epoch, self.epoch + 1);
            self.epoch = response.producer_epoch;
            self.sequences.clear();
        }
        code
    }

    async fn end(&mut self, broker: &TestBroker, commit: bool) {
        assert_eq!(self.try_end(broker, commit).await, ErrorCode::None);
    }

    async fn commit_offset(&self, broker: &TestBroker, group: &str, offset: i64) -> ErrorCode {
        if self.first_protocol {
            let request = AddOffsetsToTxnRequest {
                transactional_id: self.name.into(),
                producer_id: self.id,
                producer_epoch: self.epoch,
                group_id: group.into(),
            };
            let code = error(broker.call(4, request).await.error_code);
            if code != ErrorCode::None {
                return code;
            }
        }
        self.commit_offset_only(broker, group, offset).await
    }

    async fn commit_offset_only(&self, broker: &TestBroker, group: &str, offset: i64) -> ErrorCode {
        let request = TxnOffsetCommitRequest {
            transactional_id: self.name.into(),
            group_id: group.into(),
            producer_id: self.id,
            producer_epoch: self.epoch,
            topics: vec![TxnOffsetCommitRequestTopic {
                name: "t".into(),
                partitions: vec![TxnOffsetCommitRequestPartition {
                    partition_index: 0,
                    committed_offset: offset,
                    ..Default::default()
                }],
            }],
            ..Default::default()
        };
        let version = if self.first_protocol { 4 } else { 5 };
        let response = broker.call(version, request).await;
        error(response.topics[0].partitions[0].error_code)
    }
}

async fn init(
    broker: &TestBroker,
    name: &str,
    transaction_timeout_ms: i32,
) -> Result<(i64, i16), ErrorCode> {
    let request = InitProducerIdRequest {
        transactional_id: Some(name.into()),
        transaction_timeout_ms,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    let response = broker.call(5, request).await;
    match error(response.error_code) {
        ErrorCode::None => Ok((response.producer_id, response.producer_epoch)),
        code => Err(code),
    }
}

async fn fetch(broker: &TestBroker, partition: i32, from: i64, committed: bool) -> PartitionData {
    let request = FetchRequest {
        isolation_level: i8::from(committed),
        ..fetch_request(&[("t", partition, from)])
    };
    broker.call(12, request).await.responses[0].partitions[0].clone()
}

/// What a read_committed consumer makes of a partition: it skips the records of aborted transactions.
async fn committed(broker: &TestBroker, partition: i32) -> Vec<String> {
    let data = fetch(broker, partition, 0, true).await;
    assert_eq!(error(data.error_code), ErrorCode::None);
    let mut aborted = data.aborted_transactions.clone().unwrap_or_default();
    let mut skipping = std::collections::HashSet::new();
    let mut seen = Vec::new();
    let records = data.records.clone().unwrap_or_default().into_bytes();
    for stored in outlast_records::stored_batches(records) {
        let (header, bytes) = stored.unwrap();
        assert!(header.last_offset().0 < data.last_stable_offset);
        aborted.retain(|txn| {
            let begins = txn.first_offset <= header.last_offset().0;
            if begins {
                skipping.insert(txn.producer_id);
            }
            !begins
        });
        if header.attributes.is_control() {
            let marker = outlast_records::EndTxnMarker::of_batch(&bytes).unwrap();
            if !marker.commit {
                skipping.remove(&header.producer_id.0);
            }
            continue;
        }
        if header.attributes.is_transactional() && skipping.contains(&header.producer_id.0) {
            continue;
        }
        for record in outlast_records::records(&bytes, 1 << 20).unwrap() {
            let value = record.unwrap().value.unwrap_or_default();
            seen.push(String::from_utf8(value.to_vec()).unwrap());
        }
    }
    seen
}

async fn latest(broker: &TestBroker, isolation_level: i8) -> i64 {
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level,
        topics: vec![ListOffsetsTopic {
            name: "t".into(),
            partitions: vec![ListOffsetsPartition {
                partition_index: 0,
                timestamp: -1,
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    broker.call(7, request).await.topics[0].partitions[0].offset
}

/// The committed offset, or the error.
async fn offset(broker: &TestBroker, group: &str, require_stable: bool) -> Result<i64, ErrorCode> {
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.into(),
            topics: Some(vec![OffsetFetchRequestTopics {
                name: "t".into(),
                partition_indexes: vec![0],
                ..Default::default()
            }]),
            ..Default::default()
        }],
        require_stable,
        ..Default::default()
    };
    let response = broker.call(9, request).await;
    let partition = &response.groups[0].topics[0].partitions[0];
    match error(partition.error_code) {
        ErrorCode::None => Ok(partition.committed_offset),
        code => Err(code),
    }
}

async fn states(broker: &TestBroker) -> Vec<(String, String)> {
    let response = broker
        .call(
            2,
            ListTransactionsRequest {
                duration_filter: -1,
                ..Default::default()
            },
        )
        .await;
    let states = response.transaction_states.iter();
    states
        .map(|txn| {
            (
                txn.transactional_id.to_string(),
                txn.transaction_state.to_string(),
            )
        })
        .collect()
}

/// Waits until what the broker does by itself has led to these states.
async fn eventually(broker: &TestBroker, expect: impl Fn(&[(String, String)]) -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let states = states(broker).await;
        if expect(&states) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "still {states:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn is_over(states: &[(String, String)]) -> bool {
    states
        .iter()
        .all(|(_, state)| !state.starts_with("Prepare"))
}

#[tokio::test]
async fn consumers_see_what_is_committed() {
    for first_protocol in [false, true] {
        let broker = TestBroker::start().await;
        broker.create_topic("t", 2, &[]).await;
        broker.put("t", 0, &["plain"]).await;
        let mut p = Producer {
            first_protocol,
            ..Producer::start(&broker, "p").await
        };
        assert_eq!(p.send(&broker, "t", 0, "a").await, 1);
        assert_eq!(p.send(&broker, "t", 1, "b").await, 0);
        assert_eq!(p.send(&broker, "t", 0, "c").await, 2);
        broker.put("t", 0, &["behind"]).await;
        assert_eq!(committed(&broker, 0).await, ["plain"]);
        assert_eq!(committed(&broker, 1).await, [""; 0]);
        assert_eq!((latest(&broker, 0).await, latest(&broker, 1).await), (4, 1));
        let uncommitted = fetch(&broker, 0, 0, false).await;
        assert_eq!(values(&uncommitted).len(), 4);
        assert_eq!(
            (uncommitted.high_watermark, uncommitted.last_stable_offset),
            (4, 1)
        );
        assert_eq!(uncommitted.aborted_transactions, None);
        p.end(&broker, true).await;
        assert_eq!(committed(&broker, 0).await, ["plain", "a", "c", "behind"]);
        assert_eq!(committed(&broker, 1).await, ["b"]);
        assert_eq!((latest(&broker, 0).await, latest(&broker, 1).await), (5, 5));

        p.send(&broker, "t", 0, "d").await;
        p.send(&broker, "t", 1, "e").await;
        p.end(&broker, false).await;
        p.send(&broker, "t", 0, "f").await;
        p.end(&broker, true).await;
        let broker = broker.restart().await;
        assert_eq!(
            committed(&broker, 0).await,
            ["plain", "a", "c", "behind", "f"],
            "first protocol {first_protocol}"
        );
        assert_eq!(committed(&broker, 1).await, ["b"]);
        let from_inside = fetch(&broker, 0, 6, true).await;
        assert_eq!(
            from_inside.aborted_transactions.map(|all| all.len()),
            Some(1)
        );
        let from_behind = fetch(&broker, 0, 7, true).await;
        assert_eq!(
            from_behind.aborted_transactions.map(|all| all.len()),
            Some(0)
        );
    }
}

#[tokio::test]
async fn only_partitions_of_the_transaction_are_written_to() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 2, &[]).await;
    let mut old = Producer::start_of_first_protocol(&broker, "old").await;
    assert_eq!(
        old.try_send(&broker, "t", 0, "a").await,
        Err(ErrorCode::TransactionAbortable)
    );
    old.send(&broker, "t", 1, "b").await;
    assert_eq!(
        old.try_send(&broker, "t", 0, "a").await,
        Err(ErrorCode::TransactionAbortable)
    );
    old.end(&broker, true).await;
    assert_eq!(
        old.try_send(&broker, "t", 1, "c").await,
        Err(ErrorCode::TransactionAbortable),
        "it is over"
    );
    assert_eq!(
        old.add(&broker, "t", 7).await,
        ErrorCode::UnknownTopicOrPartition
    );
    let mut nobody = Producer {
        name: "nobody",
        ..old.clone()
    };
    assert_eq!(
        nobody.try_send(&broker, "t", 0, "a").await,
        Err(ErrorCode::InvalidProducerIdMapping)
    );
    let mut new = Producer::start(&broker, "new").await;
    new.sequences.insert(("t".to_owned(), 0), 1);
    assert_eq!(
        new.try_send(&broker, "t", 0, "the second before the first")
            .await,
        Err(ErrorCode::OutOfOrderSequenceNumber)
    );
    assert_eq!(latest(&broker, 0).await, 0, "nothing was written");
}

#[tokio::test]
async fn a_new_producer_fences_the_old_one_and_aborts_its_transaction() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let mut old = Producer::start(&broker, "p").await;
    old.send(&broker, "t", 0, "old").await;
    let mut new = Producer::start(&broker, "p").await;
    assert_eq!((new.id, new.epoch), (old.id, old.epoch + 2));
    assert_eq!(
        old.try_send(&broker, "t", 0, "late").await,
        Err(ErrorCode::InvalidProducerEpoch)
    );
    assert_eq!(old.try_end(&broker, true).await, ErrorCode::ProducerFenced);
    assert_eq!(
        old.commit_offset(&broker, "g", 1).await,
        ErrorCode::ProducerFenced
    );
    new.send(&broker, "t", 0, "new").await;
    new.end(&broker, true).await;
    assert_eq!(committed(&broker, 0).await, ["new"]);
}

#[tokio::test]
async fn offsets_are_committed_with_the_transaction() {
    for first_protocol in [false, true] {
        let mut broker = TestBroker::start().await;
        broker.create_topic("t", 1, &[]).await;
        let mut p = Producer {
            first_protocol,
            ..Producer::start(&broker, "p").await
        };
        if first_protocol {
            assert_eq!(
                p.commit_offset_only(&broker, "g", 5).await,
                ErrorCode::TransactionAbortable,
                "nobody announced it"
            );
        }
        for (commit, at, expect) in [(true, 5, 5), (false, 9, 5), (true, 11, 11)] {
            let before = offset(&broker, "g", false).await.expect("an offset");
            assert_eq!(p.commit_offset(&broker, "g", at).await, ErrorCode::None);
            broker = broker.restart().await;
            assert_eq!(offset(&broker, "g", false).await, Ok(before));
            assert_eq!(
                offset(&broker, "g", true).await,
                Err(ErrorCode::UnstableOffsetCommit)
            );
            p.end(&broker, commit).await;
            assert_eq!(offset(&broker, "g", true).await, Ok(expect));
            broker = broker.lose_power(Survives::Nothing).await;
            assert_eq!(offset(&broker, "g", true).await, Ok(expect));
        }
    }
}

#[tokio::test]
async fn what_is_open_for_too_long_is_aborted() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let (id, epoch) = init(&broker, "p", 50).await.expect("init");
    let mut p = Producer {
        id,
        epoch,
        ..Producer::start(&broker, "another").await
    };
    p.name = "p";
    p.send(&broker, "t", 0, "late").await;
    eventually(&broker, |states| {
        states.contains(&("p".to_owned(), "CompleteAbort".to_owned()))
    })
    .await;
    assert_eq!((latest(&broker, 0).await, latest(&broker, 1).await), (2, 2));
    assert_eq!(committed(&broker, 0).await, [""; 0]);
    assert_eq!(
        p.try_send(&broker, "t", 0, "later").await,
        Err(ErrorCode::InvalidProducerEpoch)
    );
    assert_eq!(p.try_end(&broker, true).await, ErrorCode::InvalidTxnState);
}

#[tokio::test]
async fn administrators_find_and_end_what_hangs() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let mut p = Producer::start(&broker, "p").await;
    p.send(&broker, "t", 0, "a").await;
    let describe = DescribeTransactionsRequest {
        transactional_ids: vec!["p".into(), "q".into()],
    };
    let described = broker.call(0, describe).await.transaction_states;
    assert_eq!(&*described[0].transaction_state, "Ongoing");
    assert_eq!(&*described[0].topics[0].topic, "t");
    assert_eq!(described[0].transaction_start_time_ms, START);
    assert_eq!(
        error(described[1].error_code),
        ErrorCode::TransactionalIdNotFound
    );
    for (pattern, duration, state, expect) in [
        (None, -1, None, 1),
        (Some("p|q"), -1, Some("Ongoing"), 1),
        (Some("q"), -1, None, 0),
        (None, 10, None, 0),
        (None, -1, Some("Empty"), 0),
    ] {
        let list = ListTransactionsRequest {
            state_filters: state.into_iter().map(Into::into).collect(),
            duration_filter: duration,
            transactional_id_pattern: pattern.map(Into::into),
            ..Default::default()
        };
        let listed = broker.call(2, list).await;
        assert_eq!(
            listed.transaction_states.len(),
            expect,
            "{pattern:?} {state:?}"
        );
    }
    let list = ListTransactionsRequest {
        state_filters: vec!["Odd".into()],
        transactional_id_pattern: Some("(".into()),
        ..Default::default()
    };
    let refused = broker.call(2, list).await;
    assert_eq!(
        error(refused.error_code),
        ErrorCode::InvalidRegularExpression
    );

    let producers = DescribeProducersRequest {
        topics: vec![TopicRequest {
            name: "t".into(),
            partition_indexes: vec![0],
        }],
    };
    let found = broker.call(0, producers).await;
    let found = &found.topics[0].partitions[0].active_producers[0];
    assert_eq!(
        (found.producer_id, found.current_txn_start_offset),
        (p.id, 0)
    );
    let markers = |epoch, coordinator_epoch| WriteTxnMarkersRequest {
        markers: vec![WritableTxnMarker {
            producer_id: p.id,
            producer_epoch: epoch,
            transaction_result: false,
            topics: vec![WritableTxnMarkerTopic {
                name: "t".into(),
                partition_indexes: vec![0, 1],
            }],
            coordinator_epoch,
            transaction_version: 0,
        }],
    };
    for (epoch, coordinator_epoch, expect) in [
        (p.epoch - 1, 0, ErrorCode::InvalidProducerEpoch),
        (p.epoch, -2, ErrorCode::TransactionCoordinatorFenced),
        (p.epoch, 0, ErrorCode::None),
    ] {
        let response = broker.call(1, markers(epoch, coordinator_epoch)).await;
        let partitions = &response.markers[0].topics[0].partitions;
        assert_eq!(error(partitions[0].error_code), expect);
        assert_eq!(
            error(partitions[1].error_code),
            ErrorCode::UnknownTopicOrPartition
        );
    }
    assert_eq!((latest(&broker, 0).await, latest(&broker, 1).await), (2, 2));
    assert_eq!(committed(&broker, 0).await, [""; 0]);
}

#[tokio::test]
async fn the_second_protocol_is_a_feature() {
    let broker = TestBroker::start().await;
    let request = || ApiVersionsRequest {
        client_software_name: "test".into(),
        client_software_version: "1".into(),
    };
    for (version, least) in [(3, 1), (4, 0)] {
        let response = broker.call(version, request()).await;
        let supported = response.supported_features.iter();
        let mut supported = supported.filter(|feature| &*feature.name == "transaction.version");
        let supported = supported.next().expect("supported");
        assert_eq!((supported.min_version, supported.max_version), (least, 2));
        let finalized = response.finalized_features.iter();
        let mut finalized = finalized.filter(|feature| &*feature.name == "transaction.version");
        let finalized = finalized.next().expect("finalized");
        assert_eq!(
            (finalized.min_version_level, finalized.max_version_level),
            (2, 2)
        );
        assert_eq!(response.finalized_features_epoch, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_may_wait_for_what_is_committed() {
    for (isolation, open, aborted) in [
        ("read_uncommitted", &[0, 1][..], &[3][..]),
        ("read_committed", &[0], &[]),
    ] {
        let test = QueueTest::start().await;
        let topic = test.topic("t", 1, &[]).await;
        test.group(GROUP, &[("share.isolation.level", isolation)])
            .await;
        test.put("t", 0, &["plain"]).await;
        let mut p = Producer::start(&test, "p").await;
        p.send(&test, "t", 0, "committed").await;
        let take = async || offsets(&test.receive(topic, "w", 10).await);
        assert_eq!(take().await, open, "{isolation}");
        p.end(&test, true).await;
        let rest: Vec<i64> = [0, 1].into_iter().filter(|at| !open.contains(at)).collect();
        assert_eq!(take().await, rest, "{isolation}");
        p.send(&test, "t", 0, "aborted").await;
        p.end(&test, false).await;
        test.put("t", 0, &["behind"]).await;
        assert_eq!(take().await, [aborted, &[5]].concat(), "{isolation}");
    }
}

/// The power fails after every number of disk operations in turn. Whatever is left: a transaction is in all of its
/// partitions and its group, or in none; whose end was acknowledged is; and what was ending comes to its end.
#[tokio::test]
async fn a_crash_at_any_step_leaves_all_of_a_transaction_or_nothing() {
    let mut went_on = 0;
    for first_protocol in [false, true] {
        for calls in 0.. {
            let broker = TestBroker::with_single_entries().await;
            broker.create_topic("t", 2, &[]).await;
            let mut p = Producer {
                first_protocol,
                ..Producer::start(&broker, "p").await
            };
            // What lazily comes into being is there before the power is counted.
            assert_eq!(p.commit_offset(&broker, "g", 1).await, ErrorCode::None);
            p.end(&broker, true).await;
            broker.disk.fail_power_after(calls);
            let acknowledged = async {
                if first_protocol {
                    for partition in [0, 1] {
                        if p.add(&broker, "t", partition).await != ErrorCode::None {
                            return false;
                        }
                    }
                }
                for partition in [0, 1] {
                    if p.try_send(&broker, "t", partition, "a").await.is_err() {
                        return false;
                    }
                }
                p.commit_offset(&broker, "g", 2).await == ErrorCode::None
                    && p.try_end(&broker, true).await == ErrorCode::None
            }
            .await;
            let over = broker.disk.power_is_on();
            let survives = match calls % 3 {
                0 => Survives::Nothing,
                1 => Survives::Everything,
                _ => Survives::Chance(calls),
            };
            let broker = broker.lose_power(survives).await;
            let was = states(&broker).await;
            went_on += usize::from(was.iter().any(|(_, state)| state == "PrepareCommit"));
            eventually(&broker, is_over).await;
            // A successor aborts what was not ended.
            init(&broker, "p", 60_000).await.expect("init");
            let seen = (
                committed(&broker, 0).await,
                committed(&broker, 1).await,
                offset(&broker, "g", true).await,
            );
            let all = (vec!["a".to_owned()], vec!["a".to_owned()], Ok(2));
            let none = (Vec::new(), Vec::new(), Ok(1));
            assert!(
                seen == all || seen == none,
                "{seen:?} after {calls} calls, from {was:?}"
            );
            assert!(
                !acknowledged || seen == all,
                "after {calls} calls, from {was:?}"
            );
            assert_eq!(latest(&broker, 0).await, latest(&broker, 1).await);
            if over {
                assert!(acknowledged);
                break;
            }
        }
    }
    println!("{went_on} transactions were found prepared");
}

/// Tries again as clients do when they are told to.
async fn persistently(mut attempt: impl AsyncFnMut() -> ErrorCode) {
    for _ in 0..2_000 {
        let code = attempt().await;
        match code {
            ErrorCode::None => return,
            _ if code.retriable() => tokio::time::sleep(Duration::from_millis(1)).await,
            code => panic!("{code}"),
        }
    }
    panic!("in vain");
}

/// The disk is full for a moment at every step in turn. Whatever was lost is done again, and nothing is done twice or in
/// part: what follows from a lost record is lost, too.
#[tokio::test]
async fn a_full_disk_at_any_step_neither_loses_nor_tears_a_transaction() {
    for first_protocol in [false, true] {
        for (after, times) in (0..14).flat_map(|after| [(after, 1), (after, 3)]) {
            let broker = TestBroker::with_single_entries().await;
            broker.create_topic("t", 2, &[]).await;
            let mut p = Producer {
                first_protocol,
                ..Producer::start(&broker, "p").await
            };
            assert_eq!(p.commit_offset(&broker, "g", 1).await, ErrorCode::None);
            p.end(&broker, true).await;
            broker.disk.fail(Op::Write, ".wal", after, times, enospc);
            for (round, commit) in [true, false, true].into_iter().enumerate() {
                for partition in [0, 1] {
                    if first_protocol {
                        persistently(async || p.add(&broker, "t", partition).await).await;
                    }
                    let value = format!("{round}");
                    persistently(async || {
                        let sent = p.try_send(&broker, "t", partition, &value).await;
                        sent.err().unwrap_or(ErrorCode::None)
                    })
                    .await;
                }
                let at = round as i64 + 2;
                persistently(async || p.commit_offset(&broker, "g", at).await).await;
                persistently(async || p.try_end(&broker, commit).await).await;
            }
            let when = format!("{times} failures after {after} writes, v1 {first_protocol}");
            eventually(&broker, is_over).await;
            for partition in [0, 1] {
                assert_eq!(committed(&broker, partition).await, ["0", "2"], "{when}");
            }
            assert_eq!(offset(&broker, "g", true).await, Ok(4), "{when}");
            let broker = broker.lose_power(Survives::Nothing).await;
            eventually(&broker, is_over).await;
            for partition in [0, 1] {
                assert_eq!(committed(&broker, partition).await, ["0", "2"], "{when}");
            }
            assert_eq!(offset(&broker, "g", true).await, Ok(4), "{when}");
        }
    }
}
