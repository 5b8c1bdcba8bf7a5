//! A real server over a real broker in a temporary directory, and a client that sees every byte.

#![allow(dead_code, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use outlast_broker::{Broker, BrokerConfig};
use outlast_protocol::frame::{decode_response, encode_request};
use outlast_protocol::messages::{
    CreateTopicsRequest, FetchRequest, ProduceRequest, create_topics, fetch, produce,
};
use outlast_protocol::{Request, RequestHeader};
use outlast_records::{BatchBuilder, Compression, NewRecord, Timestamp};
use outlast_server::{BoundServer, HostPort, ListenerConfig, Server, ServerConfig};
use outlast_storage::{DiskIo, Io, Store, StoreOptions, SystemClock};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than anything takes that works.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct TestServer {
    pub server: Server,
    pub broker: Arc<Broker>,
    pub store: Store,
    pub address: SocketAddr,
    pub http: SocketAddr,
    _directory: TempDir,
}

impl TestServer {
    pub async fn start(configure: impl FnOnce(&mut ServerConfig)) -> Self {
        Self::start_on(Arc::new(DiskIo), configure).await
    }

    pub async fn start_on(disk: Arc<dyn Io>, configure: impl FnOnce(&mut ServerConfig)) -> Self {
        let mut config = ServerConfig {
            listeners: vec![ListenerConfig {
                listen: HostPort::new("127.0.0.1", 0),
                advertise: None,
            }],
            http: vec![HostPort::new("127.0.0.1", 0)],
            ..ServerConfig::default()
        };
        configure(&mut config);
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(SystemClock);
        let (store, _) = Store::open(
            disk,
            clock.clone(),
            directory.path(),
            StoreOptions::default(),
        )
        .unwrap();
        let broker = Broker::open(BrokerConfig::default(), store.clone(), clock)
            .await
            .unwrap();
        let bound = BoundServer::bind(config).await.unwrap();
        let (address, http) = (bound.endpoints()[0].address, bound.http_addresses()[0]);
        let server = bound.start(Arc::clone(&broker), store.clone());
        Self {
            server,
            broker,
            store,
            address,
            http,
            _directory: directory,
        }
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// The body of an HTTP answer, behind its status.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        (status, body.to_owned())
    }

    /// Waits until a sample of the metrics has this value.
    pub async fn until(&self, metric: &str, value: f64) {
        let reached = async { while self.metric(metric).await != value {} };
        timeout(PATIENCE, reached)
            .await
            .unwrap_or_else(|_| panic!("{metric} is never {value}"));
    }

    /// One sample of the metrics, by its full name with labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let (_, body) = self.get("/metrics").await;
        let value = body
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value
            .unwrap_or_else(|| panic!("no {name} in\n{body}"))
            .parse()
            .unwrap()
    }
}

pub struct Client {
    pub stream: TcpStream,
    correlation: i32,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(address).await.unwrap(),
            correlation: 0,
        }
    }

    /// Sends without waiting; gives the correlation id.
    pub async fn send<R: Request>(&mut self, version: i16, request: &R) -> i32 {
        self.correlation += 1;
        let frame = encode_with(self.correlation, version, request);
        self.stream.write_all(&frame).await.unwrap();
        self.correlation
    }

    pub async fn receive<R: Request>(&mut self, version: i16) -> (i32, R::Response) {
        let frame = timeout(PATIENCE, self.frame())
            .await
            .expect("an answer in time");
        let (header, response) = decode_response::<R>(frame.expect("an answer"), version).unwrap();
        (header.correlation_id, response)
    }

    pub async fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let sent = self.send(version, request).await;
        let (answered, response) = self.receive::<R>(version).await;
        assert_eq!(sent, answered);
        response
    }

    /// The next answer's frame without its length; None when the connection is closed.
    pub async fn frame(&mut self) -> Option<BytesMut> {
        let length = self.stream.read_i32().await.ok()?;
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut frame).await.ok()?;
        Some(frame.as_slice().into())
    }

    /// Waits until the server closes the connection, and panics if it says anything before.
    pub async fn expect_close(&mut self) {
        let mut rest = Vec::new();
        // A reset is a close too: the server had not read everything.
        let _ = timeout(PATIENCE, self.stream.read_to_end(&mut rest))
            .await
            .expect("a close in time");
        assert_eq!(rest, b"", "an answer instead of a close");
    }

    pub async fn create_topic(&mut self, name: &str) {
        let request = CreateTopicsRequest {
            topics: vec![create_topics::CreatableTopic {
                name: name.into(),
                num_partitions: 1,
                replication_factor: 1,
                ..Default::default()
            }],
            timeout_ms: 10_000,
            ..Default::default()
        };
        let response = self.call(5, &request).await;
        assert_eq!(
            response.topics[0].error_code, 0,
            "{:?}",
            response.topics[0].error_message
        );
    }
}

/// A whole request, with its length.
pub fn encode<R: Request>(version: i16, request: &R) -> Vec<u8> {
    encode_with(0, version, request)
}

fn encode_with<R: Request>(correlation_id: i32, version: i16, request: &R) -> Vec<u8> {
    let header = RequestHeader {
        api_key: R::KEY.code(),
        api_version: version,
        correlation_id,
        client_id: Some("test".into()),
    };
    encode_request(&header, request).unwrap().concat()
}

/// A frame of these bytes, with its length.
pub fn framed(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 4);
    frame.put_i32(payload.len() as i32);
    frame.extend_from_slice(payload);
    frame
}

/// One record of this many bytes to partition 0.
pub fn produce(topic: &str, bytes: usize) -> ProduceRequest {
    let mut batch = BatchBuilder::new(Compression::None);
    batch.append(NewRecord {
        timestamp: Timestamp(1),
        value: Some(&vec![7; bytes]),
        ..NewRecord::default()
    });
    ProduceRequest {
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![produce::TopicProduceData {
            name: topic.into(),
            partition_data: vec![produce::PartitionProduceData {
                index: 0,
                records: Some(BytesMut::from(batch.build().unwrap().bytes())),
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Waits up to `wait` for a byte at `offset` of partition 0.
pub fn fetch(topic: &str, offset: i64, wait: Duration) -> FetchRequest {
    FetchRequest {
        max_wait_ms: wait.as_millis() as i32,
        min_bytes: 1,
        max_bytes: i32::MAX,
        session_epoch: -1,
        topics: vec![fetch::FetchTopic {
            topic: topic.into(),
            partitions: vec![fetch::FetchPartition {
                partition: 0,
                fetch_offset: offset,
                partition_max_bytes: i32::MAX,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub const PRODUCE: i16 = 9;
pub const FETCH: i16 = 12;
