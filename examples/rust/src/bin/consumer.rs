//! Prints the values of `test_topic` from its beginning.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bootstrap = std::env::var("BOOTSTRAP").unwrap_or_else(|_| "localhost:9092".into());
    // COUNT=10 ends after ten messages.
    let count = std::env::var("COUNT").map_or(Ok(usize::MAX), |count| count.parse())?;
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "rust-example")
        .set("auto.offset.reset", "earliest")
        .create()?;
    consumer.subscribe(&["test_topic"])?;
    let messages = consumer.iter().filter_map(Result::ok);
    for message in messages.take(count) {
        let value = message.payload().unwrap_or_default();
        println!("{}", String::from_utf8_lossy(value));
    }
    Ok(())
}
