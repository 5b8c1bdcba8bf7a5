//! Messages in and out: bytes as they are, delays, locks, verbs.

use serde_json::{Value, json};

use super::api::QueueServer;

fn receipts(messages: &[Value]) -> Value {
    messages
        .iter()
        .map(|message| message["receipt"].clone())
        .collect()
}

#[tokio::test]
async fn a_batch_keeps_every_byte_key_and_header() {
    let server = QueueServer::start().await;
    server.queue("q", json!({})).await;
    let sent = json!({"messages": [
        {"value": "ключ", "key": "k", "headers": [{"name": "a", "value": "1"}, {"name": "a"}], "timestamp": 1_700_000_000_000i64},
        {"valueBase64": "/wA=", "keyBase64": "/w=="},
        {"value": ""},
        {},
    ]});
    let outcome = server.post("/v1/queues/q/messages", sent).await;
    assert_eq!(outcome.status, 201);
    let places: Vec<_> = outcome.json()["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["offset"].as_i64())
        .collect();
    assert_eq!(places, [Some(0), Some(1), Some(2), Some(3)]);

    let received = server.receive("q", json!({"maxMessages": 10})).await;
    assert_eq!(received.len(), 4);
    assert_eq!(received[0]["value"], "ключ");
    assert_eq!(received[0]["key"], "k");
    assert_eq!(
        received[0]["headers"],
        json!([{"name": "a", "value": "1"}, {"name": "a"}])
    );
    assert_eq!(received[0]["timestamp"], 1_700_000_000_000i64);
    assert_eq!(received[0]["deliveryCount"], 1);
    assert_eq!(received[1]["valueBase64"], "/wA=");
    assert_eq!(received[1]["keyBase64"], "/w==");
    assert_eq!(received[2]["value"], "");
    let null = received[3].as_object().unwrap();
    assert!(!null.contains_key("value") && !null.contains_key("valueBase64"));

    // They are locked; peek sees them nevertheless.
    assert!(
        server
            .receive("q", json!({"worker": "other"}))
            .await
            .is_empty()
    );
    let peeked = server
        .get("/v1/queues/q/messages?encoding=base64&max=2")
        .await
        .json();
    assert_eq!(peeked["messages"].as_array().unwrap().len(), 2);
    assert_eq!(peeked["messages"][0]["state"], "inFlight");
    assert_eq!(peeked["messages"][0]["worker"], "http");
    assert_eq!(peeked["messages"][1]["valueBase64"], "/wA=");
    let next = peeked["next"].as_str().unwrap();
    let rest = server
        .get(&format!("/v1/queues/q/messages?from={next}"))
        .await
        .json();
    assert_eq!(rest["messages"].as_array().unwrap().len(), 2);
    assert_eq!(rest.get("next"), None);

    let settled = server
        .ok(
            "/v1/queues/q/acknowledge",
            json!({"receipts": receipts(&received)}),
        )
        .await;
    assert_eq!(settled["failed"], 0);
    let peeked = server.get("/v1/queues/q/messages").await.json();
    assert_eq!(peeked["messages"], json!([]));
}

#[tokio::test]
async fn a_raw_body_is_one_message() {
    let server = QueueServer::start().await;
    server.queue("q", json!({})).await;
    let body: Vec<u8> = (0..=255).collect();
    let headers = [
        ("content-type", "application/x-thing"),
        ("outlast-key", "ключ"),
        ("outlast-header-source", "import"),
        ("outlast-message-id", "17"),
    ];
    let sent = server
        .call("POST", "/v1/queues/q/messages", &headers, &body)
        .await;
    assert_eq!(sent.status, 201, "{}", sent.text());
    let raw = [
        ("content-type", "application/json"),
        ("outlast-raw", "true"),
    ];
    server
        .call("POST", "/v1/queues/q/messages", &raw, b"{\"any\": 1}")
        .await;
    let received = server
        .receive("q", json!({"maxMessages": 2, "encoding": "base64"}))
        .await;
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.encode(&body);
    assert_eq!(received[0]["valueBase64"], bytes.as_str());
    assert_eq!(received[0]["keyBase64"], "0LrQu9GO0Yc=");
    let names: Vec<_> = received[0]["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|h| h["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["source", "outlast-message-id", "content-type"]);
    assert_eq!(received[1]["valueBase64"], "eyJhbnkiOiAxfQ==");
}

#[tokio::test]
async fn a_long_poll_ends_with_a_message_or_its_time() {
    let server = QueueServer::start().await;
    server.queue("q", json!({})).await;
    assert!(server.receive("q", json!({"waitMs": 50})).await.is_empty());
    let receiving = server.receive("q", json!({"waitMs": 20_000}));
    let sending = server.send("q", &["at last"]);
    let (received, ()) = tokio::join!(receiving, sending);
    assert_eq!(received[0]["value"], "at last");
}

#[tokio::test]
async fn a_delay_is_waited_out() {
    let server = QueueServer::start().await;
    server.queue("q", json!({})).await;
    let sent = json!({"messages": [{"value": "later", "delayMs": 300}, {"value": "never", "deliverAt": 99_999_999_999_999i64}]});
    server.ok("/v1/queues/q/messages", sent).await;
    assert!(server.receive("q", json!({})).await.is_empty());
    let stats = server.until("q", |stats| stats["delayed"] == 2).await;
    assert_eq!(stats["ready"], 0);
    let received = server
        .receive("q", json!({"waitMs": 20_000, "maxMessages": 2}))
        .await;
    assert_eq!(received.len(), 1);
    assert_eq!(received[0]["value"], "later");
}

#[tokio::test]
async fn released_messages_come_again_and_count_or_not() {
    let server = QueueServer::start().await;
    server
        .queue("q", json!({"share.delivery.count.limit": "10"}))
        .await;
    server.send("q", &["a"]).await;
    let mut counts = Vec::new();
    for counting in [true, false, true] {
        let received = server.receive("q", json!({"waitMs": 20_000})).await;
        counts.push(received[0]["deliveryCount"].as_i64().unwrap());
        let release = json!({"receipts": receipts(&received), "counts": counting, "delayMs": 0});
        assert_eq!(
            server.ok("/v1/queues/q/release", release).await["failed"],
            0
        );
    }
    assert_eq!(counts, [1, 2, 2]);
    let received = server.receive("q", json!({"waitMs": 20_000})).await;
    let release = json!({"receipts": receipts(&received), "delayMs": 600_000});
    server.ok("/v1/queues/q/release", release).await;
    assert!(server.receive("q", json!({})).await.is_empty());
    assert_eq!(
        server.until("q", |stats| stats["delayed"] == 1).await["ready"],
        0
    );
}

#[tokio::test]
async fn an_extended_lock_holds_and_one_that_ran_out_does_not() {
    let server = QueueServer::start().await;
    server.queue("q", json!({})).await;
    server.send("q", &["kept", "lost"]).await;
    let received = server
        .receive("q", json!({"maxMessages": 2, "lockMs": 400, "worker": "w"}))
        .await;
    let extend = json!({"receipts": [received[0]["receipt"]], "lockMs": 60_000});
    let extended = server.ok("/v1/queues/q/extend", extend).await;
    assert_eq!(extended["failed"], 0);
    assert!(extended["lockedUntil"].as_i64() > received[0]["lockedUntil"].as_i64());
    let again = server
        .receive(
            "q",
            json!({"maxMessages": 2, "waitMs": 20_000, "worker": "other"}),
        )
        .await;
    assert_eq!(again.len(), 1);
    assert_eq!(again[0]["value"], "lost");
    assert_eq!(again[0]["deliveryCount"], 2);
    // Neighbours in one request: one is still the worker's, the other isn't.
    let settled = server
        .ok(
            "/v1/queues/q/acknowledge",
            json!({"receipts": receipts(&received)}),
        )
        .await;
    assert_eq!(settled["failed"], 1);
    assert_eq!(settled["results"][0]["ok"], true);
    assert_eq!(settled["results"][1]["ok"], false);
    assert_eq!(
        settled["results"][1]["error"]["code"],
        "INVALID_RECORD_STATE"
    );
}

#[tokio::test]
async fn many_messages_are_spread_and_settled_in_one_request() {
    let server = QueueServer::start().await;
    server.put("/v1/queues/q", json!({"partitions": 3})).await;
    let messages: Vec<Value> = (0..500)
        .map(|i| json!({"key": i.to_string(), "value": "x".repeat(5_000)}))
        .collect();
    let sent = server
        .ok("/v1/queues/q/messages", json!({"messages": messages}))
        .await;
    assert_eq!(
        (
            sent["failed"].as_i64(),
            sent["messages"].as_array().unwrap().len()
        ),
        (Some(0), 500)
    );
    let mut received = Vec::new();
    while received.len() < 500 {
        let more = server
            .receive("q", json!({"maxMessages": 1_000, "maxBytes": 67_108_864}))
            .await;
        assert!(!more.is_empty());
        received.extend(more);
    }
    let mut keys: Vec<i64> = received
        .iter()
        .map(|m| m["key"].as_str().unwrap().parse().unwrap())
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, (0..500).collect::<Vec<_>>());
    let settled = server
        .ok(
            "/v1/queues/q/acknowledge",
            json!({"receipts": receipts(&received)}),
        )
        .await;
    assert_eq!(settled["failed"], 0);
    server
        .until("q", |stats| stats["inFlight"] == 0 && stats["ready"] == 0)
        .await;
}

#[tokio::test]
async fn some_messages_may_fail_alone() {
    let server = QueueServer::start().await;
    server
        .queue("q", json!({"max.message.bytes": "1000"}))
        .await;
    let large = "x".repeat(2_000);
    let both = json!({"messages": [{"value": "small"}, {"value": large}]});
    let mixed = server.post("/v1/queues/q/messages", both).await;
    assert_eq!(mixed.status, 207);
    let mixed = mixed.json();
    assert_eq!(mixed["failed"], 1);
    assert_eq!(mixed["messages"][0]["offset"], 0);
    assert_eq!(mixed["messages"][1]["error"]["code"], "MESSAGE_TOO_LARGE");
    let alone = server
        .post(
            "/v1/queues/q/messages",
            json!({"messages": [{"value": large}]}),
        )
        .await;
    assert_eq!(alone.problem().0, 413);
}

#[tokio::test]
async fn a_repeated_id_is_stored_once() {
    let server = QueueServer::start().await;
    server
        .queue("q", json!({"message.dedupe.header": "outlast-message-id"}))
        .await;
    let messages = json!({"messages": [
        {"value": "a", "messageId": "1"},
        {"value": "again", "messageId": "1"},
        {"value": "b", "messageId": "2"},
    ]});
    let sent = server.ok("/v1/queues/q/messages", messages).await;
    let offsets: Vec<_> = sent["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["offset"].as_i64())
        .collect();
    assert_eq!(offsets, [Some(0), Some(0), Some(1)]);
    let received = server.receive("q", json!({"maxMessages": 9})).await;
    let values: Vec<_> = received
        .iter()
        .map(|m| m["value"].as_str().unwrap())
        .collect();
    assert_eq!(values, ["a", "b"]);
}
