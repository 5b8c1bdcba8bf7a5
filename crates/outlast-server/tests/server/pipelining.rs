//! Requests of one connection work together and are answered in order.

use std::time::Duration;

use crate::harness::{FETCH, PRODUCE, TestServer, fetch, produce};
use outlast_protocol::messages::{ApiVersionsRequest, FetchRequest, ProduceRequest};

#[tokio::test]
async fn a_produce_wakes_the_fetch_that_waits_before_it_on_the_same_connection() {
    let server = TestServer::start(|_| {}).await;
    let mut client = server.client().await;
    client.create_topic("t").await;
    let waits = client
        .send(FETCH, &fetch("t", 0, Duration::from_secs(600)))
        .await;
    let wakes = client.send(PRODUCE, &produce("t", 10)).await;
    let (first, fetched) = client.receive::<FetchRequest>(FETCH).await;
    let (second, produced) = client.receive::<ProduceRequest>(PRODUCE).await;
    assert_eq!((first, second), (waits, wakes));
    assert_eq!(produced.responses[0].partition_responses[0].base_offset, 0);
    assert!(fetched.responses[0].partitions[0].records.is_some());
}

#[tokio::test]
async fn answers_leave_in_order_and_produces_keep_theirs() {
    const REQUESTS: i64 = 1_000;
    let server = TestServer::start(|config| config.limits.max_requests_in_flight = 16).await;
    let mut client = server.client().await;
    client.create_topic("t").await;
    let sizes = |n: i64| (n as usize * 37) % 5_000;
    let mut sent = Vec::new();
    for n in 0..REQUESTS {
        sent.push(client.send(PRODUCE, &produce("t", sizes(n))).await);
        sent.push(client.send(3, &ApiVersionsRequest::default()).await);
    }
    let mut answered = Vec::new();
    for n in 0..REQUESTS {
        let (id, response) = client.receive::<ProduceRequest>(PRODUCE).await;
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!((partition.error_code, partition.base_offset), (0, n));
        answered.push(id);
        answered.push(client.receive::<ApiVersionsRequest>(3).await.0);
    }
    assert_eq!(answered, sent);
    assert_eq!(
        server.metric("outlast_server_requests_in_flight").await,
        0.0
    );
    assert_eq!(
        server.metric("outlast_server_request_memory_bytes").await,
        0.0
    );
}

#[tokio::test]
async fn a_client_that_stops_sending_still_gets_its_answers() {
    use tokio::io::AsyncWriteExt;

    let server = TestServer::start(|_| {}).await;
    let mut client = server.client().await;
    client.create_topic("t").await;
    client.send(PRODUCE, &produce("t", 10)).await;
    client.stream.shutdown().await.unwrap();
    let (_, response) = client.receive::<ProduceRequest>(PRODUCE).await;
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    client.expect_close().await;
}
