//! What a broker still knows after a restart: all that it acknowledged.

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::create_partitions::CreatePartitionsTopic;
use outlast_protocol::messages::*;

use crate::harness::*;

#[tokio::test]
async fn topics_configs_records_and_the_cluster_id_are_still_there() {
    let broker = TestBroker::start().await;
    let cluster_id = broker.broker.cluster_id().to_owned();
    let id = broker
        .create_topic("t", 1, &[("max.message.bytes", "100")])
        .await;
    broker.create_topic("gone", 1, &[]).await;
    broker.put("t", 0, &["a"]).await;
    let grow = CreatePartitionsTopic {
        name: "t".into(),
        count: 3,
        ..Default::default()
    };
    broker
        .call(
            3,
            CreatePartitionsRequest {
                topics: vec![grow],
                ..Default::default()
            },
        )
        .await;
    broker
        .call(
            5,
            DeleteTopicsRequest {
                topic_names: vec!["gone".into()],
                ..Default::default()
            },
        )
        .await;

    let broker = broker.restart().await;
    assert_eq!(broker.broker.cluster_id(), cluster_id);
    let all = broker
        .call(
            12,
            MetadataRequest {
                topics: None,
                ..Default::default()
            },
        )
        .await;
    assert_eq!(all.topics.len(), 1);
    assert_eq!(
        (all.topics[0].topic_id, all.topics[0].partitions.len()),
        (id, 3)
    );
    let fetched = broker.call(12, fetch_request(&[("t", 0, 0)])).await;
    assert_eq!(
        values(&fetched.responses[0].partitions[0]),
        [(0, "a".to_owned())]
    );
    let large = broker.produce("t", 0, batch(&[&"x".repeat(100)])).await;
    assert_eq!(error(large.error_code), ErrorCode::MessageTooLarge);
    assert_eq!(broker.put("t", 0, &["b"]).await, 1);
}

#[tokio::test]
async fn a_producers_sequence_goes_on() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let id = broker
        .call(4, InitProducerIdRequest::default())
        .await
        .producer_id;
    broker
        .produce("t", 0, Batch::producer(id, 0, 0).values(&["a"]).bytes())
        .await;
    let broker = broker.restart().await;
    for (sequence, offset, expect) in [
        (0, 0, ErrorCode::None),
        (1, 1, ErrorCode::None),
        (3, -1, ErrorCode::OutOfOrderSequenceNumber),
    ] {
        let answer = broker
            .produce(
                "t",
                0,
                Batch::producer(id, 0, sequence).values(&["b"]).bytes(),
            )
            .await;
        assert_eq!(
            (error(answer.error_code), answer.base_offset),
            (expect, offset),
            "sequence {sequence}"
        );
    }
}

#[tokio::test]
async fn the_metadata_log_is_trimmed_to_a_snapshot() {
    let broker = TestBroker::start().await;
    let id = broker.create_topic("t", 1, &[]).await;
    // Many changes of one large value: the log outgrows what it says.
    let large = "1:1,".repeat(8000) + "1:1";
    for value in [large.as_str(), "*"].repeat(140) {
        let response = broker.call(1, set_throttled_replicas(value)).await;
        assert_eq!(error(response.responses[0].error_code), ErrorCode::None);
    }
    assert!(
        broker.metadata_log_start() > 0,
        "the log start moved to the snapshot"
    );
    let broker = broker.restart().await;
    let all = broker
        .call(
            12,
            MetadataRequest {
                topics: None,
                ..Default::default()
            },
        )
        .await;
    assert_eq!(all.topics[0].topic_id, id);
}

fn set_throttled_replicas(value: &str) -> IncrementalAlterConfigsRequest {
    let config = incremental_alter_configs::AlterableConfig {
        name: "leader.replication.throttled.replicas".into(),
        config_operation: 0,
        value: Some(value.into()),
    };
    let resource = incremental_alter_configs::AlterConfigsResource {
        resource_type: 2,
        resource_name: "t".into(),
        configs: vec![config],
    };
    IncrementalAlterConfigsRequest {
        resources: vec![resource],
        ..Default::default()
    }
}
