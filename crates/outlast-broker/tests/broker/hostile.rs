//! Bytes nobody should send: whatever comes, the broker answers or closes the connection, and goes on.

use bytes::{BufMut, BytesMut};
use outlast_broker::served_apis;
use outlast_protocol::messages::{MetadataRequest, metadata};
use outlast_protocol::{ApiKey, ErrorCode};
use proptest::prelude::*;

use crate::harness::*;

fn frame(api: i16, version: i16, body: &[u8]) -> BytesMut {
    let mut frame = BytesMut::new();
    frame.put_i16(api);
    frame.put_i16(version);
    frame.put_i32(1);
    frame.put_i16(-1);
    frame.put_slice(body);
    frame
}

/// The broker still does its work.
async fn assert_alive(broker: &TestBroker) {
    broker.put("t", 0, &["alive"]).await;
}

#[tokio::test]
async fn lengths_that_promise_too_much() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let bodies: &[&[u8]] = &[
        &[],
        &[0],
        &[0x7f, 0xff, 0xff, 0xff],
        &[0x80, 0, 0, 0],
        &[0xff; 64],
        &[0, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0x7f; 64],
        &[0; 64],
    ];
    for (api, versions) in served_apis() {
        for version in versions {
            for body in bodies {
                let handled = broker
                    .broker
                    .handle(&broker.connection, frame(api.code(), version, body));
                // A group request may wait for others; that it does is no harm.
                let _ = tokio::time::timeout(std::time::Duration::from_millis(200), handled).await;
            }
        }
    }
    assert_alive(&broker).await;
}

#[tokio::test]
async fn unknown_apis_and_versions_close_the_connection() {
    let broker = TestBroker::start().await;
    for (api, version) in [
        (-1, 0),
        (4, 0),
        (9999, 0),
        (ApiKey::EndTxn.code(), 0),
        (ApiKey::Produce.code(), 2),
        (ApiKey::Produce.code(), 14),
        (ApiKey::Fetch.code(), -1),
        (ApiKey::InitProducerId.code(), 6),
    ] {
        let handled = broker
            .broker
            .handle(&broker.connection, frame(api, version, &[]))
            .await;
        assert!(handled.is_err(), "{api} v{version}");
    }
    for short in [&[][..], &[0], &[0, 3, 0, 1, 0, 0]] {
        assert!(
            broker
                .broker
                .handle(&broker.connection, short.into())
                .await
                .is_err()
        );
    }
}

#[tokio::test]
async fn more_than_there_can_be_is_refused_as_a_whole() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let mut fetch = fetch_request(&[("t", 0, 0)]);
    fetch.topics[0].partitions = (0..20_000)
        .map(|partition| fetch_partition(partition, 0))
        .collect();
    assert_eq!(
        error(broker.call(12, fetch).await.error_code),
        ErrorCode::InvalidRequest
    );
    let named = |n| metadata::MetadataRequestTopic {
        name: Some(format!("t{n}").into()),
        ..Default::default()
    };
    let request = MetadataRequest {
        topics: Some((0..20_000).map(named).collect()),
        ..Default::default()
    };
    assert_eq!(
        error(broker.call(13, request).await.error_code),
        ErrorCode::InvalidRequest
    );
}

#[tokio::test]
async fn one_bit_flipped_in_a_batch_is_seen() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let good = batch(&["a", "b"]);
    // Base offset and leader epoch are the broker's to write, and not under the checksum.
    let covered = (8..12).chain(16..good.len());
    for at in covered {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        let answer = broker.produce("t", 0, bad).await;
        assert_ne!(error(answer.error_code), ErrorCode::None, "byte {at}");
        assert_eq!(answer.base_offset, -1, "byte {at}");
    }
    assert_eq!(broker.put("t", 0, &["first"]).await, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_frames(frames in prop::collection::vec((0..100i16, 0..20i16, prop::collection::vec(any::<u8>(), 0..200)), 1..20)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let broker = TestBroker::start().await;
            broker.create_topic("t", 1, &[]).await;
            for (api, version, body) in frames {
                let handled = broker.broker.handle(&broker.connection, frame(api, version, &body));
                let _ = tokio::time::timeout(std::time::Duration::from_millis(20), handled).await;
            }
            assert_alive(&broker).await;
        });
    }
}
