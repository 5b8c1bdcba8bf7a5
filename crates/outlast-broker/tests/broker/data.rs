//! What is asked about partitions: offsets, epochs, producers; and DeleteRecords.

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use outlast_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopic,
};
use outlast_protocol::messages::offset_for_leader_epoch::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use outlast_protocol::messages::*;
use outlast_records::Compression;

use crate::harness::*;

fn list_offsets(topic: &str, partition_index: i32, timestamp: i64) -> ListOffsetsRequest {
    let partition = ListOffsetsPartition {
        partition_index,
        timestamp,
        ..Default::default()
    };
    ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: topic.into(),
            partitions: vec![partition],
        }],
        ..Default::default()
    }
}

async fn offset_at(
    broker: &TestBroker,
    version: i16,
    timestamp: i64,
) -> ListOffsetsPartitionResponse {
    let response = broker.call(version, list_offsets("t", 0, timestamp)).await;
    response.topics[0].partitions[0].clone()
}

async fn delete_records(
    broker: &TestBroker,
    topic: &str,
    partition_index: i32,
    offset: i64,
) -> (ErrorCode, i64) {
    let partition = DeleteRecordsPartition {
        partition_index,
        offset,
    };
    let topic = DeleteRecordsTopic {
        name: topic.into(),
        partitions: vec![partition],
    };
    let response = broker
        .call(
            2,
            DeleteRecordsRequest {
                topics: vec![topic],
                ..Default::default()
            },
        )
        .await;
    let result = &response.topics[0].partitions[0];
    (error(result.error_code), result.low_watermark)
}

#[tokio::test]
async fn offsets_are_found_by_timestamp() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    for times in [&[100, 200][..], &[400, 300]] {
        let batch = times.iter().fold(Batch::new(Compression::None), |b, time| {
            b.record(*time, Some("k"), "v")
        });
        broker.produce("t", 0, batch.bytes()).await;
    }
    for (timestamp, offset, found) in [
        (0, 0, 100),
        (100, 0, 100),
        (101, 1, 200),
        (201, 2, 400),
        (400, 2, 400),
        (401, -1, -1),
        (-1, 4, -1),
        (-2, 0, -1),
        (-3, 2, 400),
        (-4, 0, -1),
        (-5, -1, -1),
        (-6, -1, -1),
    ] {
        let answer = offset_at(&broker, 11, timestamp).await;
        assert_eq!(error(answer.error_code), ErrorCode::None, "{timestamp}");
        assert_eq!(
            (answer.offset, answer.timestamp),
            (offset, found),
            "{timestamp}"
        );
    }
}

#[tokio::test]
async fn special_timestamps_need_their_version() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    for (timestamp, first) in [
        (-1, 1),
        (-2, 1),
        (-3, 7),
        (-4, 8),
        (-5, 9),
        (-6, 11),
        (-7, 99),
    ] {
        for version in 1..=11 {
            let expect = if version < first {
                ErrorCode::UnsupportedVersion
            } else {
                ErrorCode::None
            };
            assert_eq!(
                error(offset_at(&broker, version, timestamp).await.error_code),
                expect,
                "{timestamp} v{version}"
            );
        }
    }
}

#[tokio::test]
async fn list_offsets_errors() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let mut future = list_offsets("t", 0, -1);
    future.topics[0].partitions[0].current_leader_epoch = 3;
    let mut twice = list_offsets("t", 0, -1);
    twice.topics.push(twice.topics[0].clone());
    for (request, expect) in [
        (
            list_offsets("missing", 0, -1),
            ErrorCode::UnknownTopicOrPartition,
        ),
        (list_offsets("t", 1, -1), ErrorCode::UnknownTopicOrPartition),
        (future, ErrorCode::UnknownLeaderEpoch),
        (twice, ErrorCode::InvalidRequest),
    ] {
        let answer = broker.call(11, request).await.topics[0].partitions[0].clone();
        assert_eq!((error(answer.error_code), answer.offset), (expect, -1));
    }
}

#[tokio::test]
async fn deleted_records_are_gone_and_the_log_start_moves() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    broker
        .create_topic("compacted", 1, &[("cleanup.policy", "compact")])
        .await;
    for value in ["a", "b", "c"] {
        broker.put("t", 0, &[value]).await;
    }
    for (topic, partition, offset, expect) in [
        ("t", 0, 4, (ErrorCode::OffsetOutOfRange, -1)),
        ("t", 0, -2, (ErrorCode::OffsetOutOfRange, -1)),
        ("t", 1, 0, (ErrorCode::UnknownTopicOrPartition, -1)),
        ("compacted", 0, 0, (ErrorCode::PolicyViolation, -1)),
        ("t", 0, 1, (ErrorCode::None, 1)),
        ("t", 0, 0, (ErrorCode::None, 1)),
    ] {
        assert_eq!(
            delete_records(&broker, topic, partition, offset).await,
            expect,
            "{topic}-{partition} {offset}"
        );
    }
    assert_eq!(offset_at(&broker, 11, -2).await.offset, 1);
    let fetched = broker.call(12, fetch_request(&[("t", 0, 0)])).await;
    assert_eq!(
        error(fetched.responses[0].partitions[0].error_code),
        ErrorCode::OffsetOutOfRange
    );
    let fetched = broker.call(12, fetch_request(&[("t", 0, 1)])).await;
    assert_eq!(fetched.responses[0].partitions[0].log_start_offset, 1);
    assert_eq!(
        delete_records(&broker, "t", 0, -1).await,
        (ErrorCode::None, 3)
    );
}

#[tokio::test]
async fn epochs_end_where_the_log_does() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let end = async |current_leader_epoch, leader_epoch| {
        let partition = OffsetForLeaderPartition {
            partition: 0,
            current_leader_epoch,
            leader_epoch,
        };
        let topic = OffsetForLeaderTopic {
            topic: "t".into(),
            partitions: vec![partition],
        };
        let request = OffsetForLeaderEpochRequest {
            topics: vec![topic],
            ..Default::default()
        };
        let response = broker.call(4, request).await;
        let end = &response.topics[0].partitions[0];
        (error(end.error_code), end.leader_epoch, end.end_offset)
    };
    assert_eq!(
        end(-1, 0).await,
        (ErrorCode::None, 0, 0),
        "before the first record"
    );
    broker.put("t", 0, &["a", "b"]).await;
    for (current, asked, expect) in [
        (0, 0, (ErrorCode::None, 0, 2)),
        (-1, 1, (ErrorCode::None, -1, -1)),
        (-1, -1, (ErrorCode::None, -1, -1)),
        (1, 0, (ErrorCode::UnknownLeaderEpoch, -1, -1)),
    ] {
        assert_eq!(end(current, asked).await, expect, "{current} {asked}");
    }
}

#[tokio::test]
async fn producers_are_described() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let id = broker
        .call(4, InitProducerIdRequest::default())
        .await
        .producer_id;
    broker
        .produce(
            "t",
            0,
            Batch::producer(id, 0, 0).values(&["a", "b"]).bytes(),
        )
        .await;
    let topic = describe_producers::TopicRequest {
        name: "t".into(),
        partition_indexes: vec![0, 1],
    };
    let response = broker
        .call(
            0,
            DescribeProducersRequest {
                topics: vec![topic],
            },
        )
        .await;
    let partitions = &response.topics[0].partitions;
    let producer = &partitions[0].active_producers[0];
    assert_eq!(
        (
            producer.producer_id,
            producer.producer_epoch,
            producer.last_sequence
        ),
        (id, 0, 1)
    );
    assert_eq!(
        error(partitions[1].error_code),
        ErrorCode::UnknownTopicOrPartition
    );
}

#[tokio::test]
async fn producer_ids_are_given_once() {
    let broker = TestBroker::start().await;
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..1001 {
        let answer = broker.call(5, InitProducerIdRequest::default()).await;
        assert_eq!(
            (error(answer.error_code), answer.producer_epoch),
            (ErrorCode::None, 0)
        );
        assert!(ids.insert(answer.producer_id));
    }
    let broker = broker.restart().await;
    let next = broker
        .call(5, InitProducerIdRequest::default())
        .await
        .producer_id;
    assert!(!ids.contains(&next));

    let half = InitProducerIdRequest {
        producer_id: 5,
        ..Default::default()
    };
    assert_eq!(
        error(broker.call(5, half).await.error_code),
        ErrorCode::InvalidRequest
    );
}
