//! Dead letters over HTTP: looked at, filtered, redriven, purged.

use serde_json::{Value, json};
use tokio::time::timeout;

use super::api::QueueServer;
use crate::harness::PATIENCE;

/// A queue with these messages dead, each with its value as key.
async fn with_dead(values: &[&str]) -> QueueServer {
    let server = QueueServer::start().await;
    server.queue("q", json!({})).await;
    let messages: Vec<Value> = values
        .iter()
        .map(|v| json!({"key": v, "value": v, "headers": [{"name": "h", "value": v}]}))
        .collect();
    server
        .ok("/v1/queues/q/messages", json!({"messages": messages}))
        .await;
    let received = server
        .receive("q", json!({"maxMessages": 100, "worker": "w"}))
        .await;
    let receipts: Vec<&Value> = received.iter().map(|m| &m["receipt"]).collect();
    server
        .ok("/v1/queues/q/reject", json!({"receipts": receipts}))
        .await;
    let count = values.len();
    server.until("q", |stats| stats["dead"] == count).await;
    server
}

async fn ended(server: &QueueServer, answer: Value) -> Value {
    let path = format!("/v1/redrives/{}", answer["id"].as_str().unwrap());
    let asking = async {
        loop {
            let job = server.get(&path).await.json();
            if job["state"] != "running" {
                return job;
            }
        }
    };
    timeout(PATIENCE, asking).await.expect("an end")
}

fn values(page: &Value) -> Vec<&str> {
    let letters = page["deadLetters"].as_array().unwrap();
    letters
        .iter()
        .map(|l| l["value"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_dead_letter_tells_its_story() {
    let server = with_dead(&["a"]).await;
    let page = server.get("/v1/queues/q/dead-letters").await.json();
    let letter = &page["deadLetters"][0];
    assert_eq!(letter["reason"], "rejected");
    assert_eq!(
        letter["origin"],
        json!({"queue": "q", "group": "q", "partition": 0, "offset": 0})
    );
    assert_eq!(letter["deliveries"], 1);
    assert_eq!(letter["lastWorker"], "w");
    assert_eq!(letter["redrives"], 0);
    assert_eq!(
        (letter["key"].as_str(), letter["value"].as_str()),
        (Some("a"), Some("a"))
    );
    let path = format!(
        "/v1/queues/q/dead-letters/{}/{}",
        letter["partition"], letter["offset"]
    );
    assert_eq!(&server.get(&path).await.json(), letter);
}

#[tokio::test]
async fn letters_are_filtered_and_come_in_pages() {
    let server = with_dead(&["apple", "avocado", "banana"]).await;
    let check = async |query: &str, expect: &[&str]| {
        let page = server
            .get(&format!("/v1/queues/q/dead-letters{query}"))
            .await
            .json();
        assert_eq!(values(&page), expect, "{query}");
        page
    };
    check("", &["apple", "avocado", "banana"]).await;
    check("?key=a*", &["apple", "avocado"]).await;
    check("?header=h:*an*", &["banana"]).await;
    check(
        "?reason=limit&reason=rejected",
        &["apple", "avocado", "banana"],
    )
    .await;
    check("?reason=limit", &[]).await;
    check("?until=1000", &[]).await;
    check("?since=1000&key=b*", &["banana"]).await;
    let first = check("?max=2", &["apple", "avocado"]).await;
    let next = first["next"].as_str().unwrap();
    check(&format!("?max=2&from={next}"), &["banana"]).await;
}

#[tokio::test]
async fn a_redrive_counts_first_and_then_brings_messages_back() {
    let server = with_dead(&["apple", "avocado", "banana"]).await;
    let path = "/v1/queues/q/dead-letters/redrive";
    let dry = server
        .post(path, json!({"dryRun": true, "filter": {"key": "a*"}}))
        .await;
    assert_eq!((dry.status, dry.json()["total"].as_i64()), (200, Some(2)));
    assert_eq!(dry.json()["byReason"]["rejected"], 2);
    let started = server
        .post(path, json!({"filter": {"key": "a*"}, "rate": 1000}))
        .await;
    assert_eq!(started.status, 202);
    let id = started.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(started.headers["location"], format!("/v1/redrives/{id}"));
    let job = ended(&server, started.json()).await;
    assert_eq!(
        (job["state"].as_str(), job["moved"].as_i64()),
        (Some("done"), Some(2))
    );
    let mut back = Vec::new();
    while back.len() < 2 {
        let more = server
            .receive("q", json!({"maxMessages": 10, "waitMs": 10_000}))
            .await;
        back.extend(more.iter().map(|m| m["value"].as_str().unwrap().to_owned()));
    }
    assert_eq!(back, ["apple", "avocado"]);
    let left = server.get("/v1/queues/q/dead-letters").await.json();
    assert_eq!(values(&left), ["banana"]);
    let jobs = server.get("/v1/redrives").await.json();
    assert_eq!(jobs["jobs"][0]["id"], id.as_str());
    let late = server.delete(&format!("/v1/redrives/{id}")).await;
    assert_eq!(late.problem().0, 409);
}

#[tokio::test]
async fn a_slow_redrive_can_be_cancelled() {
    let many: Vec<String> = (0..50).map(|i| i.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let server = with_dead(&many).await;
    let started = server
        .ok("/v1/queues/q/dead-letters/redrive", json!({"rate": 1}))
        .await;
    let path = format!("/v1/redrives/{}", started["id"].as_str().unwrap());
    assert_eq!(server.delete(&path).await.status, 200);
    let job = ended(&server, started).await;
    assert_eq!(job["state"], "cancelled");
    assert!(job["moved"].as_i64() < Some(50), "{job}");
}

#[tokio::test]
async fn a_purge_drops_what_passes_the_filter() {
    let server = with_dead(&["apple", "banana"]).await;
    let path = "/v1/queues/q/dead-letters/purge";
    let dry = server.ok(path, json!({"dryRun": true})).await;
    assert_eq!(dry["total"], 2);
    let started = server.ok(path, json!({"filter": {"key": "a*"}})).await;
    let job = ended(&server, started).await;
    assert_eq!(
        (job["kind"].as_str(), job["moved"].as_i64()),
        (Some("purge"), Some(1))
    );
    let left = server.get("/v1/queues/q/dead-letters").await.json();
    assert_eq!(values(&left), ["banana"]);
    server.until("q", |stats| stats["dead"] == 1).await;
}

#[tokio::test]
async fn an_expired_message_is_dead_and_a_limit_is_a_limit() {
    let server = QueueServer::start().await;
    server
        .queue("q", json!({"share.delivery.count.limit": "2"}))
        .await;
    server
        .ok(
            "/v1/queues/q/messages",
            json!({"messages": [{"value": "brief", "ttlMs": 1}]}),
        )
        .await;
    server.until("q", |stats| stats["dead"] == 1).await;
    server.send("q", &["stubborn"]).await;
    for _ in 0..2 {
        let received = server.receive("q", json!({"waitMs": 10_000})).await;
        let release = json!({"receipts": [received[0]["receipt"]]});
        server.ok("/v1/queues/q/release", release).await;
    }
    server.until("q", |stats| stats["dead"] == 2).await;
    let expect = json!({"limit": 1, "rejected": 0, "expired": 1, "undecodable": 0});
    let is_so = |stats: &Value| stats["sinceStart"]["deadLettered"] == expect;
    server.until("q", is_so).await;
    let page = server
        .get("/v1/queues/q/dead-letters?reason=limit")
        .await
        .json();
    assert_eq!(page["deadLetters"][0]["deliveries"], 2);
}
