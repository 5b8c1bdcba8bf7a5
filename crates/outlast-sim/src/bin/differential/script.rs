//! The requests, in their order: the life of a few topics and groups, with the mistakes that
//! clients make on the way.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use outlast_client::Connection;
use outlast_protocol::messages::*;
use outlast_protocol::{ErrorCode, Request, Str};
use outlast_records::{BatchBuilder, Compression, NewRecord, Timestamp};
use uuid::Uuid;

use crate::answer::Answer;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;

struct Script {
    connection: Connection,
    answers: Vec<Answer>,
    topic_id: Uuid,
    start: i64,
}

/// The records are written with timestamps from `start` on, which is the same for both brokers.
pub async fn play(connection: Connection, start: i64) -> Result<Vec<Answer>> {
    let mut script = Script {
        connection,
        answers: Vec::new(),
        topic_id: Uuid::nil(),
        start,
    };
    script.cluster().await?;
    script.topics().await?;
    script.configs().await?;
    script.data().await?;
    script.offsets().await?;
    script.groups().await?;
    script.end().await?;
    Ok(script.answers)
}

impl Script {
    async fn ask<R: Request>(&mut self, step: &str, request: R) -> Result<R::Response>
    where
        R::Response: Debug,
    {
        let answer = self.connection.request(&request).await;
        let answer = answer.with_context(|| step.to_owned())?;
        self.answers.push(Answer::new(step, &answer));
        Ok(answer)
    }

    async fn cluster(&mut self) -> Result<()> {
        self.ask("describe the cluster", DescribeClusterRequest::default())
            .await?;
        let request = DescribeClusterRequest {
            endpoint_type: 7,
            ..Default::default()
        };
        self.ask("describe the cluster of an unknown kind", request)
            .await?;
        self.ask("metadata of all topics", metadata(None)).await?;
        self.ask("metadata of no topic", metadata(Some(&[])))
            .await?;
        self.ask(
            "metadata of a topic that isn't there",
            metadata(Some(&["no"])),
        )
        .await?;
        self.ask("metadata of an invalid topic", metadata(Some(&["a b"])))
            .await?;
        Ok(())
    }

    async fn topics(&mut self) -> Result<()> {
        for (step, name, partitions, replicas, config) in [
            ("create a topic", "t", 3, 1, None),
            ("create a topic twice", "t", 3, 1, None),
            (
                "create a topic with a config",
                "compacted",
                1,
                1,
                Some(("cleanup.policy", "compact")),
            ),
            ("create a topic with defaults", "defaults", -1, -1, None),
            (
                "create a topic with an unknown config",
                "u",
                1,
                1,
                Some(("no.such", "1")),
            ),
            (
                "create a topic with an invalid config",
                "i",
                1,
                1,
                Some(("retention.ms", "x")),
            ),
            ("create a topic without partitions", "z", 0, 1, None),
            ("create a topic with too many replicas", "r", 1, 3, None),
            ("create a topic with no replica", "r", 1, 0, None),
            ("create a topic of an invalid name", "a b", 1, 1, None),
            ("create a topic without a name", "", 1, 1, None),
            ("create a topic named ..", "..", 1, 1, None),
            (
                "create a topic of a long name",
                &"n".repeat(250),
                1,
                1,
                None,
            ),
            ("create a topic that collides", "a.b", 1, 1, None),
            ("create a topic that collides with that", "a_b", 1, 1, None),
            (
                "create an internal topic",
                "__consumer_offsets",
                50,
                1,
                Some(("cleanup.policy", "compact")),
            ),
        ] {
            let config = config.map(|(name, value)| create_topics::CreatableTopicConfig {
                name: Str::from(name),
                value: Some(Str::from(value)),
            });
            let request = CreateTopicsRequest {
                topics: vec![create_topics::CreatableTopic {
                    name: Str::from(name),
                    num_partitions: partitions,
                    replication_factor: replicas,
                    configs: config.into_iter().collect(),
                    ..Default::default()
                }],
                timeout_ms: 30_000,
                ..Default::default()
            };
            let answer = self.connection.request(&request).await?;
            self.note_created(step, &answer);
        }
        for (step, name, count) in [
            ("add a partition", "t", 4),
            ("add no partition", "t", 4),
            ("take partitions away", "t", 1),
            ("add partitions to a topic that isn't there", "no", 4),
        ] {
            let request = CreatePartitionsRequest {
                topics: vec![create_partitions::CreatePartitionsTopic {
                    name: Str::from(name),
                    count,
                    assignments: None,
                }],
                timeout_ms: 30_000,
                ..Default::default()
            };
            self.ask(step, request).await?;
        }
        self.await_topic("t", 4).await?;
        let request = metadata(Some(&["t"]));
        let mut answer = self.connection.request(&request).await?;
        for topic in &mut answer.topics {
            self.topic_id = topic.topic_id;
            topic
                .partitions
                .sort_by_key(|partition| partition.partition_index);
        }
        self.answers
            .push(Answer::new("metadata of a topic", &answer));
        for (step, names) in [
            ("describe a topic's partitions", &["t"][..]),
            (
                "describe the partitions of a topic that isn't there",
                &["no"],
            ),
        ] {
            let topic = |name: &&str| describe_topic_partitions::TopicRequest {
                name: Str::from(*name),
            };
            let request = DescribeTopicPartitionsRequest {
                topics: names.iter().map(topic).collect(),
                ..Default::default()
            };
            self.ask(step, request).await?;
        }
        Ok(())
    }

    /// The configs of a new topic are a set; their order says nothing.
    fn note_created(&mut self, step: &str, answer: &CreateTopicsResponse) {
        let mut answer = answer.clone();
        let mut fields = BTreeMap::new();
        for topic in &mut answer.topics {
            for config in topic.configs.take().into_iter().flatten() {
                let what = (config.value, config.read_only, config.config_source);
                fields.insert(format!("config {}", config.name), format!("{what:?}"));
            }
            let code = ErrorCode::from_code(topic.error_code);
            fields.insert("error_code".to_owned(), format!("{code:?}"));
            fields.insert(
                "error_message".to_owned(),
                format!("{:?}", topic.error_message),
            );
            let shape = (topic.num_partitions, topic.replication_factor);
            fields.insert("shape".to_owned(), format!("{shape:?}"));
        }
        self.answers.push(Answer::of_fields(step, fields));
    }

    /// Metadata reaches Kafka's broker a moment after the controller has answered.
    async fn await_topic(&self, name: &str, partitions: usize) -> Result<()> {
        for _ in 0..200 {
            let answer = self.connection.request(&metadata(Some(&[name]))).await?;
            let is_there = |topic: &metadata::MetadataResponseTopic| {
                let has_leader = |partition: &metadata::MetadataResponsePartition| {
                    partition.error_code == 0 && partition.leader_id >= 0
                };
                topic.partitions.len() == partitions && topic.partitions.iter().all(has_leader)
            };
            if answer.topics.iter().all(is_there) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("{name} has no {partitions} partitions")
    }

    async fn configs(&mut self) -> Result<()> {
        self.note_configs("describe a topic's configs", TOPIC, "t")
            .await?;
        for (step, kind, resource, operation, name, value) in [
            (
                "set a config",
                TOPIC,
                "t",
                0,
                "retention.ms",
                Some("100000"),
            ),
            (
                "append to a config that isn't a list",
                TOPIC,
                "t",
                2,
                "retention.ms",
                Some("1"),
            ),
            (
                "append to a config",
                TOPIC,
                "t",
                2,
                "cleanup.policy",
                Some("compact"),
            ),
            (
                "subtract from a config",
                TOPIC,
                "t",
                3,
                "cleanup.policy",
                Some("compact"),
            ),
            (
                "set an invalid config",
                TOPIC,
                "t",
                0,
                "retention.ms",
                Some("x"),
            ),
            (
                "set a config out of its bounds",
                TOPIC,
                "t",
                0,
                "min.cleanable.dirty.ratio",
                Some("2"),
            ),
            (
                "set a config without a value",
                TOPIC,
                "t",
                0,
                "retention.ms",
                None,
            ),
            ("set an unknown config", TOPIC, "t", 0, "no.such", Some("1")),
            (
                "set a config by an unknown operation",
                TOPIC,
                "t",
                9,
                "retention.ms",
                Some("1"),
            ),
            ("reset a config", TOPIC, "t", 1, "retention.ms", None),
            (
                "reset a config that isn't set",
                TOPIC,
                "t",
                1,
                "retention.bytes",
                None,
            ),
            (
                "set a config of a topic that isn't there",
                TOPIC,
                "no",
                0,
                "retention.ms",
                Some("1"),
            ),
            (
                "set a config of an unknown kind",
                77,
                "t",
                0,
                "retention.ms",
                Some("1"),
            ),
            (
                "set a read-only config of the broker",
                BROKER,
                "1",
                0,
                "node.id",
                Some("2"),
            ),
            (
                "set a config of a group",
                GROUP,
                "g",
                0,
                "share.auto.offset.reset",
                Some("earliest"),
            ),
            (
                "set an invalid config of a group",
                GROUP,
                "g",
                0,
                "share.session.timeout.ms",
                Some("1"),
            ),
        ] {
            let request = IncrementalAlterConfigsRequest {
                resources: vec![incremental_alter_configs::AlterConfigsResource {
                    resource_type: kind,
                    resource_name: Str::from(resource),
                    configs: vec![incremental_alter_configs::AlterableConfig {
                        name: Str::from(name),
                        config_operation: operation,
                        value: value.map(Str::from),
                    }],
                }],
                ..Default::default()
            };
            self.ask(step, request).await?;
        }
        self.note_configs(
            "describe the configs of a topic that isn't there",
            TOPIC,
            "no",
        )
        .await?;
        self.note_configs("describe the configs of an unknown broker", BROKER, "99")
            .await?;
        Ok(())
    }

    /// Configs by name; their documentation is left out.
    async fn note_configs(&mut self, step: &str, kind: i8, name: &str) -> Result<()> {
        let request = DescribeConfigsRequest {
            resources: vec![describe_configs::DescribeConfigsResource {
                resource_type: kind,
                resource_name: Str::from(name),
                configuration_keys: None,
            }],
            ..Default::default()
        };
        let answer = self.connection.request(&request).await?;
        let mut fields = BTreeMap::new();
        for result in answer.results {
            let code = ErrorCode::from_code(result.error_code);
            fields.insert("error_code".to_owned(), format!("{code:?}"));
            for config in result.configs {
                let name = &config.name;
                let mut add = |what: &str, value: String| {
                    fields.insert(format!("{name} {what}"), value);
                };
                add("value", format!("{:?}", config.value));
                add("source", config.config_source.to_string());
                add("type", config.config_type.to_string());
                add("read-only", config.read_only.to_string());
                add("sensitive", config.is_sensitive.to_string());
            }
        }
        self.answers.push(Answer::of_fields(step, fields));
        Ok(())
    }

    async fn data(&mut self) -> Result<()> {
        let known = self.topic_id;
        let mut corrupt = self.batch(&["x"], Compression::None)?;
        if let Some(last) = corrupt.last_mut() {
            *last ^= 1;
        }
        let first = self.batch(&["a", "b", "c"], Compression::None)?;
        let second = self.batch(&["d", "e"], Compression::Lz4)?;
        let large = self.batch(&[&"x".repeat(1_100_000)], Compression::None)?;
        for (step, id, partition, acks, records) in [
            ("produce", known, 0, -1, first.clone()),
            ("produce compressed", known, 0, 1, second),
            (
                "produce to a partition that isn't there",
                known,
                9,
                -1,
                first.clone(),
            ),
            (
                "produce to a topic that isn't there",
                Uuid::from_u128(7),
                0,
                -1,
                first.clone(),
            ),
            ("produce what is damaged", known, 0, -1, corrupt),
            ("produce what is too large", known, 0, -1, large),
            ("produce with odd acks", known, 0, 5, first),
        ] {
            let request = ProduceRequest {
                acks,
                timeout_ms: 30_000,
                topic_data: vec![produce::TopicProduceData {
                    topic_id: id,
                    partition_data: vec![produce::PartitionProduceData {
                        index: partition,
                        records: Some(records),
                    }],
                    ..Default::default()
                }],
                ..Default::default()
            };
            self.ask(step, request).await?;
        }
        for (step, id, partition, offset) in [
            ("fetch", known, 0, 0),
            ("fetch from inside a batch", known, 0, 1),
            ("fetch at the end", known, 0, 5),
            ("fetch beyond the end", known, 0, 6),
            ("fetch before the start", known, 0, -1),
            ("fetch a partition that isn't there", known, 9, 0),
            ("fetch a topic that isn't there", Uuid::from_u128(7), 0, 0),
        ] {
            let request = FetchRequest {
                max_wait_ms: 100,
                min_bytes: 1,
                topics: vec![fetch::FetchTopic {
                    topic_id: id,
                    partitions: vec![fetch::FetchPartition {
                        partition,
                        fetch_offset: offset,
                        partition_max_bytes: 1 << 20,
                        ..Default::default()
                    }],
                    ..Default::default()
                }],
                ..Default::default()
            };
            self.ask(step, request).await?;
        }
        Ok(())
    }

    fn batch(&self, values: &[&str], compression: Compression) -> Result<BytesMut> {
        let mut batch = BatchBuilder::new(compression);
        for (at, value) in (0..).zip(values) {
            batch.append(NewRecord {
                timestamp: Timestamp(self.start + at),
                key: Some(b"k"),
                value: Some(value.as_bytes()),
                headers: &[(b"h", None)],
            });
        }
        Ok(BytesMut::from(batch.build()?.bytes()))
    }

    async fn offsets(&mut self) -> Result<()> {
        for (step, topic, partition, timestamp) in [
            ("list the latest offset", "t", 0, -1),
            ("list the earliest offset", "t", 0, -2),
            ("list the offset of the greatest timestamp", "t", 0, -3),
            ("list the earliest local offset", "t", 0, -4),
            ("list the last tiered offset", "t", 0, -5),
            ("list an offset by time", "t", 0, self.start + 1),
            ("list an offset by a time in the future", "t", 0, i64::MAX),
            ("list the latest offset of an empty partition", "t", 1, -1),
            (
                "list the greatest timestamp of an empty partition",
                "t",
                1,
                -3,
            ),
            ("list an offset of a topic that isn't there", "no", 0, -1),
            ("list an offset of an unknown kind", "t", 0, -77),
        ] {
            let request = ListOffsetsRequest {
                replica_id: -1,
                topics: vec![list_offsets::ListOffsetsTopic {
                    name: Str::from(topic),
                    partitions: vec![list_offsets::ListOffsetsPartition {
                        partition_index: partition,
                        timestamp,
                        ..Default::default()
                    }],
                }],
                timeout_ms: 10_000,
                ..Default::default()
            };
            self.ask(step, request).await?;
        }
        for (step, epoch) in [
            ("ask where an epoch ends", 0),
            ("ask where an epoch to come ends", 9),
        ] {
            let request = OffsetForLeaderEpochRequest {
                topics: vec![offset_for_leader_epoch::OffsetForLeaderTopic {
                    topic: Str::from("t"),
                    partitions: vec![offset_for_leader_epoch::OffsetForLeaderPartition {
                        partition: 0,
                        leader_epoch: epoch,
                        ..Default::default()
                    }],
                }],
                ..Default::default()
            };
            self.ask(step, request).await?;
        }
        for (step, topic, offset) in [
            ("delete records", "t", 2),
            ("delete records that are deleted", "t", 1),
            ("delete records beyond the end", "t", 99),
            ("delete records of a topic that isn't there", "no", 1),
        ] {
            let request = DeleteRecordsRequest {
                topics: vec![delete_records::DeleteRecordsTopic {
                    name: Str::from(topic),
                    partitions: vec![delete_records::DeleteRecordsPartition {
                        partition_index: 0,
                        offset,
                    }],
                }],
                timeout_ms: 10_000,
            };
            self.ask(step, request).await?;
        }
        Ok(())
    }

    async fn groups(&mut self) -> Result<()> {
        for (step, kind, key) in [
            ("find a group's coordinator", 0, "g"),
            ("find the coordinator of an unknown kind", 9, "g"),
        ] {
            let request = FindCoordinatorRequest {
                key_type: kind,
                coordinator_keys: vec![Str::from(key)],
                ..Default::default()
            };
            // Kafka makes the coordinator's topic first and asks to come back.
            for _ in 0..200 {
                let answer = self.connection.request(&request).await?;
                let waits = |found: &find_coordinator::Coordinator| {
                    found.error_code == ErrorCode::CoordinatorNotAvailable.code()
                };
                if !answer.coordinators.iter().any(waits) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            self.ask(step, request).await?;
        }
        for (step, group, generation, id, partition) in [
            ("commit an offset", "g", -1, self.topic_id, 0),
            ("commit an offset as a member", "g", 3, self.topic_id, 0),
            (
                "commit an offset of a partition that isn't there",
                "g",
                -1,
                self.topic_id,
                9,
            ),
            (
                "commit an offset of a topic that isn't there",
                "g",
                -1,
                Uuid::from_u128(7),
                0,
            ),
            ("commit an offset for no group", "", -1, self.topic_id, 0),
        ] {
            let request = OffsetCommitRequest {
                group_id: Str::from(group),
                generation_id_or_member_epoch: generation,
                topics: vec![offset_commit::OffsetCommitRequestTopic {
                    topic_id: id,
                    partitions: vec![offset_commit::OffsetCommitRequestPartition {
                        partition_index: partition,
                        committed_offset: 3,
                        committed_metadata: Some(Str::from("m")),
                        ..Default::default()
                    }],
                    ..Default::default()
                }],
                ..Default::default()
            };
            self.ask(step, request).await?;
        }
        for (step, group) in [
            ("fetch offsets", "g"),
            ("fetch offsets of no group", "nobody"),
        ] {
            let request = OffsetFetchRequest {
                groups: vec![offset_fetch::OffsetFetchRequestGroup {
                    group_id: Str::from(group),
                    topics: Some(vec![offset_fetch::OffsetFetchRequestTopics {
                        topic_id: self.topic_id,
                        partition_indexes: vec![0, 1],
                        ..Default::default()
                    }]),
                    ..Default::default()
                }],
                ..Default::default()
            };
            self.ask(step, request).await?;
        }
        self.ask("list groups", ListGroupsRequest::default())
            .await?;
        let request = DescribeGroupsRequest {
            groups: vec![Str::from("g"), Str::from("nobody")],
            ..Default::default()
        };
        let mut answer = self.connection.request(&request).await?;
        answer.groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
        self.answers.push(Answer::new("describe groups", &answer));
        for (step, id, timeout) in [
            ("join without a member id", "", 10_000),
            ("join as an unknown member", "stranger", 10_000),
            ("join with a short session", "", 1),
        ] {
            let request = JoinGroupRequest {
                group_id: Str::from("joined"),
                session_timeout_ms: timeout,
                rebalance_timeout_ms: 10_000,
                member_id: Str::from(id),
                protocol_type: Str::from("consumer"),
                protocols: vec![join_group::JoinGroupRequestProtocol {
                    name: Str::from("range"),
                    ..Default::default()
                }],
                ..Default::default()
            };
            self.ask(step, request).await?;
        }
        let request = HeartbeatRequest {
            group_id: Str::from("joined"),
            generation_id: 1,
            member_id: Str::from("stranger"),
            ..Default::default()
        };
        self.ask("heartbeat of a stranger", request).await?;
        for (step, name) in [
            ("delete a group", "g"),
            ("delete a group that isn't there", "nobody"),
        ] {
            let request = DeleteGroupsRequest {
                groups_names: vec![Str::from(name)],
            };
            self.ask(step, request).await?;
        }
        let request = InitProducerIdRequest {
            transaction_timeout_ms: 60_000,
            ..Default::default()
        };
        // Kafka's broker fetches its first block of ids now.
        let loading = ErrorCode::CoordinatorLoadInProgress.code();
        while self.connection.request(&request).await?.error_code == loading {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.ask("get a producer id", request).await?;
        Ok(())
    }

    async fn end(&mut self) -> Result<()> {
        for (step, name) in [
            ("delete a topic", "t"),
            ("delete a topic that isn't there", "no"),
            ("delete a topic without a name", ""),
        ] {
            let request = DeleteTopicsRequest {
                topics: vec![delete_topics::DeleteTopicState {
                    name: Some(Str::from(name)),
                    ..Default::default()
                }],
                timeout_ms: 30_000,
                ..Default::default()
            };
            self.ask(step, request).await?;
        }
        Ok(())
    }
}

fn metadata(names: Option<&[&str]>) -> MetadataRequest {
    let topic = |name: &&str| metadata::MetadataRequestTopic {
        name: Some(Str::from(*name)),
        ..Default::default()
    };
    MetadataRequest {
        topics: names.map(|names| names.iter().map(topic).collect()),
        allow_auto_topic_creation: false,
        ..Default::default()
    }
}
