//! The first five minutes of a user: `outlast serve` with no arguments that matter, and the two
//! Python programs that everybody writes first, word for word, on port 9092 of `localhost`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::broker::{Broker, takes_connections};
use crate::tally::Tally;
use crate::{dependencies, process, workspace};

const PRODUCER: &str = "
from kafka import KafkaProducer
producer = KafkaProducer(bootstrap_servers='localhost:9092')
for _ in range(10):
    producer.send('test_topic', b'some_message_bytes')
producer.flush()
producer.close()
";

const CONSUMER: &str = "
from kafka import KafkaConsumer
consumer = KafkaConsumer('test_topic', bootstrap_servers='localhost:9092')
for msg in consumer:
    print(msg.value, flush=True)
";

const LIMIT: Duration = Duration::from_secs(60);

pub fn test(tally: &mut Tally) {
    let name = "first contact: two Python programs on localhost:9092";
    let started = Instant::now();
    if !dependencies::python_interpreter().exists() {
        tally.skip(name, "kafka-python is not installed");
    } else if takes_connections(9092) {
        tally.skip(name, "port 9092 is in use");
    } else {
        tally.record(name, started, run());
    }
}

/// The consumer starts at the end of the topic, so what it prints depends on when it got there:
/// the producer runs again until something arrives.
fn run() -> Result<()> {
    let binary = workspace::built("debug", "outlast");
    let _broker = Broker::start_with_default_listeners(&binary, "first contact")?;
    let consumer = Python::start(CONSUMER)?;
    let started = Instant::now();
    let first = loop {
        ensure!(started.elapsed() < LIMIT, "the consumer printed nothing");
        let mut producer = Command::new(dependencies::python_interpreter());
        process::run("first producer", producer.args(["-c", PRODUCER]), LIMIT)?
            .expect_success()
            .context("the producer failed")?;
        match consumer.lines.recv_timeout(Duration::from_secs(1)) {
            Ok(line) => break line,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => bail!("the consumer ended by itself"),
        }
    };
    ensure!(
        first == "b'some_message_bytes'",
        "the consumer printed {first}"
    );
    Ok(())
}

struct Python {
    child: Child,
    lines: Receiver<String>,
}

impl Python {
    fn start(program: &str) -> Result<Self> {
        let mut child = Command::new(dependencies::python_interpreter())
            .args(["-c", program])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdout = child.stdout.take().context("its output is piped")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
