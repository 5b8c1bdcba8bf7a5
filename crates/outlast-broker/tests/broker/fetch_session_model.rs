//! A client that keeps to KIP-227 reads everything, in order, whatever happens between its fetches: partitions that come
//! and go, records anywhere, limits that let one batch through at a time, sessions that get lost.

use std::collections::{BTreeMap, BTreeSet};

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::FetchRequest;
use outlast_protocol::messages::fetch::{FetchTopic, ForgottenTopic};
use proptest::prelude::*;

use crate::harness::*;

const PARTITIONS: i32 = 4;

#[derive(Debug, Clone)]
enum Step {
    Produce(i32),
    Fetch,
    /// The client stops reading a partition, or goes on with it.
    Toggle(i32),
    LoseSession,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..PARTITIONS).prop_map(Step::Produce),
        4 => Just(Step::Fetch),
        2 => (0..PARTITIONS).prop_map(Step::Toggle),
        1 => Just(Step::LoseSession),
    ]
}

#[derive(Default)]
struct Client {
    session: i32,
    epoch: i32,
    reads: BTreeSet<i32>,
    position: BTreeMap<i32, i64>,
    /// What the session believes: partition and position.
    told: BTreeMap<i32, i64>,
    seen: BTreeMap<i32, Vec<i64>>,
    max_bytes: i32,
}

impl Client {
    fn position(&self, partition: i32) -> i64 {
        self.position.get(&partition).copied().unwrap_or(0)
    }

    fn request(&mut self) -> FetchRequest {
        if self.epoch == 0 {
            self.told.clear();
        }
        let changed: Vec<i32> = self
            .reads
            .iter()
            .copied()
            .filter(|partition| self.told.get(partition) != Some(&self.position(*partition)))
            .collect();
        let forgotten: Vec<i32> = self
            .told
            .keys()
            .copied()
            .filter(|partition| !self.reads.contains(partition))
            .collect();
        let mut topic = FetchTopic {
            topic: "t".into(),
            ..Default::default()
        };
        for partition in changed {
            let position = self.position(partition);
            topic.partitions.push(fetch_partition(partition, position));
            self.told.insert(partition, position);
        }
        for partition in &forgotten {
            self.told.remove(partition);
        }
        let forgotten = ForgottenTopic {
            topic: "t".into(),
            partitions: forgotten,
            ..Default::default()
        };
        FetchRequest {
            session_id: self.session,
            session_epoch: self.epoch,
            max_bytes: self.max_bytes,
            min_bytes: 1,
            topics: vec![topic],
            forgotten_topics_data: vec![forgotten],
            ..Default::default()
        }
    }

    /// Whether there was anything.
    async fn fetch(&mut self, broker: &TestBroker) -> bool {
        let request = self.request();
        let response = broker.call(12, request).await;
        if error(response.error_code) != ErrorCode::None {
            (self.session, self.epoch) = (0, 0);
            return true;
        }
        let mut found = false;
        for data in response
            .responses
            .iter()
            .flat_map(|topic| &topic.partitions)
        {
            assert!(
                self.reads.contains(&data.partition_index),
                "a partition nobody asked for"
            );
            for (offset, _) in values(data) {
                let partition = data.partition_index;
                self.seen.entry(partition).or_default().push(offset);
                self.position.insert(partition, offset + 1);
                found = true;
            }
        }
        self.session = response.session_id;
        self.epoch = if self.session == 0 { 0 } else { self.epoch + 1 };
        found
    }
}

async fn run(steps: Vec<Step>, max_bytes: i32) {
    let broker = TestBroker::start().await;
    broker.create_topic("t", PARTITIONS, &[]).await;
    let mut client = Client {
        max_bytes,
        reads: (0..PARTITIONS).collect(),
        ..Default::default()
    };
    let mut produced = [0; PARTITIONS as usize];
    for step in steps {
        match step {
            Step::Produce(partition) => {
                broker.put("t", partition, &["v"]).await;
                produced[partition as usize] += 1;
            }
            Step::Fetch => {
                client.fetch(&broker).await;
            }
            Step::Toggle(partition) => {
                if !client.reads.remove(&partition) {
                    client.reads.insert(partition);
                }
            }
            Step::LoseSession => client.session += 1,
        }
    }
    client.reads = (0..PARTITIONS).collect();
    while client.fetch(&broker).await {}
    for (partition, count) in (0..PARTITIONS).zip(produced) {
        let seen = client.seen.remove(&partition).unwrap_or_default();
        assert_eq!(
            seen,
            (0..count).collect::<Vec<i64>>(),
            "partition {partition}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn everything_is_read(
        steps in prop::collection::vec(step(), 0..60),
        max_bytes in prop_oneof![Just(1), Just(200), Just(1 << 20)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps, max_bytes));
    }
}
