//! DescribeLogDirs: how much each partition holds. There is one log directory, the data directory.

use outlast_protocol::Str;
use outlast_protocol::messages::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use outlast_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};

use crate::dispatch::RequestContext;
use crate::topics::Partition;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let table = context.broker.topics.load();
    let topics: Vec<DescribeLogDirsTopic> = match request.topics {
        None => table
            .iter()
            .map(|topic| DescribeLogDirsTopic {
                name: topic.name.clone(),
                partitions: topic
                    .partitions()
                    .iter()
                    .map(|partition| describe(partition))
                    .collect(),
            })
            .collect(),
        Some(asked) => asked
            .into_iter()
            .filter_map(|asked| {
                let topic = table.get(&asked.topic).ok()?;
                let partitions = asked
                    .partitions
                    .iter()
                    .filter_map(|index| topic.partition(*index).ok());
                Some(DescribeLogDirsTopic {
                    partitions: partitions.map(|partition| describe(partition)).collect(),
                    name: asked.topic,
                })
            })
            .filter(|topic| !topic.partitions.is_empty())
            .collect(),
    };
    let result = DescribeLogDirsResult {
        log_dir: Str::from(context.broker.config.data_dir.to_string_lossy().as_ref()),
        topics,
        ..Default::default()
    };
    DescribeLogDirsResponse {
        results: vec![result],
        ..Default::default()
    }
}

fn describe(partition: &Partition) -> DescribeLogDirsPartition {
    DescribeLogDirsPartition {
        partition_index: partition.id.index,
        partition_size: i64::try_from(partition.log.size_bytes()).unwrap_or(i64::MAX),
        ..Default::default()
    }
}
