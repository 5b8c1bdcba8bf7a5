//! What a request costs inside the broker, from its frame to the frame of its answer.
//! `cargo bench -p outlast-broker`

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use outlast_broker::{Broker, BrokerConfig, Connection, HostPort};
use outlast_protocol::messages::create_topics::CreatableTopic;
use outlast_protocol::messages::fetch::{FetchPartition, FetchTopic};
use outlast_protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use outlast_protocol::messages::{CreateTopicsRequest, FetchRequest, ProduceRequest};
use outlast_protocol::{Request, RequestHeader, frame};
use outlast_records::{BatchBuilder, Compression, NewRecord, Timestamp};
use outlast_storage::io::fault::FaultDisk;
use outlast_storage::{Store, StoreOptions, SystemClock};
use tokio::runtime::Runtime;

const BATCH_BYTES: usize = 16 * 1024;
const TOPIC: &str = "bench";
const VERSION: i16 = 12;

fn main() {
    divan::main();
}

struct Bench {
    runtime: Runtime,
    broker: Arc<Broker>,
    connection: Arc<Connection>,
}

impl Bench {
    /// A topic of so many partitions, with one batch in each if `filled`, on a disk in memory.
    fn new(partitions: i32, filled: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let clock = Arc::new(SystemClock);
        let disk = Arc::new(FaultDisk::new());
        let (store, _) = Store::open(
            disk,
            clock.clone(),
            Path::new("/data"),
            StoreOptions::default(),
        )
        .expect("an empty store opens");
        let broker = runtime
            .block_on(Broker::open(BrokerConfig::default(), store, clock))
            .expect("an empty broker opens");
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000));
        let connection = Arc::new(Connection::new(1, peer, HostPort::new("localhost", 9092)));
        let bench = Self {
            runtime,
            broker,
            connection,
        };
        let topic = CreatableTopic {
            name: TOPIC.into(),
            num_partitions: partitions,
            replication_factor: 1,
            ..Default::default()
        };
        bench.call(encode(
            7,
            &CreateTopicsRequest {
                topics: vec![topic],
                ..Default::default()
            },
        ));
        if filled {
            bench.call(encode(VERSION, &produce(partitions, -1)));
        }
        bench
    }

    fn call(&self, frame: BytesMut) -> Option<Vec<Bytes>> {
        self.runtime
            .block_on(self.broker.handle(&self.connection, frame))
            .expect("an answer")
    }
}

fn encode<R: Request>(api_version: i16, request: &R) -> BytesMut {
    let header = RequestHeader {
        api_key: R::KEY.code(),
        api_version,
        ..Default::default()
    };
    let chain = frame::encode_request(&header, request).expect("a request of its own version");
    BytesMut::from(&chain.concat()[4..])
}

fn batch() -> BytesMut {
    let mut builder = BatchBuilder::new(Compression::None);
    while builder.uncompressed_size() < BATCH_BYTES {
        builder.append(NewRecord {
            timestamp: Timestamp(0),
            value: Some(&[7; 1024]),
            ..Default::default()
        });
    }
    BytesMut::from(builder.build().expect("a batch").bytes())
}

fn produce(partitions: i32, acks: i16) -> ProduceRequest {
    let partition_data = (0..partitions)
        .map(|index| PartitionProduceData {
            index,
            records: Some(batch()),
        })
        .collect();
    ProduceRequest {
        acks,
        topic_data: vec![TopicProduceData {
            name: TOPIC.into(),
            partition_data,
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn fetch(partitions: i32, offset: i64, session: (i32, i32)) -> FetchRequest {
    let partitions = (0..partitions)
        .map(|partition| FetchPartition {
            partition,
            fetch_offset: offset,
            partition_max_bytes: 1 << 20,
            ..Default::default()
        })
        .collect();
    FetchRequest {
        max_bytes: 50 << 20,
        session_id: session.0,
        session_epoch: session.1,
        topics: vec![FetchTopic {
            topic: TOPIC.into(),
            partitions,
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// From the frame to the durable append and back; the disk costs nothing.
#[divan::bench(args = [1, 16, 1000])]
fn produce_acks_all(bencher: Bencher, partitions: i32) {
    let bench = Bench::new(partitions, false);
    let frame = encode(VERSION, &produce(partitions, -1));
    bencher
        .counter(BytesCount::new(frame.len()))
        .with_inputs(|| frame.clone())
        .bench_values(|frame| bench.call(frame));
}

/// A response of records that are in memory.
#[divan::bench(args = [1, 16, 1000])]
fn fetch_what_is_there(bencher: Bencher, partitions: i32) {
    let bench = Bench::new(partitions, true);
    let frame = encode(VERSION, &fetch(partitions, 0, (0, -1)));
    bencher
        .counter(BytesCount::new(partitions as usize * batch().len()))
        .with_inputs(|| frame.clone())
        .bench_values(|frame| bench.call(frame));
}

/// A fetch of partitions without news, named again each time.
#[divan::bench(args = [1, 1000])]
fn fetch_nothing_without_session(bencher: Bencher, partitions: i32) {
    let bench = Bench::new(partitions, true);
    let frame = encode(VERSION, &fetch(partitions, 16, (0, -1)));
    bencher
        .counter(ItemsCount::new(partitions as usize))
        .with_inputs(|| frame.clone())
        .bench_values(|frame| bench.call(frame));
}

/// The same within a session: the partitions are neither named nor looked at.
#[divan::bench(args = [1, 1000])]
fn fetch_nothing_in_a_session(bencher: Bencher, partitions: i32) {
    let bench = Bench::new(partitions, true);
    let opened = bench
        .call(encode(VERSION, &fetch(partitions, 16, (0, 0))))
        .expect("a response");
    let frame = BytesMut::from(&opened.concat()[4..]);
    let (_, response) =
        frame::decode_response::<FetchRequest>(frame, VERSION).expect("a fetch response");
    let epoch = std::sync::atomic::AtomicI32::new(1);
    bencher
        .counter(ItemsCount::new(partitions as usize))
        .with_inputs(|| {
            let epoch = epoch.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            encode(VERSION, &fetch(0, 0, (response.session_id, epoch)))
        })
        .bench_values(|frame| bench.call(frame));
}
