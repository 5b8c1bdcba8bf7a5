//! Metadata and the life of topics: automatic and asked-for creation, growth, deletion, and the rules for each.

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use outlast_protocol::messages::create_topics::{CreatableReplicaAssignment, CreatableTopic};
use outlast_protocol::messages::delete_topics::DeleteTopicState;
use outlast_protocol::messages::metadata::{MetadataRequestTopic, MetadataResponseTopic};
use outlast_protocol::messages::*;
use uuid::Uuid;

use crate::harness::*;

fn metadata(names: &[&str]) -> MetadataRequest {
    let topics = names.iter().map(|name| MetadataRequestTopic {
        name: Some((*name).into()),
        ..Default::default()
    });
    MetadataRequest {
        topics: Some(topics.collect()),
        ..Default::default()
    }
}

async fn topics_of(
    broker: &TestBroker,
    version: i16,
    request: MetadataRequest,
) -> Vec<MetadataResponseTopic> {
    broker.call(version, request).await.topics
}

#[tokio::test]
async fn a_topic_is_created_when_a_client_asks_for_it() {
    let broker = TestBroker::with(&[("num.partitions", "3")]).await;
    for version in 0..=13 {
        let name = format!("auto-{version}");
        let topics = topics_of(&broker, version, metadata(&[&name])).await;
        let topic = &topics[0];
        assert_eq!(error(topic.error_code), ErrorCode::None, "v{version}");
        assert_eq!(topic.partitions.len(), 3, "v{version}");
        assert!(
            topic
                .partitions
                .iter()
                .all(|partition| partition.leader_id == 1)
        );
    }
}

#[tokio::test]
async fn creation_needs_leave_and_a_good_name() {
    let broker = TestBroker::start().await;
    broker.create_topic("a.b", 1, &[]).await;
    for (name, allow, expect) in [
        ("new", false, ErrorCode::UnknownTopicOrPartition),
        ("new", true, ErrorCode::None),
        ("a_b", true, ErrorCode::InvalidTopicException),
        ("a b", true, ErrorCode::InvalidTopicException),
        ("a b", false, ErrorCode::InvalidTopicException),
        ("", true, ErrorCode::InvalidTopicException),
        ("__cluster_metadata", true, ErrorCode::InvalidTopicException),
    ] {
        let request = MetadataRequest {
            allow_auto_topic_creation: allow,
            ..metadata(&[name])
        };
        let topics = topics_of(&broker, 12, request).await;
        assert_eq!(error(topics[0].error_code), expect, "{name:?} {allow}");
    }
    let closed = TestBroker::with(&[("auto.create.topics.enable", "false")]).await;
    let topics = topics_of(&closed, 12, metadata(&["new"])).await;
    assert_eq!(
        error(topics[0].error_code),
        ErrorCode::UnknownTopicOrPartition
    );
}

#[tokio::test]
async fn metadata_names_the_broker_and_the_topics_asked_for() {
    let broker = TestBroker::start().await;
    let id = broker.create_topic("t", 2, &[]).await;
    broker.create_topic("u", 1, &[]).await;
    for version in 0..=13 {
        let all = if version == 0 { Some(Vec::new()) } else { None };
        let request = MetadataRequest {
            topics: all,
            ..Default::default()
        };
        let response = broker.call(version, request).await;
        assert_eq!(response.topics.len(), 2, "v{version}");
        let node = &response.brokers[0];
        assert_eq!(
            (node.node_id, &*node.host, node.port),
            (1, "broker.test", 9092)
        );
    }
    let none = MetadataRequest {
        topics: Some(Vec::new()),
        ..Default::default()
    };
    assert!(topics_of(&broker, 1, none).await.is_empty());

    for (id, name, expect) in [
        (id, Some("t"), ErrorCode::None),
        (Uuid::from_u128(9), None, ErrorCode::UnknownTopicId),
    ] {
        let by_id = MetadataRequestTopic {
            topic_id: id,
            name: None,
        };
        let request = MetadataRequest {
            topics: Some(vec![by_id.clone()]),
            ..Default::default()
        };
        let topics = topics_of(&broker, 12, request).await;
        assert_eq!(
            (topics[0].name.as_deref(), error(topics[0].error_code)),
            (name, expect)
        );
        let early = MetadataRequest {
            topics: Some(vec![by_id]),
            ..Default::default()
        };
        let topics = topics_of(&broker, 10, early).await;
        assert_eq!(
            error(topics[0].error_code),
            ErrorCode::InvalidRequest,
            "ids work from v12 on"
        );
    }
}

#[tokio::test]
async fn authorized_operations_are_told_when_asked_for() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let request = MetadataRequest {
        include_topic_authorized_operations: true,
        include_cluster_authorized_operations: true,
        ..metadata(&["t"])
    };
    let response = broker.call(8, request).await;
    assert_eq!(response.topics[0].topic_authorized_operations, 3576);
    assert_eq!(response.cluster_authorized_operations, 8096);
}

#[tokio::test]
async fn topics_are_created_or_refused() {
    let broker = TestBroker::start().await;
    broker.create_topic("there", 1, &[]).await;
    let assigned = |assignments: &[(i32, &[i32])]| CreatableTopic {
        assignments: assignments
            .iter()
            .map(|(partition_index, ids)| CreatableReplicaAssignment {
                partition_index: *partition_index,
                broker_ids: ids.to_vec(),
            })
            .collect(),
        ..topic("assigned", -1, &[])
    };
    let replicated = |factor| CreatableTopic {
        replication_factor: factor,
        ..topic("r", 1, &[])
    };
    for (given, expect) in [
        (topic("there", 1, &[]), ErrorCode::TopicAlreadyExists),
        (topic("the/re", 1, &[]), ErrorCode::InvalidTopicException),
        (topic("p", 0, &[]), ErrorCode::InvalidPartitions),
        (topic("p", -2, &[]), ErrorCode::InvalidPartitions),
        (topic("p", 10_001, &[]), ErrorCode::PolicyViolation),
        (topic("p", -1, &[]), ErrorCode::None),
        (replicated(0), ErrorCode::InvalidReplicationFactor),
        (replicated(3), ErrorCode::InvalidReplicationFactor),
        (replicated(1), ErrorCode::None),
        (
            topic("c", 1, &[("retention.ms", "soon")]),
            ErrorCode::InvalidConfig,
        ),
        (
            topic("c", 1, &[("retention", "1")]),
            ErrorCode::InvalidConfig,
        ),
        (assigned(&[(0, &[2])]), ErrorCode::InvalidReplicaAssignment),
        (
            assigned(&[(0, &[1, 1])]),
            ErrorCode::InvalidReplicaAssignment,
        ),
        (assigned(&[(0, &[])]), ErrorCode::InvalidReplicaAssignment),
        (
            assigned(&[(0, &[1]), (0, &[1])]),
            ErrorCode::InvalidReplicaAssignment,
        ),
        (
            assigned(&[(0, &[1]), (2, &[1])]),
            ErrorCode::InvalidReplicaAssignment,
        ),
        (
            CreatableTopic {
                num_partitions: 1,
                ..assigned(&[(0, &[1])])
            },
            ErrorCode::InvalidRequest,
        ),
        (assigned(&[(1, &[1]), (0, &[1])]), ErrorCode::None),
    ] {
        let what = format!("{given:?}");
        let response = broker
            .call(
                7,
                CreateTopicsRequest {
                    topics: vec![given],
                    ..Default::default()
                },
            )
            .await;
        let result = &response.topics[0];
        assert_eq!(
            error(result.error_code),
            expect,
            "{what} {:?}",
            result.error_message
        );
        assert_eq!(
            result.error_message.is_none(),
            expect == ErrorCode::None,
            "{what}"
        );
    }
}

#[tokio::test]
async fn one_request_creates_what_is_good_in_it() {
    let broker = TestBroker::start().await;
    let topics = vec![
        topic("twice", 1, &[]),
        topic("twice", 1, &[]),
        topic("good", 2, &[("retention.ms", "60000")]),
        topic("go.od", 1, &[]),
        topic("go_od", 1, &[]),
    ];
    let response = broker
        .call(
            7,
            CreateTopicsRequest {
                topics,
                ..Default::default()
            },
        )
        .await;
    let mut codes: Vec<_> = response
        .topics
        .iter()
        .map(|topic| (topic.name.to_string(), error(topic.error_code)))
        .collect();
    codes.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        codes,
        [
            ("go.od".to_owned(), ErrorCode::None),
            ("go_od".to_owned(), ErrorCode::InvalidTopicException),
            ("good".to_owned(), ErrorCode::None),
            ("twice".to_owned(), ErrorCode::InvalidRequest),
        ]
    );
    let good = response
        .topics
        .iter()
        .find(|topic| &*topic.name == "good")
        .unwrap();
    assert_eq!((good.num_partitions, good.replication_factor), (2, 1));
    let configs = good.configs.as_ref().unwrap();
    let retention = configs
        .iter()
        .find(|config| &*config.name == "retention.ms")
        .unwrap();
    assert_eq!(
        (retention.value.as_deref(), retention.config_source),
        (Some("60000"), 1)
    );
}

#[tokio::test]
async fn validate_only_changes_nothing() {
    let broker = TestBroker::start().await;
    let topics = vec![topic("t", 1, &[])];
    for _ in 0..2 {
        let request = CreateTopicsRequest {
            topics: topics.clone(),
            validate_only: true,
            ..Default::default()
        };
        assert_eq!(
            error(broker.call(7, request).await.topics[0].error_code),
            ErrorCode::None
        );
    }
    broker.create_topic("t", 1, &[]).await;
    let grow = CreatePartitionsTopic {
        name: "t".into(),
        count: 4,
        ..Default::default()
    };
    let request = CreatePartitionsRequest {
        topics: vec![grow],
        validate_only: true,
        ..Default::default()
    };
    assert_eq!(
        error(broker.call(3, request).await.results[0].error_code),
        ErrorCode::None
    );
    assert_eq!(
        topics_of(&broker, 12, metadata(&["t"])).await[0]
            .partitions
            .len(),
        1
    );
}

#[tokio::test]
async fn topics_grow() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 2, &[]).await;
    broker.put("t", 1, &["kept"]).await;
    let assigned = |ids: &[i32]| CreatePartitionsAssignment {
        broker_ids: ids.to_vec(),
    };
    for (name, count, assignments, expect) in [
        ("missing", 3, None, ErrorCode::UnknownTopicOrPartition),
        ("t", 2, None, ErrorCode::InvalidPartitions),
        ("t", 1, None, ErrorCode::InvalidPartitions),
        (
            "t",
            4,
            Some(vec![assigned(&[1])]),
            ErrorCode::InvalidReplicaAssignment,
        ),
        (
            "t",
            3,
            Some(vec![assigned(&[7])]),
            ErrorCode::InvalidReplicaAssignment,
        ),
        ("t", 3, Some(vec![assigned(&[1])]), ErrorCode::None),
        ("t", 5, None, ErrorCode::None),
    ] {
        let grow = CreatePartitionsTopic {
            name: name.into(),
            count,
            assignments,
        };
        let request = CreatePartitionsRequest {
            topics: vec![grow],
            ..Default::default()
        };
        let result = broker.call(3, request).await.results.remove(0);
        assert_eq!(
            error(result.error_code),
            expect,
            "{name} {count} {:?}",
            result.error_message
        );
    }
    assert_eq!(broker.put("t", 4, &["new"]).await, 0);
    assert_eq!(broker.put("t", 1, &["old"]).await, 1);
}

#[tokio::test]
async fn topics_are_deleted_by_name_or_id() {
    let broker = TestBroker::start().await;
    let first = broker.create_topic("t", 1, &[]).await;
    broker.put("t", 0, &["gone"]).await;
    let by_name = DeleteTopicsRequest {
        topic_names: vec!["t".into(), "missing".into()],
        ..Default::default()
    };
    let codes: Vec<_> = broker
        .call(5, by_name)
        .await
        .responses
        .iter()
        .map(|r| error(r.error_code))
        .collect();
    assert_eq!(codes, [ErrorCode::None, ErrorCode::UnknownTopicOrPartition]);
    let answer = broker.produce("t", 0, batch(&["a"])).await;
    assert_eq!(error(answer.error_code), ErrorCode::UnknownTopicOrPartition);

    let second = broker.create_topic("t", 1, &[]).await;
    assert_ne!(first, second, "a topic of the same name is another topic");
    assert_eq!(broker.put("t", 0, &["new"]).await, 0);
    let state = |name: Option<&str>, topic_id| DeleteTopicState {
        name: name.map(Into::into),
        topic_id,
    };
    for (asked, expect) in [
        (state(None, first), ErrorCode::UnknownTopicId),
        (state(Some("t"), second), ErrorCode::InvalidRequest),
        (state(None, Uuid::nil()), ErrorCode::InvalidRequest),
        (state(None, second), ErrorCode::None),
    ] {
        let request = DeleteTopicsRequest {
            topics: vec![asked.clone()],
            ..Default::default()
        };
        let result = broker.call(6, request).await.responses.remove(0);
        assert_eq!(error(result.error_code), expect, "{asked:?}");
    }
}

#[tokio::test]
async fn what_is_the_brokers_own_stays() {
    let broker = TestBroker::start().await;
    topics_of(&broker, 12, metadata(&["__consumer_offsets"])).await;
    let request = DeleteTopicsRequest {
        topic_names: vec!["__consumer_offsets".into()],
        ..Default::default()
    };
    assert_eq!(
        error(broker.call(5, request).await.responses[0].error_code),
        ErrorCode::InvalidTopicException
    );
    let topics = topics_of(&broker, 12, metadata(&["__consumer_offsets"])).await;
    assert!(topics[0].is_internal);
    assert_eq!(topics[0].partitions.len(), 50);

    let fixed = TestBroker::with(&[("delete.topic.enable", "false")]).await;
    fixed.create_topic("t", 1, &[]).await;
    let request = DeleteTopicsRequest {
        topic_names: vec!["t".into()],
        ..Default::default()
    };
    assert_eq!(
        error(fixed.call(5, request).await.responses[0].error_code),
        ErrorCode::TopicDeletionDisabled
    );
}

#[tokio::test]
async fn topics_are_described_page_by_page() {
    let broker = TestBroker::start().await;
    for (name, partitions) in [("a", 2), ("b", 3), ("c", 1)] {
        broker.create_topic(name, partitions, &[]).await;
    }
    let mut request = DescribeTopicPartitionsRequest {
        response_partition_limit: 2,
        ..Default::default()
    };
    let mut pages = Vec::new();
    loop {
        let page = broker.call(0, request.clone()).await;
        let described = page.topics.iter().flat_map(|topic| {
            let name = topic.name.clone().unwrap_or_default();
            topic
                .partitions
                .iter()
                .map(move |partition| format!("{name}{}", partition.partition_index))
        });
        pages.push(described.collect::<Vec<_>>().join(" "));
        match page.next_cursor {
            Some(cursor) => request.cursor = Some(cursor),
            None => break,
        }
    }
    assert_eq!(pages, ["a0 a1", "b0 b1", "b2 c0"]);

    let missing = DescribeTopicPartitionsRequest {
        topics: vec![describe_topic_partitions::TopicRequest {
            name: "missing".into(),
        }],
        ..Default::default()
    };
    let response = broker.call(0, missing).await;
    assert_eq!(
        error(response.topics[0].error_code),
        ErrorCode::UnknownTopicOrPartition
    );
}
