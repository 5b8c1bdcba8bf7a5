//! A broker without a network and over a disk in memory: requests are encoded, handled and decoded in this process.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::{Bytes, BytesMut};
use outlast_broker::{Broker, BrokerConfig, CloseConnection, ConfigMap, Connection, HostPort};
use outlast_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use outlast_protocol::messages::fetch::{FetchPartition, FetchTopic};
use outlast_protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, TopicProduceData,
};
use outlast_protocol::messages::*;
use outlast_protocol::{ErrorCode, Request, RequestHeader, frame};
use outlast_records::{
    BatchBuilder, CheckedBatch, Compression, NewRecord, ProducerEpoch, ProducerId, Sequence,
    Timestamp,
};
use outlast_storage::io::fault::{FaultDisk, Survives};
use outlast_storage::{Clock, Store, StoreOptions};
use uuid::Uuid;

/// Where the test clock starts.
pub const START: i64 = 1_800_000_000_000;

pub struct TestClock(pub AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

impl TestClock {
    pub fn advance_ms(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

pub struct TestBroker {
    pub broker: Arc<Broker>,
    pub connection: Arc<Connection>,
    /// In memory, with a disk's bad habits.
    pub disk: FaultDisk,
    pub clock: Arc<TestClock>,
    pub options: StoreOptions,
    pub store: Store,
}

fn options() -> StoreOptions {
    StoreOptions {
        wal_file_bytes: 4 << 20,
        ..Default::default()
    }
}

pub fn config(values: &[(&str, &str)]) -> ConfigMap {
    values
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

impl TestBroker {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    pub async fn with(values: &[(&str, &str)]) -> Self {
        let clock = Arc::new(TestClock(AtomicI64::new(START)));
        Self::open(FaultDisk::new(), clock, values, options()).await
    }

    /// Stops the broker in an orderly way and opens another one over the same data.
    pub async fn restart(self) -> Self {
        self.broker.shutdown().await;
        self.store.shutdown().unwrap();
        self.lose_power(Survives::Nothing).await
    }

    /// What was not synced is gone, as far as `survives` says; another broker opens what is left.
    pub async fn lose_power(self, survives: Survives) -> Self {
        self.disk.crash(survives);
        let Self {
            disk,
            clock,
            options,
            store,
            ..
        } = self;
        drop(store);
        disk.heal();
        Self::open(disk, clock, &[], options).await
    }

    /// Every append is an entry of its own, with a sync of its own: the power can fail between any two.
    pub async fn with_single_entries() -> Self {
        let clock = Arc::new(TestClock(AtomicI64::new(START)));
        let options = StoreOptions {
            max_entry_bytes: 1,
            ..options()
        };
        Self::open(FaultDisk::new(), clock, &[], options).await
    }

    async fn open(
        disk: FaultDisk,
        clock: Arc<TestClock>,
        values: &[(&str, &str)],
        options: StoreOptions,
    ) -> Self {
        let given = options.clone();
        let io = Arc::new(disk.clone());
        let (store, _) = Store::open(io, clock.clone(), Path::new("/data"), options).unwrap();
        let config = BrokerConfig::new(&config(values)).unwrap();
        let broker = Broker::open(config, store.clone(), clock.clone())
            .await
            .unwrap();
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000));
        let advertised = HostPort::new("broker.test", 9092);
        let connection = Arc::new(Connection::new(1, peer, advertised));
        Self {
            broker,
            connection,
            disk,
            clock,
            options: given,
            store,
        }
    }

    pub async fn try_call<R: Request>(
        &self,
        version: i16,
        request: R,
    ) -> Result<Option<R::Response>, CloseConnection> {
        self.call_over(&self.connection, version, request).await
    }

    /// Another client's connection.
    pub fn connect(&self, id: u64) -> Arc<Connection> {
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000));
        Arc::new(Connection::new(
            id,
            peer,
            HostPort::new("broker.test", 9092),
        ))
    }

    pub async fn call_over<R: Request>(
        &self,
        connection: &Arc<Connection>,
        version: i16,
        request: R,
    ) -> Result<Option<R::Response>, CloseConnection> {
        let header = RequestHeader {
            api_key: R::KEY.code(),
            api_version: version,
            correlation_id: 77,
            client_id: Some("test".into()),
        };
        let frame = join(&frame::encode_request(&header, &request).unwrap());
        let answer = self.broker.handle(connection, frame).await?;
        Ok(answer.map(|answer| {
            let (header, response) = frame::decode_response::<R>(join(&answer), version).unwrap();
            assert_eq!(header.correlation_id, 77);
            response
        }))
    }

    pub async fn call<R: Request>(&self, version: i16, request: R) -> R::Response {
        self.try_call(version, request)
            .await
            .unwrap()
            .expect("a response")
    }

    pub async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Uuid {
        let request = CreateTopicsRequest {
            topics: vec![topic(name, partitions, configs)],
            ..Default::default()
        };
        let response = self.call(7, request).await;
        let result = &response.topics[0];
        assert_eq!(
            error(result.error_code),
            ErrorCode::None,
            "{:?}",
            result.error_message
        );
        result.topic_id
    }

    pub async fn produce(
        &self,
        topic: &str,
        partition: i32,
        records: impl Into<BytesMut>,
    ) -> PartitionProduceResponse {
        let response = self
            .call(12, produce_request(topic, partition, -1, records))
            .await;
        response.responses[0].partition_responses[0].clone()
    }

    /// Appends one batch of these values and checks that it was taken.
    pub async fn put(&self, topic: &str, partition: i32, values: &[&str]) -> i64 {
        let answer = self.produce(topic, partition, batch(values)).await;
        assert_eq!(
            error(answer.error_code),
            ErrorCode::None,
            "{:?}",
            answer.error_message
        );
        answer.base_offset
    }
}

impl TestBroker {
    /// As /metrics shows them.
    pub fn metrics(&self) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        self.broker.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    pub fn metadata_log_start(&self) -> i64 {
        self.store
            .log(outlast_broker::METADATA_PARTITION)
            .start_offset()
            .0
    }
}

/// A frame as the broker gets it or gave it, without its length prefix.
fn join(chain: &[Bytes]) -> BytesMut {
    let mut joined = BytesMut::new();
    chain.iter().for_each(|link| joined.extend_from_slice(link));
    let length = joined.split_to(4);
    assert_eq!(
        i32::from_be_bytes(length[..].try_into().unwrap()) as usize,
        joined.len()
    );
    joined
}

pub fn error(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).expect("a known error code")
}

pub fn topic(name: &str, partitions: i32, configs: &[(&str, &str)]) -> CreatableTopic {
    CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: -1,
        configs: configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig {
                name: (*name).into(),
                value: Some((*value).into()),
            })
            .collect(),
        ..Default::default()
    }
}

pub fn produce_request(
    topic: &str,
    partition: i32,
    acks: i16,
    records: impl Into<BytesMut>,
) -> ProduceRequest {
    ProduceRequest {
        acks,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: topic.into(),
            partition_data: vec![PartitionProduceData {
                index: partition,
                records: Some(records.into()),
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub struct Batch(BatchBuilder);

impl Batch {
    pub fn new(compression: Compression) -> Self {
        Self(BatchBuilder::new(compression))
    }

    pub fn producer(id: i64, epoch: i16, sequence: i32) -> Self {
        let builder = BatchBuilder::new(Compression::None);
        Self(builder.producer(ProducerId(id), ProducerEpoch(epoch), Sequence(sequence)))
    }

    pub fn transactional(self) -> Self {
        Self(self.0.transactional())
    }

    pub fn record(mut self, timestamp: i64, key: Option<&str>, value: &str) -> Self {
        self.0.append(NewRecord {
            timestamp: Timestamp(timestamp),
            key: key.map(str::as_bytes),
            value: Some(value.as_bytes()),
            headers: &[],
        });
        self
    }

    pub fn values(self, values: &[&str]) -> Self {
        values
            .iter()
            .fold(self, |batch, value| batch.record(START, Some("key"), value))
    }

    pub fn build(self) -> CheckedBatch {
        self.0.build().unwrap()
    }

    pub fn bytes(self) -> BytesMut {
        BytesMut::from(self.build().bytes())
    }
}

pub fn batch(values: &[&str]) -> BytesMut {
    Batch::new(Compression::None).values(values).bytes()
}

pub fn fetch_request(partitions: &[(&str, i32, i64)]) -> FetchRequest {
    let topics = partitions
        .iter()
        .map(|(topic, partition, offset)| FetchTopic {
            topic: (*topic).into(),
            partitions: vec![fetch_partition(*partition, *offset)],
            ..Default::default()
        });
    FetchRequest {
        min_bytes: 1,
        max_bytes: 1 << 20,
        topics: topics.collect(),
        ..Default::default()
    }
}

pub fn fetch_partition(partition: i32, fetch_offset: i64) -> FetchPartition {
    FetchPartition {
        partition,
        fetch_offset,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    }
}

/// `(offset, value)` of every record in a partition's answer.
pub fn values(data: &outlast_protocol::messages::fetch::PartitionData) -> Vec<(i64, String)> {
    let records = data.records.clone().unwrap_or_default().into_bytes();
    let mut values = Vec::new();
    for stored in outlast_records::stored_batches(records) {
        let (_, bytes) = stored.unwrap();
        for record in outlast_records::records(&bytes, 1 << 20).unwrap() {
            let record = record.unwrap();
            let value = record.value.unwrap_or_default();
            values.push((record.offset.0, String::from_utf8(value.to_vec()).unwrap()));
        }
    }
    values
}
