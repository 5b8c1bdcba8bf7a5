//! Describing, listing and deleting share groups and their offsets; what clients look for before they begin.

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::alter_share_group_offsets::{
    AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
};
use outlast_protocol::messages::delete_share_group_offsets::DeleteShareGroupOffsetsRequestTopic;
use outlast_protocol::messages::describe_share_group_offsets::{
    DescribeShareGroupOffsetsRequestGroup, DescribeShareGroupOffsetsRequestTopic,
};
use outlast_protocol::messages::*;

use crate::harness::*;
use crate::queue_harness::*;
use crate::share_harness::*;

async fn alter(test: &QueueTest, group: &str, offsets: &[(&str, i32, i64)]) -> Vec<ErrorCode> {
    let topics =
        offsets.iter().map(
            |(topic, partition, offset)| AlterShareGroupOffsetsRequestTopic {
                topic_name: (*topic).into(),
                partitions: vec![AlterShareGroupOffsetsRequestPartition {
                    partition_index: *partition,
                    start_offset: *offset,
                }],
            },
        );
    let request = AlterShareGroupOffsetsRequest {
        group_id: group.into(),
        topics: topics.collect(),
    };
    let response = test.call(0, request).await;
    if response.error_code != 0 {
        return vec![error(response.error_code)];
    }
    let topics = response.responses.iter();
    topics
        .map(|topic| error(topic.partitions[0].error_code))
        .collect()
}

/// `(topic, partition, start, lag)`; of all topics when none is named.
async fn starts(test: &QueueTest, topics: Option<&[(&str, i32)]>) -> Vec<(String, i32, i64, i64)> {
    let topics = topics.map(|topics| {
        let topics = topics
            .iter()
            .map(|(name, partition)| DescribeShareGroupOffsetsRequestTopic {
                topic_name: (*name).into(),
                partitions: vec![*partition],
            });
        topics.collect()
    });
    let request = DescribeShareGroupOffsetsRequest {
        groups: vec![DescribeShareGroupOffsetsRequestGroup {
            group_id: GROUP.into(),
            topics,
        }],
    };
    let response = test.call(1, request).await;
    let group = &response.groups[0];
    assert_eq!(
        (error(group.error_code), &*group.group_id),
        (ErrorCode::None, GROUP)
    );
    let mut starts = Vec::new();
    for topic in &group.topics {
        for p in &topic.partitions {
            starts.push((
                topic.topic_name.to_string(),
                p.partition_index,
                p.start_offset,
                p.lag,
            ));
        }
    }
    starts
}

async fn delete_offsets(test: &QueueTest, topics: &[&str]) -> Vec<ErrorCode> {
    let request = DeleteShareGroupOffsetsRequest {
        group_id: GROUP.into(),
        topics: topics
            .iter()
            .map(|name| DeleteShareGroupOffsetsRequestTopic {
                topic_name: (*name).into(),
            })
            .collect(),
    };
    let response = test.call(0, request).await;
    if response.error_code != 0 {
        return vec![error(response.error_code)];
    }
    response
        .responses
        .iter()
        .map(|topic| error(topic.error_code))
        .collect()
}

async fn delete_groups(test: &QueueTest, names: &[&str]) -> Vec<(String, ErrorCode)> {
    let request = DeleteGroupsRequest {
        groups_names: names.iter().map(|name| (*name).into()).collect(),
    };
    let results = test.call(2, request).await.results;
    let mut results: Vec<_> = results
        .iter()
        .map(|result| (result.group_id.to_string(), error(result.error_code)))
        .collect();
    results.sort_by(|a, b| a.0.cmp(&b.0));
    results
}

#[tokio::test(start_paused = true)]
async fn offsets_are_set_told_and_deleted() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 2, &[]).await;
    test.topic("u", 1, &[]).await;
    test.put("t", 0, &["a", "b", "c", "d"]).await;
    assert_eq!(starts(&test, None).await, []);

    // Before anybody has joined.
    let altered = alter(
        &test,
        GROUP,
        &[("t", 0, 1), ("t", 5, 0), ("missing", 0, 0), ("u", 0, -1)],
    )
    .await;
    let unknown = ErrorCode::UnknownTopicOrPartition;
    assert_eq!(
        altered,
        [ErrorCode::None, unknown, unknown, ErrorCode::InvalidRequest]
    );
    assert_eq!(starts(&test, None).await, [("t".into(), 0, 1, 3)]);
    let asked = [("t", 0), ("t", 1), ("u", 0), ("missing", 0)];
    assert_eq!(
        starts(&test, Some(&asked)).await,
        [
            ("missing".into(), 0, -1, -1),
            ("t".into(), 0, 1, 3),
            ("t".into(), 1, -1, -1),
            ("u".into(), 0, -1, -1)
        ]
    );

    let mut consumer = ShareConsumer::join(&test, "m1", 11, &["t"]).await;
    assert_eq!(offsets(&consumer.fetch(&[topic]).await), [1, 2, 3]);
    consumer
        .acknowledge(topic, &[(1, 1, &[ACCEPT]), (3, 3, &[ACCEPT])])
        .await;
    assert_eq!(
        starts(&test, Some(&[("t", 0)])).await,
        [("t".into(), 0, 2, 1)]
    );
    assert_eq!(
        alter(&test, GROUP, &[("t", 0, 0)]).await,
        [ErrorCode::NonEmptyGroup]
    );
    assert_eq!(
        delete_offsets(&test, &["t"]).await,
        [ErrorCode::NonEmptyGroup]
    );

    consumer.leave().await;
    assert_eq!(alter(&test, GROUP, &[("t", 0, 0)]).await, [ErrorCode::None]);
    assert_eq!(
        starts(&test, Some(&[("t", 0)])).await,
        [("t".into(), 0, 0, 4)]
    );
    assert_eq!(
        delete_offsets(&test, &["t", "u", "missing"]).await,
        [ErrorCode::None, unknown, unknown]
    );
    assert_eq!(starts(&test, None).await, []);
}

#[tokio::test(start_paused = true)]
async fn groups_that_are_not_there_or_not_of_this_kind() {
    let test = QueueTest::start().await;
    assert_eq!(
        delete_offsets(&test, &["t"]).await,
        [ErrorCode::GroupIdNotFound]
    );
    for group in ["", "outlast.redrive"] {
        assert_eq!(
            alter(&test, group, &[]).await,
            [ErrorCode::InvalidGroupId],
            "{group:?}"
        );
    }
    let classic = JoinGroupRequest {
        group_id: GROUP.into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        protocols: vec![Default::default()],
        ..Default::default()
    };
    let joined = test.call(9, classic).await;
    assert_eq!(error(joined.error_code), ErrorCode::MemberIdRequired);
    assert_eq!(
        alter(&test, GROUP, &[("t", 0, 0)]).await,
        [ErrorCode::GroupIdNotFound]
    );
    assert_eq!(
        delete_offsets(&test, &["t"]).await,
        [ErrorCode::GroupIdNotFound]
    );
}

#[tokio::test(start_paused = true)]
async fn a_group_is_described_listed_and_deleted_with_its_queues() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 2, &[]).await;
    test.group(GROUP, &[]).await;
    test.put("t", 0, &["a"]).await;
    let mut consumer = ShareConsumer::join(&test, "m1", 11, &["t"]).await;
    consumer.fetch(&[topic]).await;
    let describe = ShareGroupDescribeRequest {
        group_ids: vec![GROUP.into(), "missing".into()],
        include_authorized_operations: true,
    };
    let described = test.call(1, describe).await.groups;
    assert_eq!(
        (&*described[0].group_state, described[0].members.len()),
        ("Stable", 1)
    );
    assert_eq!(
        described[0].members[0].assignment.topic_partitions[0].partitions,
        [0, 1]
    );
    assert!(described[0].authorized_operations > 0);
    assert_eq!(error(described[1].error_code), ErrorCode::GroupIdNotFound);

    let list = ListGroupsRequest {
        types_filter: vec!["share".into()],
        ..Default::default()
    };
    let listed = test.call(5, list.clone()).await.groups;
    assert_eq!((listed.len(), &*listed[0].group_type), (1, "share"));

    let not_found = ErrorCode::GroupIdNotFound;
    assert_eq!(
        delete_groups(&test, &[GROUP, "missing"]).await,
        [
            (GROUP.into(), ErrorCode::NonEmptyGroup),
            ("missing".into(), not_found)
        ]
    );
    consumer.leave().await;
    calm().await;
    assert_eq!(
        delete_groups(&test, &[GROUP, GROUP]).await,
        [(GROUP.into(), ErrorCode::None)]
    );
    assert_eq!(test.call(5, list).await.groups, []);
    assert_eq!(starts(&test, None).await, []);
    assert_eq!(
        delete_groups(&test, &[GROUP]).await,
        [(GROUP.into(), not_found)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_queue_begins_when_a_member_is_assigned_and_not_when_it_first_looks() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.put("t", 0, &["before"]).await;
    let mut consumer = ShareConsumer::join(&test, "m1", 11, &["t"]).await;
    test.put("t", 0, &["after"]).await;
    let fetched = consumer.fetch(&[topic]).await;
    assert_eq!(fetched.len(), 1);
    assert_eq!(
        fetched[0].value, "after",
        "the group begins with the latest"
    );
}

#[tokio::test(start_paused = true)]
async fn what_clients_look_for_first() {
    let test = QueueTest::start().await;
    let versions = test.call(
        3,
        ApiVersionsRequest {
            client_software_name: "c".into(),
            client_software_version: "1".into(),
        },
    );
    let versions = versions.await;
    let finalized = &versions.finalized_features[0];
    assert_eq!(
        (&*finalized.name, finalized.max_version_level),
        ("share.version", 1)
    );
    assert!(versions.finalized_features_epoch >= 0);
    for key in [76, 77, 78, 79, 90, 91, 92] {
        assert!(
            versions.api_keys.iter().any(|api| api.api_key == key),
            "{key}"
        );
    }
    for key in 83..=87 {
        assert!(
            !versions.api_keys.iter().any(|api| api.api_key == key),
            "{key} is for brokers"
        );
    }
    for (key, version, expect) in [
        ("g:AAAAAAAAAAAAAAAAAAAAAQ:0", 6, ErrorCode::None),
        ("g", 6, ErrorCode::InvalidRequest),
        ("g:AAAAAAAAAAAAAAAAAAAAAQ:0", 5, ErrorCode::InvalidRequest),
    ] {
        let request = FindCoordinatorRequest {
            key_type: 2,
            coordinator_keys: vec![key.into()],
            ..Default::default()
        };
        let found = test.call(version, request).await;
        assert_eq!(
            error(found.coordinators[0].error_code),
            expect,
            "{key} v{version}"
        );
    }
}
