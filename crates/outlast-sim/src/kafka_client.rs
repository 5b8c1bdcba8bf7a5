//! What all librdkafka clients of the harnesses have in common.

use std::time::{Duration, Instant};

use anyhow::Result;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

/// How long a query may go on failing while the broker comes back.
pub const QUERY_LIMIT: Duration = Duration::from_secs(30);

/// They come back quickly and complain to nobody.
pub fn client_config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "200")
        .set_log_level(RDKafkaLogLevel::Emerg);
    config
}

/// Queries right after a restart may meet a connection that died with the broker before it.
pub fn retry<T>(mut query: impl FnMut() -> Result<T, KafkaError>) -> Result<T> {
    let started = Instant::now();
    loop {
        match query() {
            Ok(answer) => return Ok(answer),
            Err(error) if started.elapsed() > QUERY_LIMIT => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
