//! The queues in `/metrics`: how they stand and what has happened now, rates and ages as of the last look at them.

use std::fmt;
use std::sync::Arc;

use outlast_broker::LatencySnapshot;
use outlast_broker::queues::DeadReason;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder};
use prometheus_client::metrics::MetricType;

use crate::queue_rates::{QueueRates, QueueView, Totals};

type NoExemplar = [(&'static str, &'static str); 0];

pub(crate) struct QueueMetrics(pub(crate) Arc<QueueRates>);

impl fmt::Debug for QueueMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueueMetrics")
    }
}

/// One queue with its names.
type Named = (String, String, QueueView);

impl Collector for QueueMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let queues = self.0.latest();
        gauges(&mut encoder, &queues)?;
        let mut groups: Vec<&str> = queues.iter().map(|(_, group, _)| group.as_str()).collect();
        groups.sort_unstable();
        groups.dedup();
        let counted: Vec<_> = groups
            .into_iter()
            .filter_map(|group| Some((group, self.0.counters(group)?)))
            .collect();
        let totals: Vec<(&str, Totals)> = counted
            .iter()
            .map(|(group, counters)| (*group, Totals::of(counters)))
            .collect();
        counters(&mut encoder, &totals)?;
        let mut histogram = |name, help, read: fn(&_) -> LatencySnapshot| {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
            counted.iter().try_for_each(|(group, counters)| {
                let seen = read(counters);
                let (sum, count) = (seen.sum_seconds(), seen.count());
                let labels = [("group", *group)];
                metric
                    .encode_family(&labels)?
                    .encode_histogram::<NoExemplar>(sum, count, &seen.prometheus_buckets(), None)
            })
        };
        histogram(
            "outlast_queue_publish_to_acknowledge_seconds",
            "Time from a message's timestamp to its acknowledgement; one message of each delivery is measured",
            |counters: &Arc<outlast_broker::queues::QueueCounters>| {
                counters.publish_to_accept.snapshot()
            },
        )?;
        histogram(
            "outlast_queue_processing_seconds",
            "Time from a delivery to its acknowledgement",
            |counters| counters.processing.snapshot(),
        )
    }
}

fn gauges(encoder: &mut DescriptorEncoder<'_>, queues: &[Named]) -> fmt::Result {
    let mut messages = gauge(
        encoder,
        "outlast_queue_messages",
        "Messages of a queue by what they wait for; dead are those of all queues of the group",
    )?;
    for (queue, group, view) in queues {
        let counts = [
            ("ready", view.ready),
            ("delayed", view.delayed),
            ("in_flight", view.in_flight),
            ("dying", view.dying),
            ("dead", view.dead),
        ];
        for (state, count) in counts {
            let labels = [
                ("queue", queue.as_str()),
                ("group", group),
                ("state", state),
            ];
            messages
                .encode_family(&labels)?
                .encode_gauge(&(count as i64))?;
        }
    }
    each(
        gauge(
            encoder,
            "outlast_queue_consumers",
            "Workers and share group members of a queue",
        )?,
        queues,
        |view| Some(view.consumers as f64),
    )?;
    each(
        gauge(
            encoder,
            "outlast_queue_length_per_consumer",
            "Ready messages divided by the consumers",
        )?,
        queues,
        |view| Some(view.length_per_consumer()),
    )?;
    each(
        gauge(
            encoder,
            "outlast_queue_oldest_age_seconds",
            "Age of the oldest message that is not done",
        )?,
        queues,
        |view| Some(view.oldest_age_ms? as f64 / 1e3),
    )?;
    each(
        gauge(
            encoder,
            "outlast_queue_drain_seconds",
            "Expected time until nothing waits, if nothing more comes: length per consumer times mean processing time",
        )?,
        queues,
        QueueView::seconds_to_drain,
    )?;
    let mut speeds = gauge(
        encoder,
        "outlast_queue_messages_per_second",
        "Messages a second over the last minute: in for the queue, out and acknowledged for its group",
    )?;
    for (queue, group, view) in queues {
        let rates = [
            ("in", view.rates.messages_in),
            ("out", view.rates.delivered),
            ("acknowledged", view.rates.accepted),
        ];
        for (direction, rate) in rates {
            let labels = [
                ("queue", queue.as_str()),
                ("group", group),
                ("direction", direction),
            ];
            speeds.encode_family(&labels)?.encode_gauge(&rate)?;
        }
    }
    Ok(())
}

fn counters(encoder: &mut DescriptorEncoder<'_>, groups: &[(&str, Totals)]) -> fmt::Result {
    type Read = fn(&Totals) -> u64;
    let simple: [(&str, &str, Read); 6] = [
        (
            "outlast_queue_deliveries",
            "Messages handed out, again each time",
            |t| t.delivered,
        ),
        (
            "outlast_queue_redeliveries",
            "Deliveries of messages that had been delivered before",
            |t| t.redelivered,
        ),
        (
            "outlast_queue_acknowledged",
            "Messages that were processed",
            |t| t.accepted,
        ),
        (
            "outlast_queue_released",
            "Messages that a worker gave back",
            |t| t.released,
        ),
        (
            "outlast_queue_rejected",
            "Messages that a worker rejected",
            |t| t.rejected,
        ),
        (
            "outlast_queue_dead_letter_failures",
            "Failed tries to write a dead letter; the message is held back and tried again",
            |t| t.dead_letter_failures,
        ),
    ];
    for (name, help, read) in simple {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (group, totals) in groups {
            count(&mut metric, &[("group", *group)], read(totals))?;
        }
    }
    let mut dead = encoder.encode_descriptor(
        "outlast_queue_dead_letters",
        "Messages that died, by reason",
        None,
        MetricType::Counter,
    )?;
    for (group, totals) in groups {
        for reason in DeadReason::ALL {
            let labels = [("group", *group), ("reason", reason.name())];
            count(&mut dead, &labels, totals.dead[reason.index()])?;
        }
    }
    Ok(())
}

fn count(metric: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, value: u64) -> fmt::Result {
    metric
        .encode_family(labels)?
        .encode_counter::<NoExemplar, _, u64>(&value, None)
}

fn gauge<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &str,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)
}

fn each(
    mut metric: MetricEncoder<'_>,
    queues: &[Named],
    read: impl Fn(&QueueView) -> Option<f64>,
) -> fmt::Result {
    for (queue, group, view) in queues {
        if let Some(value) = read(view) {
            let labels = [("queue", queue.as_str()), ("group", group)];
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
    }
    Ok(())
}
