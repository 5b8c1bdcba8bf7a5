//! Stopping: requests in flight are answered, within a deadline.

use std::time::{Duration, Instant};

use crate::harness::{Client, FETCH, PRODUCE, TestServer, fetch, produce};
use outlast_protocol::messages::{FetchRequest, JoinGroupRequest, ProduceRequest, join_group};
use outlast_protocol::{ErrorCode, Str};
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
async fn those_who_wait_are_answered_at_once() {
    let server = TestServer::start(|config| config.stop_deadline = Duration::from_secs(600)).await;
    let mut reader = server.client().await;
    reader.create_topic("t").await;
    reader
        .send(FETCH, &fetch("t", 0, Duration::from_secs(600)))
        .await;
    let (mut leader, mut follower) = (server.client().await, server.client().await);
    let leader_id = join(&mut leader, "").await;
    let follower_id = join(&mut follower, "").await;
    // The leader is in, and learns of the follower's coming only by its heartbeat: the follower waits for it to join again.
    leader.send(JOIN, &join_request(&leader_id)).await;
    leader.receive::<JoinGroupRequest>(JOIN).await;
    follower.send(JOIN, &join_request(&follower_id)).await;
    server.until("outlast_server_requests_in_flight", 2.0).await;
    let began = Instant::now();
    assert_eq!(server.server.stop().await, 0);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    let (_, fetched) = reader.receive::<FetchRequest>(FETCH).await;
    assert_eq!(fetched.responses[0].partitions[0].error_code, 0);
    let (_, joined) = follower.receive::<JoinGroupRequest>(JOIN).await;
    assert_eq!(joined.error_code, ErrorCode::CoordinatorNotAvailable.code());
    assert_eq!(joined.member_id, follower_id);
}

const JOIN: i16 = 5;
const SENT: &str = "outlast_server_sent_bytes_total";

/// A new member's id, which it gets with its first try (KIP-394).
async fn join(client: &mut Client, member_id: &str) -> Str {
    client.send(JOIN, &join_request(member_id)).await;
    let (_, response) = client.receive::<JoinGroupRequest>(JOIN).await;
    assert_eq!(response.error_code, ErrorCode::MemberIdRequired.code());
    response.member_id
}

fn join_request(member_id: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 600_000,
        rebalance_timeout_ms: 600_000,
        member_id: member_id.into(),
        protocol_type: "consumer".into(),
        protocols: vec![join_group::JoinGroupRequestProtocol {
            name: "range".into(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

#[tokio::test]
async fn the_deadline_ends_what_does_not_end_by_itself() {
    let server = TestServer::start(|config| config.stop_deadline = Duration::from_millis(50)).await;
    let mut client = server.client().await;
    client.create_topic("t").await;
    client.send(PRODUCE, &produce("t", 900_000)).await;
    client.receive::<ProduceRequest>(PRODUCE).await;
    // More than the sockets take, for a client that doesn't read.
    for _ in 0..40 {
        client.send(FETCH, &fetch("t", 0, Duration::ZERO)).await;
    }
    // Until the socket takes nothing any more.
    let (mut sent, mut same) = (0.0, 0);
    while same < 50 {
        let now = server.metric(SENT).await;
        same = if now == sent && now > 900_000.0 {
            same + 1
        } else {
            0
        };
        sent = now;
    }
    assert_eq!(server.server.stop().await, 1);
}
