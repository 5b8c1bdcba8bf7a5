//! Where records enter: topics, the open batch of each partition, and the memory that all of them share. Callers
//! append under a short lock; the sender takes whole batches out at the other end.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::SystemTime;

use outlast_protocol::Str;
use outlast_records::murmur2::partition_for_key;
use outlast_records::{BatchBuilder, NewRecord, Timestamp};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::{BatchOutcome, Delivery, ProducerConfig, ProducerRecord};
use crate::error::ClientError;
use crate::metadata::TopicInfo;
use crate::partitioner::Sticky;

/// What a record takes beside its key, value and headers: lengths, deltas, attributes.
const RECORD_OVERHEAD: usize = 21;
const BATCH_OVERHEAD: usize = outlast_records::HEADER_SIZE;
/// What a batch gets at once, if it may become that large. Larger ones grow.
const FIRST_ALLOCATION: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Inlet {
    config: ProducerConfig,
    topics: RwLock<HashMap<String, Arc<Topic>>>,
    memory: Semaphore,
    /// Callers that wait for memory: their number makes every batch ready.
    pub(super) starving: AtomicUsize,
    /// Partitions that got something since the sender last looked.
    woken: Mutex<Vec<Arc<Partition>>>,
    pub(super) wake_sender: Notify,
    pub(super) flushing: AtomicUsize,
    unsettled: Mutex<HashMap<u64, Arc<BatchOutcome>>>,
    next_batch: AtomicU64,
    closed: AtomicBool,
}

#[derive(Debug)]
pub(super) struct Topic {
    pub name: String,
    pub name_on_wire: Str,
    partitions: RwLock<Vec<Arc<Partition>>>,
    sticky: Mutex<Sticky>,
}

#[derive(Debug)]
pub(super) struct Partition {
    pub topic: Arc<Topic>,
    pub index: i32,
    /// Where the sender keeps its side of this partition.
    pub slot: OnceLock<usize>,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// The last one is still being filled.
    batches: VecDeque<OpenBatch>,
    /// Whether the sender knows that there is something here.
    announced: bool,
}

/// A batch that has no sequence numbers yet.
#[derive(Debug)]
pub(super) struct OpenBatch {
    pub id: u64,
    pub builder: BatchBuilder,
    pub opened: Instant,
    /// What to give back to the memory budget.
    pub reserved: usize,
    pub outcome: Arc<BatchOutcome>,
    full: bool,
}

/// What the sender finds at a partition.
#[derive(Debug)]
pub(super) enum Taken {
    Batch(OpenBatch),
    /// Nothing before this moment.
    NotBefore(Instant),
    Empty,
}

impl OpenBatch {
    pub fn new(
        id: u64,
        builder: BatchBuilder,
        opened: Instant,
        outcome: Arc<BatchOutcome>,
    ) -> Self {
        Self {
            id,
            builder,
            opened,
            reserved: 0,
            outcome,
            full: false,
        }
    }
}

impl Inlet {
    pub fn new(config: ProducerConfig) -> Self {
        Self {
            memory: Semaphore::new(config.buffer_bytes),
            config,
            topics: RwLock::default(),
            starving: AtomicUsize::new(0),
            woken: Mutex::default(),
            wake_sender: Notify::new(),
            flushing: AtomicUsize::new(0),
            unsettled: Mutex::default(),
            next_batch: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }
    }

    pub fn config(&self) -> &ProducerConfig {
        &self.config
    }

    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(name).cloned()
    }

    pub fn topic_names(&self) -> Vec<String> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.keys().cloned().collect()
    }

    /// Adds the topic, or the partitions that it gained.
    pub fn add_topic(&self, info: TopicInfo) -> Arc<Topic> {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        let topic = topics.entry(info.name.clone()).or_insert_with(|| {
            Arc::new(Topic {
                name_on_wire: Str::from(info.name.as_str()),
                name: info.name.clone(),
                partitions: RwLock::default(),
                sticky: Mutex::default(),
            })
        });
        let topic = Arc::clone(topic);
        let mut partitions = topic
            .partitions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for info in info.partitions.iter().skip(partitions.len()) {
            partitions.push(Arc::new(Partition {
                topic: Arc::clone(&topic),
                index: info.index,
                slot: OnceLock::new(),
                queue: Mutex::default(),
            }));
        }
        drop(partitions);
        topic
    }

    pub async fn append(
        &self,
        topic: &Topic,
        record: &ProducerRecord<'_>,
    ) -> Result<Delivery, ClientError> {
        let size = record_size(record);
        if size + BATCH_OVERHEAD > self.config.max_request_bytes {
            return Err(ClientError::invalid(format!(
                "a record of {size} bytes is larger than a request may be ({} bytes)",
                self.config.max_request_bytes
            )));
        }
        self.reserve(size).await?;
        let partition = match topic.partition_for(record, size, self.config.batch_bytes) {
            Ok(partition) => partition,
            Err(e) => {
                self.memory.add_permits(size);
                return Err(e);
            }
        };
        Ok(self.append_to(&partition, record, size))
    }

    async fn reserve(&self, bytes: usize) -> Result<(), ClientError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(ClientError::Closed);
        }
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        if let Ok(permit) = self.memory.try_acquire_many(permits) {
            permit.forget();
            return Ok(());
        }
        let _starving = Counted::new(&self.starving);
        self.wake_sender.notify_one();
        match self.memory.acquire_many(permits).await {
            Ok(permit) => permit.forget(),
            Err(_) => return Err(ClientError::Closed),
        }
        Ok(())
    }

    fn append_to(
        &self,
        partition: &Arc<Partition>,
        record: &ProducerRecord<'_>,
        size: usize,
    ) -> Delivery {
        let mut queue = partition.lock();
        let batch_bytes = self.config.batch_bytes;
        if let Some(open) = queue.batches.back_mut()
            && open.builder.uncompressed_size() + size > batch_bytes
        {
            open.full = true;
        }
        let mut wake = false;
        if queue.batches.back().is_none_or(|open| open.full) {
            wake = true;
            queue.batches.push_back(self.open_batch());
        }
        // Just made sure that there is one.
        let Some(open) = queue.batches.back_mut() else {
            unreachable!("an open batch was pushed above");
        };
        let index = i32::try_from(open.builder.records_count()).unwrap_or(i32::MAX);
        open.builder.append(NewRecord {
            timestamp: Timestamp(record.timestamp.unwrap_or_else(now_ms)),
            key: record.key,
            value: record.value,
            headers: record.headers,
        });
        open.reserved += size;
        open.full |= open.builder.uncompressed_size() >= batch_bytes;
        wake |= open.full;
        let delivery = Delivery {
            outcome: Arc::clone(&open.outcome),
            index,
        };
        let announce = wake && !std::mem::replace(&mut queue.announced, true);
        drop(queue);
        if announce {
            self.lock_woken().push(Arc::clone(partition));
        }
        if wake {
            self.wake_sender.notify_one();
        }
        delivery
    }

    fn open_batch(&self) -> OpenBatch {
        let id = self.next_batch.fetch_add(1, Ordering::Relaxed);
        let outcome = Arc::<BatchOutcome>::default();
        self.lock_unsettled().insert(id, Arc::clone(&outcome));
        let room = self.config.batch_bytes.min(FIRST_ALLOCATION);
        let builder = BatchBuilder::with_capacity(self.config.compression, room)
            .compression_level(self.config.compression_level);
        OpenBatch::new(id, builder, Instant::now(), outcome)
    }

    /// The sender's look at who has something new.
    pub fn take_woken(&self, into: &mut Vec<Arc<Partition>>) {
        into.append(&mut self.lock_woken());
    }

    /// The batch is done with: its memory is free again and nobody needs to flush it.
    pub fn settled(&self, id: u64, reserved: usize) {
        self.memory.add_permits(reserved);
        self.lock_unsettled().remove(&id);
    }

    /// Whether batches go out without lingering.
    pub fn hurry(&self) -> bool {
        self.flushing.load(Ordering::Relaxed) > 0 || self.starving.load(Ordering::Relaxed) > 0
    }

    pub async fn flush(&self) {
        let _flushing = Counted::new(&self.flushing);
        self.wake_sender.notify_one();
        let outcomes: Vec<_> = self.lock_unsettled().values().cloned().collect();
        for outcome in outcomes {
            outcome.0.wait().await;
        }
    }

    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.memory.close();
        let unsettled = std::mem::take(&mut *self.lock_unsettled());
        for outcome in unsettled.into_values() {
            outcome.settle(Err(ClientError::Closed));
        }
    }

    fn lock_woken(&self) -> MutexGuard<'_, Vec<Arc<Partition>>> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_unsettled(&self) -> MutexGuard<'_, HashMap<u64, Arc<BatchOutcome>>> {
        self.unsettled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Topic {
    fn partition_for(
        &self,
        record: &ProducerRecord<'_>,
        size: usize,
        batch_bytes: usize,
    ) -> Result<Arc<Partition>, ClientError> {
        let partitions = self
            .partitions
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let count = i32::try_from(partitions.len()).unwrap_or(i32::MAX);
        let index = match (record.partition, record.key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_for_key(key, count),
            (None, None) => self
                .sticky
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .partition(size, batch_bytes, count, |n| fastrand::i32(..n)),
        };
        usize::try_from(index)
            .ok()
            .and_then(|index| partitions.get(index))
            .cloned()
            .ok_or_else(|| {
                ClientError::invalid(format!(
                    "topic '{}' has no partition {index}, only 0 to {}",
                    self.name,
                    count - 1
                ))
            })
    }
}

impl Partition {
    /// The next batch if it is full, has lingered long enough, or `hurry`.
    pub fn take(&self, now: Instant, linger: std::time::Duration, hurry: bool) -> Taken {
        let mut queue = self.lock();
        let Some(front) = queue.batches.front() else {
            return Taken::Empty;
        };
        let ready_at = front.opened + linger;
        if !front.full && !hurry && ready_at > now {
            return Taken::NotBefore(ready_at);
        }
        queue.batches.pop_front().map_or(Taken::Empty, Taken::Batch)
    }

    /// Whether there is nothing here. If so, the next append announces itself again.
    pub fn rests(&self) -> bool {
        let mut queue = self.lock();
        let empty = queue.batches.is_empty();
        queue.announced &= !empty;
        empty
    }

    /// The batches that were opened before `cutoff`: they have waited too long.
    pub fn take_expired(&self, cutoff: Instant) -> Vec<OpenBatch> {
        let mut queue = self.lock();
        let mut expired = Vec::new();
        while queue.batches.front().is_some_and(|b| b.opened < cutoff) {
            expired.extend(queue.batches.pop_front());
        }
        expired
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts itself while it lives, also when its future is dropped half-way.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn record_size(record: &ProducerRecord<'_>) -> usize {
    let headers: usize = record
        .headers
        .iter()
        .map(|(key, value)| key.len() + value.map_or(0, <[u8]>::len) + 10)
        .sum();
    RECORD_OVERHEAD
        + record.key.map_or(0, <[u8]>::len)
        + record.value.map_or(0, <[u8]>::len)
        + headers
}

fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}
