//! What the broker counts, with Kafka's meanings: bytes and messages in and out per topic, requests, errors and
//! latencies per API.

use std::time::Duration;

use outlast_protocol::{ApiKey, ErrorCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TopicLabel {
    topic: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabel {
    api: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabel {
    api: &'static str,
    error: &'static str,
}

pub struct BrokerMetrics {
    bytes_in: Family<TopicLabel, Counter>,
    bytes_out: Family<TopicLabel, Counter>,
    messages_in: Family<TopicLabel, Counter>,
    repeats: Family<TopicLabel, Counter>,
    requests: Family<ApiLabel, Counter>,
    errors: Family<ErrorLabel, Counter>,
    latency: Family<ApiLabel, Histogram, fn() -> Histogram>,
    /// By API key, so that a request costs no look-up by name.
    apis: Vec<ApiMetrics>,
}

#[derive(Clone)]
struct ApiMetrics {
    requests: Counter,
    latency: Histogram,
}

/// One topic's counters. Kept with the topic, so that counting takes no look-up.
#[derive(Clone)]
pub struct TopicMetrics {
    /// Bytes of record batches as producers sent them.
    pub bytes_in: Counter,
    /// Bytes of record batches sent to consumers.
    pub bytes_out: Counter,
    pub messages_in: Counter,
    /// Messages that were not stored because one with the same id was there already.
    pub repeats: Counter,
}

impl BrokerMetrics {
    pub(crate) fn new() -> Self {
        let latency: fn() -> Histogram = || {
            Histogram::new([
                0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                1.0, 2.5, 5.0, 10.0,
            ])
        };
        let mut metrics = Self {
            bytes_in: Family::default(),
            bytes_out: Family::default(),
            messages_in: Family::default(),
            repeats: Family::default(),
            requests: Family::default(),
            errors: Family::default(),
            latency: Family::new_with_constructor(latency),
            apis: Vec::new(),
        };
        let apis = crate::dispatch::served_apis().map(|(key, _)| {
            let label = ApiLabel { api: key.name() };
            let api = ApiMetrics {
                requests: metrics.requests.get_or_create(&label).clone(),
                latency: metrics.latency.get_or_create(&label).clone(),
            };
            (api_index(key), api)
        });
        let mut by_index: Vec<Option<ApiMetrics>> = Vec::new();
        for (index, api) in apis {
            by_index.resize(by_index.len().max(index + 1), None);
            by_index[index] = Some(api);
        }
        metrics.apis = by_index
            .into_iter()
            .map(|api| {
                api.unwrap_or_else(|| ApiMetrics {
                    requests: Counter::default(),
                    latency: latency(),
                })
            })
            .collect();
        metrics
    }

    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "outlast_topic_bytes_in",
            "Bytes of record batches received from producers",
            self.bytes_in.clone(),
        );
        registry.register(
            "outlast_topic_bytes_out",
            "Bytes of record batches sent to consumers",
            self.bytes_out.clone(),
        );
        registry.register(
            "outlast_topic_messages_in",
            "Records received from producers",
            self.messages_in.clone(),
        );
        registry.register(
            "outlast_topic_messages_deduplicated",
            "Records received and not stored, because one with the same id was there already",
            self.repeats.clone(),
        );
        registry.register(
            "outlast_requests",
            "Requests received",
            self.requests.clone(),
        );
        registry.register(
            "outlast_request_errors",
            "Error codes answered, one for each partition, topic or group that failed",
            self.errors.clone(),
        );
        registry.register(
            "outlast_request_seconds",
            "Time from the request's arrival to its answer; a fetch includes its wait for data",
            self.latency.clone(),
        );
    }

    pub fn topic(&self, name: &str) -> TopicMetrics {
        let label = TopicLabel {
            topic: name.to_owned(),
        };
        TopicMetrics {
            bytes_in: self.bytes_in.get_or_create(&label).clone(),
            bytes_out: self.bytes_out.get_or_create(&label).clone(),
            messages_in: self.messages_in.get_or_create(&label).clone(),
            repeats: self.repeats.get_or_create(&label).clone(),
        }
    }

    pub fn forget_topic(&self, name: &str) {
        let label = TopicLabel {
            topic: name.to_owned(),
        };
        self.bytes_in.remove(&label);
        self.bytes_out.remove(&label);
        self.messages_in.remove(&label);
        self.repeats.remove(&label);
    }

    pub fn answered(&self, api: ApiKey, took: Duration) {
        if let Some(metrics) = self.apis.get(api_index(api)) {
            metrics.requests.inc();
            metrics.latency.observe(took.as_secs_f64());
        }
    }

    /// An error code in a response; success is not counted.
    pub fn error(&self, api: ApiKey, code: i16) {
        if code != 0 {
            let error = ErrorCode::from_code(code).map_or("UNKNOWN", ErrorCode::name);
            self.errors
                .get_or_create(&ErrorLabel {
                    api: api.name(),
                    error,
                })
                .inc();
        }
    }
}

fn api_index(api: ApiKey) -> usize {
    usize::from(api.code().unsigned_abs())
}
