//! A restart of the broker changes nothing for workers.

use serde_json::{Value, json};

use super::api::QueueServer;

#[tokio::test]
async fn receipts_and_locks_outlive_a_restart() {
    let mut server = QueueServer::start().await;
    server.queue("q", json!({})).await;
    server.send("q", &["a", "b", "c"]).await;
    let received = server
        .receive("q", json!({"maxMessages": 2, "worker": "w"}))
        .await;
    server.restart().await;
    // Only what is not locked is there.
    let other = server
        .receive(
            "q",
            json!({"maxMessages": 9, "waitMs": 10_000, "worker": "other"}),
        )
        .await;
    let values: Vec<&Value> = other.iter().map(|m| &m["value"]).collect();
    assert_eq!(values, ["c"]);
    let receipts: Vec<&Value> = received
        .iter()
        .chain(&other)
        .map(|m| &m["receipt"])
        .collect();
    let settled = server
        .ok("/v1/queues/q/acknowledge", json!({"receipts": receipts}))
        .await;
    assert_eq!(settled["failed"], 0, "{settled:#}");
    server.restart().await;
    let described = server.get("/v1/queues/q").await.json();
    assert_eq!(described["settings"]["retry.policy"], "fixed");
    assert!(server.receive("q", json!({})).await.is_empty());
}

#[tokio::test]
async fn a_receive_that_waits_is_answered_when_the_server_stops() {
    let mut server = QueueServer::start().await;
    server.queue("q", json!({})).await;
    let waiting = tokio::spawn({
        let address = server.http();
        async move { super::workers::receive_at(address, "q", json!({"waitMs": 60_000})).await }
    });
    server.until("q", |stats| stats["consumers"] == 1).await;
    server.restart().await;
    let answer = waiting.await.unwrap();
    assert_eq!(answer["messages"], json!([]));
}
