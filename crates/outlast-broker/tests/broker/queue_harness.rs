//! A broker with queues whose time stands still until the test moves it: the store has no threads, a task of the test's
//! runtime writes for it and never lets the runtime idle, which is when tokio's paused clock would run by itself.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use outlast_broker::queues::*;
use outlast_broker::{Broker, BrokerConfig, Connection, HostPort};
use outlast_protocol::ErrorCode;
use outlast_records::{
    BatchBuilder, Compression, NewRecord, Offset, PartitionId, Record, Timestamp, records,
    stored_batches,
};
use outlast_storage::io::fault::{FaultDisk, Op, Survives, eio};
use outlast_storage::{Store, StoreOptions};
use tokio::task::AbortHandle;

use crate::configs::{SET, alter};
use crate::harness::*;

/// The group of most tests.
pub const GROUP: &str = "g";
const GROUP_RESOURCE: i8 = 32;

pub struct QueueTest {
    inner: TestBroker,
    writer: AbortHandle,
    writing: Arc<AtomicBool>,
}

impl Deref for QueueTest {
    type Target = TestBroker;

    fn deref(&self) -> &TestBroker {
        &self.inner
    }
}

impl Drop for QueueTest {
    fn drop(&mut self) {
        self.writer.abort();
    }
}

impl QueueTest {
    pub async fn start() -> QueueTest {
        let clock = Arc::new(TestClock(AtomicI64::new(START)));
        QueueTest::open(FaultDisk::new(), clock).await
    }

    async fn open(disk: FaultDisk, clock: Arc<TestClock>) -> QueueTest {
        let options = StoreOptions {
            wal_file_bytes: 4 << 20,
            threads: false,
            ..Default::default()
        };
        let io = Arc::new(disk.clone());
        let given = options.clone();
        let (store, _) = Store::open(io, clock.clone(), Path::new("/data"), options).unwrap();
        let writing = Arc::new(AtomicBool::new(true));
        let (may_write, writes_to) = (Arc::clone(&writing), store.clone());
        let writer = tokio::spawn(async move {
            loop {
                if may_write.load(Ordering::Relaxed) {
                    writes_to.step_writer();
                }
                tokio::task::yield_now().await;
            }
        });
        let config = BrokerConfig::new(&config(&[])).unwrap();
        let broker = Broker::open(config, store.clone(), clock.clone()).await;
        let peer = "127.0.0.1:50000".parse().unwrap();
        let advertised = HostPort::new("broker.test", 9092);
        let inner = TestBroker {
            broker: broker.unwrap(),
            connection: Arc::new(Connection::new(1, peer, advertised)),
            disk,
            clock,
            options: given,
            store,
        };
        QueueTest {
            inner,
            writer: writer.abort_handle(),
            writing,
        }
    }

    /// From now on, appends wait.
    pub fn stop_writing(&self) {
        self.writing.store(false, Ordering::Relaxed);
    }

    /// Writes one entry that is never synced; how many bytes that is.
    pub fn write_without_sync(&self) -> usize {
        self.disk.fail(Op::Sync, ".wal", 0, 1, eio);
        self.store.step_writer();
        self.disk.heal();
        self.disk.unsynced_bytes()
    }

    /// Its sudden death, and another one over what is left.
    pub async fn killed(self, survives: Survives) -> QueueTest {
        self.writer.abort();
        self.disk.crash(survives);
        let (disk, clock) = (self.disk.clone(), self.clock.clone());
        self.broker.shutdown().await;
        drop(self);
        calm().await;
        QueueTest::open(disk, clock).await
    }

    /// Lets time go by, on all clocks.
    pub async fn pass(&self, ms: u64) {
        // In steps, as timers that start others want it.
        let mut left = ms;
        while left > 0 {
            let step = left.min(500);
            self.clock.advance_ms(step as i64);
            tokio::time::advance(Duration::from_millis(step)).await;
            calm().await;
            left -= step;
        }
    }

    pub async fn queues(&self) -> &QueueCoordinator {
        self.broker.queues().await.unwrap()
    }

    /// A topic with this many partitions; the first of them.
    pub async fn topic(
        &self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> PartitionId {
        let topic = self.create_topic(name, partitions, configs).await;
        PartitionId { topic, index: 0 }
    }

    /// Sets the group's configuration, beginning with the earliest message.
    pub async fn group(&self, group: &str, configs: &[(&str, &str)]) {
        let reset = [("share.auto.offset.reset", "earliest")];
        let given = |key: &str| configs.iter().any(|(given, _)| *given == key);
        let all = reset.iter().filter(|(key, _)| !given(key)).chain(configs);
        let all: Vec<_> = all.map(|(key, value)| (*key, SET, Some(*value))).collect();
        let set = alter(self, GROUP_RESOURCE, group, &all).await;
        assert_eq!(set, ErrorCode::None);
    }

    /// One message with headers; its key is its value.
    pub async fn put_with(&self, topic: &str, value: &str, headers: &[(&str, &str)]) -> i64 {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())))
            .collect();
        let mut batch = BatchBuilder::new(Compression::None);
        batch.append(NewRecord {
            timestamp: outlast_storage::Clock::now(&*self.clock),
            key: Some(value.as_bytes()),
            value: Some(value.as_bytes()),
            headers: &headers,
        });
        let bytes = bytes::BytesMut::from(batch.build().unwrap().bytes());
        let answer = self.produce(topic, 0, bytes).await;
        assert_eq!(error(answer.error_code), ErrorCode::None);
        answer.base_offset
    }

    pub async fn receive(&self, partition: PartitionId, worker: &str, max: usize) -> Vec<Message> {
        let received = self
            .queues()
            .await
            .receive(GROUP, &Worker::from(worker), partition, limits(max))
            .await;
        messages(&received.unwrap())
    }

    pub async fn ack(
        &self,
        partition: PartitionId,
        worker: &str,
        offsets: std::ops::RangeInclusive<i64>,
        verb: Verb,
    ) -> Result<(), ErrorCode> {
        let range = AckRange {
            first: Offset(*offsets.start()),
            last: Offset(*offsets.end()),
            verb,
        };
        let worker = Worker::from(worker);
        let queues = self.queues().await;
        queues
            .acknowledge(GROUP, &worker, partition, &[range])
            .await
    }

    /// All records of a topic's first partition, as a plain reader finds them.
    pub async fn records_of(&self, topic: &str) -> Vec<Record> {
        let table = self.broker.topic(topic);
        let Some(id) = table.map(|summary| summary.id) else {
            return Vec::new();
        };
        let log = self.store.log(PartitionId {
            topic: id,
            index: 0,
        });
        let (start, end) = (log.start_offset(), log.high_watermark());
        if start >= end {
            return Vec::new();
        }
        let found = log.read(start, end, usize::MAX).unwrap();
        decode(&found.batches)
    }

    /// Waits for what depends on threads, which the test's time doesn't hold up.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        for _ in 0..1_000_000 {
            if holds().await {
                return;
            }
            tokio::task::yield_now().await;
            std::thread::yield_now();
        }
        panic!("in vain: {what}");
    }

    pub async fn numbers(&self, partition: PartitionId) -> QueueNumbers {
        let numbers = self.queues().await.numbers(GROUP);
        let found = numbers.iter().find(|n| n.partition == partition);
        found.expect("a queue").numbers
    }
}

/// What a worker sees of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub offset: i64,
    pub value: String,
    pub count: u16,
}

pub fn limits(max_records: usize) -> ReceiveLimits {
    ReceiveLimits {
        max_records,
        max_bytes: 1 << 20,
        whole_batches: false,
        lock: None,
    }
}

/// The messages that were handed out, and only those.
pub fn messages(received: &Received) -> Vec<Message> {
    let mut found = Vec::new();
    for record in decode(&received.batches) {
        let holds =
            |range: &&AcquiredRange| range.first <= record.offset && record.offset <= range.last;
        if let Some(range) = received.acquired.iter().find(holds) {
            found.push(Message {
                offset: record.offset.0,
                value: text(record.value.as_deref()),
                count: range.delivery_count,
            });
        }
    }
    let acquired = received.acquired.iter();
    let acquired: i64 = acquired.map(|r| r.last.0 - r.first.0 + 1).sum();
    assert_eq!(found.len() as i64, acquired, "acquired without bytes");
    found
}

pub fn offsets(messages: &[Message]) -> Vec<i64> {
    messages.iter().map(|message| message.offset).collect()
}

pub fn decode(batches: &[bytes::Bytes]) -> Vec<Record> {
    let mut all = Vec::new();
    for chunk in batches {
        for batch in stored_batches(chunk.clone()) {
            let (_, bytes) = batch.unwrap();
            all.extend(records(&bytes, 1 << 20).unwrap().map(Result::unwrap));
        }
    }
    all
}

pub fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap()
}

/// The last value of a header.
pub fn header(record: &Record, name: &str) -> Option<String> {
    let mut headers = record.headers.iter().rev();
    let header = headers.find(|header| header.key == name.as_bytes())?;
    Some(text(header.value.as_deref()))
}

/// Lets every task run until nothing moves any more.
pub async fn calm() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

pub fn release() -> Verb {
    Verb::Release {
        delay: None,
        counts: true,
    }
}

pub fn now(test: &QueueTest) -> Timestamp {
    outlast_storage::Clock::now(&*test.clock)
}
