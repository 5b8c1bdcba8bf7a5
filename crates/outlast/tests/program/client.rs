//! Kafka requests to the real binary, each awaited before the next.

use std::io::{Read, Write};
use std::net::TcpStream;

use bytes::BytesMut;
use outlast_protocol::frame::{decode_response, encode_request};
use outlast_protocol::messages::{
    FetchRequest, MetadataRequest, ProduceRequest, fetch, metadata, produce,
};
use outlast_protocol::{ErrorCode, Request, RequestHeader};
use outlast_records::{BatchBuilder, Compression, NewRecord};

const METADATA: i16 = 9;
const PRODUCE: i16 = 9;
pub const FETCH: i16 = 11;

/// The topic `t`.
pub fn create_topic(client: &mut TcpStream) {
    let request = MetadataRequest {
        topics: Some(vec![metadata::MetadataRequestTopic {
            name: Some("t".into()),
            ..Default::default()
        }]),
        allow_auto_topic_creation: true,
        ..Default::default()
    };
    call(client, METADATA, &request).unwrap();
}

/// What the answer says; `None` when there is none.
pub fn put(client: &mut TcpStream, value: &[u8]) -> Option<ErrorCode> {
    let mut batch = BatchBuilder::new(Compression::None);
    batch.append(NewRecord {
        value: Some(value),
        ..Default::default()
    });
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![produce::TopicProduceData {
            name: "t".into(),
            partition_data: vec![produce::PartitionProduceData {
                index: 0,
                records: Some(BytesMut::from(batch.build().unwrap().bytes())),
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let response = call(client, PRODUCE, &request)?;
    ErrorCode::from_code(response.responses[0].partition_responses[0].error_code)
}

/// Whatever the topic holds, as far as it fits.
pub fn fetch_all() -> FetchRequest {
    FetchRequest {
        min_bytes: 1,
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: vec![fetch::FetchTopic {
            topic: "t".into(),
            partitions: vec![fetch::FetchPartition {
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub fn call<R: Request>(client: &mut TcpStream, version: i16, request: &R) -> Option<R::Response> {
    send(client, version, request).ok()?;
    let mut length = [0; 4];
    client.read_exact(&mut length).ok()?;
    let mut frame = BytesMut::zeroed(usize::try_from(i32::from_be_bytes(length)).unwrap());
    client.read_exact(&mut frame).ok()?;
    Some(decode_response::<R>(frame, version).unwrap().1)
}

/// Without waiting for the answer.
pub fn send<R: Request>(client: &mut TcpStream, version: i16, request: &R) -> std::io::Result<()> {
    let header = RequestHeader {
        api_key: R::KEY.code(),
        api_version: version,
        ..Default::default()
    };
    client.write_all(&encode_request(&header, request).unwrap().concat())
}
