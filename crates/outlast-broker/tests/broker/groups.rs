//! Groups through the handlers. Their rules are tested with the state machine; here is that requests reach it.

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::join_group::JoinGroupRequestProtocol;
use outlast_protocol::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use outlast_protocol::messages::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use outlast_protocol::messages::sync_group::SyncGroupRequestAssignment;
use outlast_protocol::messages::*;

use crate::harness::*;

fn join(member_id: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id: member_id.into(),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Joins as the only member; `(member id, generation)`.
async fn joined(broker: &TestBroker) -> (String, i32) {
    let first = broker.call(9, join("")).await;
    assert_eq!(error(first.error_code), ErrorCode::MemberIdRequired);
    let second = broker.call(9, join(&first.member_id)).await;
    assert_eq!(error(second.error_code), ErrorCode::None);
    let member = second.member_id.to_string();
    let sync = SyncGroupRequest {
        group_id: "g".into(),
        generation_id: second.generation_id,
        member_id: member.as_str().into(),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: member.as_str().into(),
            assignment: "mine".into(),
        }],
        ..Default::default()
    };
    let synced = broker.call(5, sync).await;
    assert_eq!(
        (error(synced.error_code), &synced.assignment[..]),
        (ErrorCode::None, &b"mine"[..])
    );
    (member, second.generation_id)
}

fn commit(member: &str, generation: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition {
        committed_offset: offset,
        ..Default::default()
    };
    OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: generation,
        member_id: member.into(),
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    }
}

async fn committed(broker: &TestBroker) -> i64 {
    let topic = OffsetFetchRequestTopics {
        name: "t".into(),
        partition_indexes: vec![0],
        ..Default::default()
    };
    let group = OffsetFetchRequestGroup {
        group_id: "g".into(),
        topics: Some(vec![topic]),
        ..Default::default()
    };
    let response = broker
        .call(
            8,
            OffsetFetchRequest {
                groups: vec![group],
                ..Default::default()
            },
        )
        .await;
    response.groups[0].topics[0].partitions[0].committed_offset
}

#[tokio::test]
async fn a_consumers_life() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let (member, generation) = joined(&broker).await;
    let beat = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: generation,
        member_id: member.as_str().into(),
        ..Default::default()
    };
    assert_eq!(
        error(broker.call(4, beat).await.error_code),
        ErrorCode::None
    );
    let answer = broker.call(9, commit(&member, generation, 5)).await;
    assert_eq!(
        error(answer.topics[0].partitions[0].error_code),
        ErrorCode::None
    );
    assert_eq!(committed(&broker).await, 5);
    broker
        .put("t", 0, &["0", "1", "2", "3", "4", "5", "6"])
        .await;
    let metrics = broker.metrics();
    for line in [
        "outlast_group_lag{group=\"g\",topic=\"t\",partition=\"0\"} 2",
        "outlast_group_members{group=\"g\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }

    let described = broker
        .call(
            6,
            DescribeGroupsRequest {
                groups: vec!["g".into()],
                ..Default::default()
            },
        )
        .await;
    assert_eq!(
        (
            &*described.groups[0].group_state,
            described.groups[0].members.len()
        ),
        ("Stable", 1)
    );
    let listed = broker.call(5, ListGroupsRequest::default()).await;
    assert_eq!(&*listed.groups[0].group_id, "g");

    let delete = DeleteGroupsRequest {
        groups_names: vec!["g".into()],
    };
    assert_eq!(
        error(broker.call(2, delete.clone()).await.results[0].error_code),
        ErrorCode::NonEmptyGroup
    );
    let identity = leave_group::MemberIdentity {
        member_id: member.as_str().into(),
        ..Default::default()
    };
    let leave = LeaveGroupRequest {
        group_id: "g".into(),
        members: vec![identity],
        ..Default::default()
    };
    assert_eq!(
        error(broker.call(5, leave).await.error_code),
        ErrorCode::None
    );
    assert_eq!(
        error(broker.call(2, delete).await.results[0].error_code),
        ErrorCode::None
    );
    assert_eq!(committed(&broker).await, -1);
}

#[tokio::test]
async fn committed_offsets_survive_a_restart_and_go_with_their_topic() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    broker.call(9, commit("", -1, 7)).await;
    let broker = broker.restart().await;
    assert_eq!(committed(&broker).await, 7);
    let delete = DeleteTopicsRequest {
        topic_names: vec!["t".into()],
        ..Default::default()
    };
    broker.call(5, delete).await;
    broker.create_topic("t", 1, &[]).await;
    assert_eq!(committed(&broker).await, -1);
}

#[tokio::test]
async fn listing_groups_makes_no_topic() {
    let broker = TestBroker::start().await;
    assert!(
        broker
            .call(5, ListGroupsRequest::default())
            .await
            .groups
            .is_empty()
    );
    let all = broker
        .call(
            12,
            MetadataRequest {
                topics: None,
                ..Default::default()
            },
        )
        .await;
    assert!(all.topics.is_empty());
}
