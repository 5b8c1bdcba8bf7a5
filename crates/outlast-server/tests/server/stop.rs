//! Stopping: requests in flight are answered, within a deadline.

use std::time::Duration;

use crate::harness::{FETCH, PRODUCE, TestServer, fetch, produce};
use outlast_protocol::messages::{FetchRequest, ProduceRequest};
use tokio::net::TcpStream;

#[tokio::test]
async fn requests_in_flight_are_answered_and_then_connections_end() {
    let server = TestServer::start(|_| {}).await;
    let mut client = server.client().await;
    let mut idle = server.client().await;
    client.create_topic("t").await;
    client
        .send(FETCH, &fetch("t", 0, Duration::from_millis(300)))
        .await;
    client.send(PRODUCE, &produce("t", 5)).await;
    client.receive::<FetchRequest>(FETCH).await;
    client
        .send(FETCH, &fetch("t", 1, Duration::from_millis(300)))
        .await;
    server.until("outlast_server_requests_in_flight", 1.0).await;
    let (address, stopping) = (server.address, tokio::spawn(server.server.stop()));
    client.receive::<ProduceRequest>(PRODUCE).await;
    client.receive::<FetchRequest>(FETCH).await;
    client.expect_close().await;
    idle.expect_close().await;
    assert_eq!(stopping.await.unwrap(), 0);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn the_deadline_ends_what_does_not_end_by_itself() {
    let server = TestServer::start(|config| config.stop_deadline = Duration::from_millis(50)).await;
    let mut client = server.client().await;
    client.create_topic("t").await;
    client
        .send(FETCH, &fetch("t", 0, Duration::from_secs(600)))
        .await;
    server.until("outlast_server_requests_in_flight", 1.0).await;
    let stopping = tokio::spawn(server.server.stop());
    client.expect_close().await;
    assert_eq!(stopping.await.unwrap(), 1);
}
