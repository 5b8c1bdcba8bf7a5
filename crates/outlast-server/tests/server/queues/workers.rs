//! Workers that come and go.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::api::QueueServer;

async fn ask(address: SocketAddr, queue: &str, ask: Value) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body = ask.to_string();
    let request = format!(
        "POST /v1/queues/{queue}/receive HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// A receive that needs no server at hand.
pub async fn receive_at(address: SocketAddr, queue: &str, wish: Value) -> Value {
    let mut stream = ask(address, queue, wish).await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn a_worker_that_went_away_leaves_messages_to_others() {
    let server = QueueServer::start().await;
    server.queue("q", json!({})).await;
    for round in 0..20 {
        let wish = json!({"waitMs": 60_000, "worker": "gone"});
        let waiting = ask(server.http(), "q", wish).await;
        server
            .until("q", |stats| stats["consumers"].as_u64() >= Some(1))
            .await;
        // It goes away at about the moment at which it is served.
        let (_, ()) = tokio::join!(async { drop(waiting) }, server.send("q", &["a"]));
        let received = server
            .receive("q", json!({"waitMs": 10_000, "worker": "here"}))
            .await;
        if received.is_empty() {
            // It was served, and took it with it: the answer was written before the connection was known to be gone.
            assert_eq!(server.stats("q").await["inFlight"], 1, "round {round}");
            continue;
        }
        assert_eq!(received[0]["deliveryCount"], 1, "round {round}");
        let receipts = json!({"receipts": [received[0]["receipt"]]});
        server.ok("/v1/queues/q/acknowledge", receipts).await;
        return;
    }
    panic!("never was a message given back");
}

#[tokio::test]
async fn kafka_producers_and_http_workers_share_a_queue() {
    use crate::harness::{Client, PRODUCE, produce};
    let server = QueueServer::start().await;
    server.queue("q", json!({})).await;
    let mut client = Client::connect(server.kafka()).await;
    client.call(PRODUCE, &produce("q", 3)).await;
    let received = server.receive("q", json!({"waitMs": 10_000})).await;
    assert_eq!(received[0]["value"], "\u{7}\u{7}\u{7}");
}
