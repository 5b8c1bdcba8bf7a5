//! Deletion of records from the beginning of partitions.

use std::collections::{BTreeMap, HashMap};

use outlast_protocol::Str;
use outlast_protocol::messages::DeleteRecordsRequest;
use outlast_protocol::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};

use super::Admin;
use crate::error::ClientError;
use crate::metadata::{BrokerId, TopicPartition};
use crate::offsets::PerPartition;

impl Admin {
    /// Deletes everything before the given offset; −1 means everything there is. Returns where each log begins now.
    pub async fn delete_records(
        &self,
        before: &BTreeMap<TopicPartition, i64>,
    ) -> Result<PerPartition<i64>, ClientError> {
        let topics = before.keys().map(|tp| tp.topic.as_str());
        self.client.refresh_topics(topics, false).await?;
        let metadata = self.client.metadata();
        let mut results: PerPartition<i64> = HashMap::new();
        let mut by_leader: BTreeMap<BrokerId, BTreeMap<&str, Vec<DeleteRecordsPartition>>> =
            BTreeMap::new();
        for (tp, offset) in before {
            let Some(leader) = metadata.leader(&tp.topic, tp.partition) else {
                let error = ClientError::UnknownTopic(tp.topic.clone());
                results.insert(tp.clone(), Err(error));
                continue;
            };
            let topics = by_leader.entry(leader).or_default();
            topics
                .entry(&tp.topic)
                .or_default()
                .push(DeleteRecordsPartition {
                    partition_index: tp.partition,
                    offset: *offset,
                });
        }
        for (leader, topics) in by_leader {
            let request = DeleteRecordsRequest {
                topics: topics
                    .into_iter()
                    .map(|(name, partitions)| DeleteRecordsTopic {
                        name: Str::from(name),
                        partitions,
                    })
                    .collect(),
                timeout_ms: self.client.request_timeout_ms(),
            };
            let response = self
                .client
                .retrying(|| self.client.request(leader, &request))
                .await?;
            for topic in response.topics {
                for partition in topic.partitions {
                    let tp = TopicPartition::new(&*topic.name, partition.partition_index);
                    let context = || format!("deleting records of {tp}");
                    let result = ClientError::check(partition.error_code, context, None)
                        .map(|()| partition.low_watermark);
                    results.insert(tp, result);
                }
            }
        }
        Ok(results)
    }
}
