//! The numbers that a queue's owner steers by.

use serde_json::json;

use super::api::QueueServer;

#[tokio::test]
async fn stats_follow_what_happens() {
    let server = QueueServer::start().await;
    server.queue("q", json!({})).await;
    let empty = server.stats("q").await;
    assert_eq!(
        (empty["ready"].as_i64(), empty["consumers"].as_i64()),
        (Some(0), Some(0))
    );
    assert_eq!(empty.get("oldestAgeMs"), None);
    server.send("q", &["a", "b", "c", "d"]).await;
    let received = server.receive("q", json!({"worker": "w"})).await;
    let stats = server.stats("q").await;
    assert_eq!(
        (stats["ready"].as_i64(), stats["inFlight"].as_i64()),
        (Some(3), Some(1))
    );
    assert_eq!(stats["consumers"], 1);
    assert_eq!(stats["lengthPerConsumer"], 3.0);
    assert!(
        stats["oldestAgeMs"]
            .as_i64()
            .is_some_and(|age| (0..60_000).contains(&age))
    );
    let receipts = json!({"receipts": [received[0]["receipt"]]});
    server.ok("/v1/queues/q/acknowledge", receipts).await;
    let stats = server.stats("q").await;
    assert_eq!(stats["sinceStart"]["delivered"], 1);
    assert_eq!(stats["sinceStart"]["acknowledged"], 1);
    assert_eq!(
        (stats["ready"].as_i64(), stats["inFlight"].as_i64()),
        (Some(3), Some(0))
    );
    assert_eq!(stats["partitions"][0]["startOffset"], 1);
    assert_eq!(stats["partitions"][0]["endOffset"], 4);
}

#[tokio::test]
async fn metrics_tell_the_same_and_percentiles_come_with_time() {
    let server = QueueServer::start().await;
    server.queue("q", json!({})).await;
    server.send("q", &["a", "b"]).await;
    let received = server.receive("q", json!({"worker": "w"})).await;
    let receipts = json!({"receipts": [received[0]["receipt"]]});
    server.ok("/v1/queues/q/acknowledge", receipts).await;
    // Looks are ten seconds apart.
    let stats = server
        .until("q", |stats| stats["messagesPerSecond"]["in"].is_number())
        .await;
    assert_eq!(stats["sinceStart"]["acknowledged"], 1);
    let metric = async |name: &str| {
        let answer = server.unchecked("GET", "/metrics", &[], b"").await;
        let text = answer.text();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map(str::to_owned)
    };
    let asking = async {
        while metric("outlast_queue_messages{queue=\"q\",group=\"q\",state=\"ready\"}")
            .await
            .is_none()
        {}
    };
    tokio::time::timeout(crate::harness::PATIENCE, asking)
        .await
        .expect("a look");
    assert_eq!(
        metric("outlast_queue_acknowledged_total{group=\"q\"}")
            .await
            .as_deref(),
        Some("1")
    );
    let dead = "outlast_queue_dead_letters_total{group=\"q\",reason=\"limit\"}";
    assert_eq!(metric(dead).await.as_deref(), Some("0"));
    let count = "outlast_queue_publish_to_acknowledge_seconds_count{group=\"q\"}";
    assert_eq!(metric(count).await.as_deref(), Some("1"));
}
