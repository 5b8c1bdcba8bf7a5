//! What is read off the broker whenever somebody asks for metrics: how long queues are, and how far groups lag.

use std::fmt;
use std::sync::{Arc, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;

use crate::broker::Broker;
use crate::coordinator::GroupSummary;
use crate::topics::{Partition, Topic, TopicTable};

/// Knows the broker only as long as somebody else keeps it.
pub struct Gauges(pub Weak<Broker>);

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauges")
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let Some(broker) = self.0.upgrade() else {
            return Ok(());
        };
        let table = broker.topics.load_full();
        let groups = broker
            .opened_groups()
            .map(|groups| groups.summaries())
            .unwrap_or_default();

        let mut topics = gauge(&mut encoder, "outlast_topics", "Topics there are")?;
        topics.encode_gauge(&(table.iter().count() as i64))?;
        let mut records = gauge(
            &mut encoder,
            "outlast_partition_records",
            "Records that can be read: the length of the queue",
        )?;
        each_partition(&table, |topic, partition| {
            let log = &partition.log;
            let length = log.high_watermark().0 - log.start_offset().0;
            labelled(&mut records, topic, partition, length)
        })?;
        let mut bytes = gauge(
            &mut encoder,
            "outlast_partition_bytes",
            "Bytes of record batches on disk",
        )?;
        each_partition(&table, |topic, partition| {
            labelled(
                &mut bytes,
                topic,
                partition,
                partition.log.size_bytes() as i64,
            )
        })?;
        let mut members = gauge(&mut encoder, "outlast_group_members", "Members of a group")?;
        for group in &groups {
            let labels = [("group", &*group.group_id)];
            members
                .encode_family(&labels)?
                .encode_gauge(&(group.members as i64))?;
        }
        let mut lag = gauge(
            &mut encoder,
            "outlast_group_lag",
            "Records of a partition that a group has not committed yet",
        )?;
        groups
            .iter()
            .try_for_each(|group| encode_lag(&mut lag, &table, group))
    }
}

fn gauge<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &str,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)
}

fn each_partition(
    table: &TopicTable,
    mut encode: impl FnMut(&Topic, &Partition) -> fmt::Result,
) -> fmt::Result {
    table.iter().try_for_each(|topic: &Arc<Topic>| {
        topic
            .partitions()
            .iter()
            .try_for_each(|partition| encode(topic, partition))
    })
}

fn labelled(
    metric: &mut MetricEncoder<'_>,
    topic: &Topic,
    partition: &Partition,
    value: i64,
) -> fmt::Result {
    let index = partition.id.index.to_string();
    let labels = [("topic", &*topic.name), ("partition", index.as_str())];
    metric.encode_family(&labels)?.encode_gauge(&value)
}

fn encode_lag(
    metric: &mut MetricEncoder<'_>,
    table: &TopicTable,
    group: &GroupSummary,
) -> fmt::Result {
    for committed in &group.offsets {
        // A committed offset may outlive its topic for a moment.
        let Ok(topic) = table.get(&committed.topic) else {
            continue;
        };
        let Ok(partition) = topic.partition(committed.partition) else {
            continue;
        };
        let behind = (partition.log.high_watermark().0 - committed.offset.0).max(0);
        let index = committed.partition.to_string();
        let labels = [
            ("group", &*group.group_id),
            ("topic", &*topic.name),
            ("partition", index.as_str()),
        ];
        metric.encode_family(&labels)?.encode_gauge(&behind)?;
    }
    Ok(())
}
