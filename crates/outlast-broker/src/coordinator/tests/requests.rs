//! What the shell adds to the groups: topics that exist, several shards, versions.

use outlast_protocol::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use outlast_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest, OffsetDeleteRequest,
};

use super::*;

#[tokio::test(start_paused = true)]
async fn offsets_are_committed_for_partitions_that_exist() {
    let dir = data_dir();
    let process = Process::start(dir.path());
    let other = Uuid::from_u128(1);
    let (fine, unknown, unknown_id) = (
        ErrorCode::None,
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::UnknownTopicId,
    );
    for (version, name, id, expect) in [
        (9, "topic", Uuid::nil(), [fine, unknown, fine, unknown]),
        (9, "other", Uuid::nil(), [unknown; 4]),
        (10, "", TOPIC_ID, [fine, unknown, fine, unknown]),
        (10, "", other, [unknown_id; 4]),
    ] {
        let topic = OffsetCommitRequestTopic {
            name: name.into(),
            topic_id: id,
            partitions: [2, 3, 0, -1].map(|index| commit_partition(index, 1)).into(),
        };
        let mut request = commit_request(1);
        // Surrounded by others, whose answers must not be mixed up with its own.
        request.topics = vec![
            OffsetCommitRequestTopic {
                topic_id: other,
                name: "other".into(),
                partitions: vec![commit_partition(0, 1)],
            },
            topic.clone(),
            topic.clone(),
        ];
        let response = process
            .call(move |g| async move { g.offset_commit(request, version).await })
            .await;
        assert_eq!(response.topics.len(), 3);
        for answer in &response.topics[1..] {
            assert_eq!(answer.topic_id, if name == "topic" { TOPIC_ID } else { id });
            let errors: Vec<_> = answer
                .partitions
                .iter()
                .map(|p| code(p.error_code))
                .collect();
            assert_eq!(errors, expect, "version {version}, topic {name:?} {id}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_group_leaves_the_unknown_partitions_their_own() {
    let dir = data_dir();
    let process = Process::start(dir.path());
    let mut request = commit_request(1);
    request.generation_id_or_member_epoch = 5;
    request.topics[0].partitions.push(commit_partition(9, 1));
    let response = process
        .call(|g| async move { g.offset_commit(request, 9).await })
        .await;
    let errors: Vec<_> = response.topics[0]
        .partitions
        .iter()
        .map(|p| code(p.error_code))
        .collect();
    assert_eq!(
        errors,
        [
            ErrorCode::GroupIdNotFound,
            ErrorCode::UnknownTopicOrPartition
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn offsets_are_fetched_in_every_versions_way() {
    let dir = data_dir();
    let process = Process::start(dir.path());
    process.commit(5).await;

    // One group, by name.
    let topics = Some(vec![OffsetFetchRequestTopic {
        name: "topic".into(),
        partition_indexes: vec![0, 1],
    }]);
    let request = OffsetFetchRequest {
        group_id: GROUP.into(),
        topics,
        ..OffsetFetchRequest::default()
    };
    let response = process
        .call(|g| async move { g.offset_fetch(request, 7).await })
        .await;
    let offsets: Vec<_> = response.topics[0]
        .partitions
        .iter()
        .map(|p| p.committed_offset)
        .collect();
    assert_eq!(offsets, [5, -1]);

    // Several groups; topics by id, one of them unknown.
    let topic = |id| OffsetFetchRequestTopics {
        topic_id: id,
        partition_indexes: vec![0],
        ..Default::default()
    };
    let group = |name: &str, topics| OffsetFetchRequestGroup {
        group_id: name.into(),
        topics,
        ..Default::default()
    };
    let request = OffsetFetchRequest {
        groups: vec![
            group(
                GROUP,
                Some(vec![topic(Uuid::from_u128(1)), topic(TOPIC_ID)]),
            ),
            group(GROUP, None),
            group("other", None),
        ],
        require_stable: true,
        ..OffsetFetchRequest::default()
    };
    let response = process
        .call(|g| async move { g.offset_fetch(request, 10).await })
        .await;
    let first: Vec<_> = response.groups[0]
        .topics
        .iter()
        .map(|t| {
            (
                t.topic_id,
                t.partitions[0].committed_offset,
                code(t.partitions[0].error_code),
            )
        })
        .collect();
    assert_eq!(
        first,
        [
            (TOPIC_ID, 5, ErrorCode::None),
            (Uuid::from_u128(1), -1, ErrorCode::UnknownTopicId),
        ]
    );
    let all = &response.groups[1].topics;
    assert_eq!(
        (
            all.len(),
            all[0].topic_id,
            all[0].partitions[0].committed_offset
        ),
        (1, TOPIC_ID, 5)
    );
    assert!(response.groups[2].topics.is_empty() && response.groups[2].error_code == 0);
}

#[tokio::test(start_paused = true)]
async fn offsets_are_deleted_for_partitions_that_exist() {
    use outlast_protocol::messages::offset_delete::{
        OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
    };
    let dir = data_dir();
    let process = Process::start(dir.path());
    process.commit(5).await;
    let topic = |name: &str| OffsetDeleteRequestTopic {
        name: name.into(),
        partitions: [0, 9]
            .map(|partition_index| OffsetDeleteRequestPartition { partition_index })
            .into(),
    };
    let request = OffsetDeleteRequest {
        group_id: GROUP.into(),
        topics: vec![topic("topic"), topic("other")],
    };
    let response = process
        .call(|g| async move { g.offset_delete(request).await })
        .await;
    let answers: Vec<_> = response
        .topics
        .iter()
        .flat_map(|t| {
            t.partitions
                .iter()
                .map(|p| (&*t.name, p.partition_index, code(p.error_code)))
        })
        .collect();
    let unknown = ErrorCode::UnknownTopicOrPartition;
    assert_eq!(
        answers,
        [
            ("topic", 0, ErrorCode::None),
            ("topic", 9, unknown),
            ("other", 0, unknown),
            ("other", 9, unknown)
        ]
    );
    assert_eq!(process.committed().await, -1);
}

#[tokio::test(start_paused = true)]
async fn groups_of_all_shards_are_listed_described_and_deleted() {
    let dir = data_dir();
    let process = Process::start(dir.path());
    let names: Vec<Str> = (0..20).map(|n| Str::from(format!("group-{n}"))).collect();
    for name in &names {
        let request = OffsetCommitRequest {
            group_id: name.clone(),
            ..commit_request(1)
        };
        process
            .call(|g| async move { g.offset_commit(request, 9).await })
            .await;
    }
    let listed = process
        .call(|g| async move { g.list_groups(ListGroupsRequest::default()).await })
        .await;
    assert_eq!(listed.groups.len(), 20);

    let request = DescribeGroupsRequest {
        groups: names.clone(),
        ..Default::default()
    };
    let described = process
        .call(|g| async move { g.describe_groups(request, 6).await })
        .await;
    assert!(
        described
            .groups
            .iter()
            .zip(&names)
            .all(|(g, name)| g.group_id == *name && &*g.group_state == "Empty")
    );

    // Twice the same name has one answer.
    let mut twice = names.clone();
    twice.extend(names.clone());
    let request = DeleteGroupsRequest {
        groups_names: twice,
    };
    let deleted = process
        .call(|g| async move { g.delete_groups(request).await })
        .await;
    assert_eq!(deleted.results.len(), 20);
    assert!(deleted.results.iter().all(|result| result.error_code == 0));
    assert!(process.groups.summaries().is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_protocol_is_an_empty_name_before_version_7_and_null_after() {
    let dir = data_dir();
    let process = Process::start(dir.path());
    for (version, expect) in [(6, Some("")), (7, None)] {
        let response = process
            .call(move |g| async move { g.join_group(&client(), join_request(), version).await })
            .await;
        assert_eq!(code(response.error_code), ErrorCode::MemberIdRequired);
        assert_eq!(response.protocol_name.as_deref(), expect);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_topics_offsets_are_deleted() {
    let dir = data_dir();
    let process = Process::start(dir.path());
    process.commit(5).await;
    process.groups.topic_deleted("topic", TOPIC_ID);
    process.write().await;
    process.die().await;
    assert_eq!(Process::start(dir.path()).committed().await, -1);
}

#[tokio::test(start_paused = true)]
async fn summaries_tell_what_the_metrics_want() {
    let dir = data_dir();
    let process = Process::start(dir.path());
    process.commit(5).await;
    process.stable().await;
    let offset = GroupOffset {
        topic: "topic".into(),
        topic_id: TOPIC_ID,
        partition: 0,
        offset: Offset(5),
    };
    let expect = GroupSummary {
        group_id: GROUP.into(),
        state: GroupState::Stable,
        members: 1,
        offsets: vec![offset],
    };
    assert_eq!(process.groups.summaries(), [expect]);
}
