//! What one client may take, and what happens to it when it takes more.

use std::time::Duration;

use crate::harness::{
    Client, FETCH, PATIENCE, PRODUCE, TestServer, encode, fetch, framed, produce,
};
use outlast_protocol::messages::{ApiVersionsRequest, FetchRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SHORT: Duration = Duration::from_millis(200);

async fn closed(server: &TestServer, reason: &str) -> f64 {
    let name = format!("outlast_server_connections_closed_total{{reason=\"{reason}\"}}");
    server.metric(&name).await
}

#[tokio::test]
async fn impossible_lengths_close_the_connection_and_only_that() {
    let server = TestServer::start(|_| {}).await;
    let mut other = server.client().await;
    for length in [-1, i32::MIN, i32::MAX, 100 * 1024 * 1024 + 1] {
        let mut client = server.client().await;
        client.stream.write_i32(length).await.unwrap();
        client.expect_close().await;
    }
    assert_eq!(closed(&server, "BadRequest").await, 4.0);
    other.call(3, &ApiVersionsRequest::default()).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_waiting_one_is_not() {
    let server = TestServer::start(|config| config.limits.max_idle = SHORT).await;
    let mut idle = server.client().await;
    let mut busy = server.client().await;
    busy.create_topic("t").await;
    busy.send(FETCH, &fetch("t", 0, SHORT * 5)).await;
    idle.expect_close().await;
    busy.receive::<FetchRequest>(FETCH).await;
    busy.expect_close().await;
    assert_eq!(closed(&server, "Idle").await, 2.0);
}

#[tokio::test]
async fn a_request_that_trickles_in_closes_its_connection() {
    let server = TestServer::start(|config| config.limits.frame_deadline = SHORT).await;
    let half_a_length = &[0u8, 0][..];
    let part_of_a_frame = &[0, 0, 100, 0, 1, 2, 3][..];
    for begun in [half_a_length, part_of_a_frame] {
        let mut client = server.client().await;
        client.stream.write_all(begun).await.unwrap();
        client.expect_close().await;
    }
    // One byte now and then does not keep it alive.
    let (mut answers, mut requests) = server.client().await.stream.into_split();
    requests.write_all(part_of_a_frame).await.unwrap();
    let trickle = tokio::spawn(async move {
        while requests.write_u8(0).await.is_ok() {
            tokio::time::sleep(SHORT / 20).await;
        }
    });
    let _ = tokio::time::timeout(PATIENCE, answers.read_u8())
        .await
        .expect("a close in time");
    trickle.abort();
    assert_eq!(closed(&server, "SlowRequest").await, 3.0);
}

#[tokio::test]
async fn a_client_that_takes_no_answers_is_not_served_on_and_disconnected() {
    let server = TestServer::start(|config| config.limits.write_stall = SHORT).await;
    let mut client = server.client().await;
    client.create_topic("t").await;
    client.call(PRODUCE, &produce("t", 900_000)).await;
    let request = encode(FETCH, &fetch("t", 0, Duration::ZERO));
    let received = "outlast_server_received_bytes_total";
    let before = server.metric(received).await;
    let (_answers, mut requests) = client.stream.into_split();
    // Ends when the server closes; until then it stops reading, and this waits.
    let sending = async { while requests.write_all(&request).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, sending)
        .await
        .expect("a close in time");
    assert_eq!(closed(&server, "SlowReader").await, 1.0);
    let served = (server.metric(received).await - before) / request.len() as f64;
    assert!(
        served < 100.0,
        "{served} requests whose answers of 900 kB nobody takes"
    );
}

#[tokio::test]
async fn connections_beyond_the_limits_are_closed_at_once_and_places_come_back() {
    for per_ip in [false, true] {
        let server = TestServer::start(|config| {
            let limit = if per_ip {
                &mut config.limits.max_connections_per_ip
            } else {
                &mut config.limits.max_connections
            };
            *limit = 2;
        })
        .await;
        let mut kept = [server.client().await, server.client().await];
        for client in &mut kept {
            client.call(3, &ApiVersionsRequest::default()).await;
        }
        server.client().await.expect_close().await;
        let [first, _second] = kept;
        drop(first);
        // The server sees the close a moment later.
        let admitted = async {
            loop {
                let mut client = Client::connect(server.address).await;
                // Fails when it was refused before it could send.
                let request = encode(3, &ApiVersionsRequest::default());
                let _ = client.stream.write_all(&request).await;
                if client.frame().await.is_some() {
                    break;
                }
            }
        };
        tokio::time::timeout(PATIENCE, admitted)
            .await
            .expect("a place that came back");
        let reason = if per_ip {
            "MaxConnectionsPerIp"
        } else {
            "MaxConnections"
        };
        let name = format!("outlast_server_connections_refused_total{{reason=\"{reason}\"}}");
        assert!(server.metric(&name).await >= 1.0);
    }
}

#[tokio::test]
async fn requests_wait_for_room_and_are_all_served() {
    let server = TestServer::start(|config| {
        config.limits.max_request_bytes = 1024 * 1024;
        config.limits.request_memory_bytes = 1024 * 1024;
    })
    .await;
    server.client().await.create_topic("t").await;
    let clients = (0..8).map(|_| async {
        let mut client = server.client().await;
        for _ in 0..5 {
            let response = client.call(PRODUCE, &produce("t", 600_000)).await;
            assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
        }
    });
    tokio::time::timeout(PATIENCE, futures_util::future::join_all(clients))
        .await
        .expect("no deadlock");
}

#[tokio::test]
async fn half_a_frame_of_any_length_is_forgotten_with_its_connection() {
    let server = TestServer::start(|_| {}).await;
    for length in [1usize, 100, 70_000, 5_000_000] {
        let mut client = server.client().await;
        let whole = framed(&vec![0; length]);
        client
            .stream
            .write_all(&whole[..4 + length / 2])
            .await
            .unwrap();
        client.stream.shutdown().await.unwrap();
        client.expect_close().await;
    }
    assert_eq!(
        server.metric("outlast_server_request_memory_bytes").await,
        0.0
    );
    assert_eq!(server.metric("outlast_server_open_connections").await, 0.0);
}
