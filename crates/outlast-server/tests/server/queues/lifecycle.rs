//! Queues come, change and go.

use serde_json::json;

use super::api::QueueServer;

#[tokio::test]
async fn a_queue_is_made_changed_listed_and_deleted() {
    let server = QueueServer::start().await;
    let wanted = json!({
        "partitions": 2,
        "settings": {"retry.policy": "fixed", "message.ttl.ms": "60000"},
    });
    let made = server.put("/v1/queues/jobs", wanted.clone()).await;
    assert_eq!(made.status, 201);
    let made = made.json();
    assert_eq!(made["group"], "jobs");
    assert_eq!(made["partitions"], 2);
    assert_eq!(made["deadLetterTopic"], "dlq.jobs");
    assert_eq!(made["settings"]["retry.policy"], "fixed");
    assert_eq!(made["settings"]["message.ttl.ms"], "60000");
    assert_eq!(made["settings"]["share.delivery.count.limit"], "5");
    let changed = made["changedSettings"].as_array().unwrap();
    for name in ["message.ttl.ms", "retry.policy", "share.auto.offset.reset"] {
        assert!(changed.contains(&name.into()), "{name} in {changed:?}");
    }
    // Again is no error, and changes nothing.
    let again = server.put("/v1/queues/jobs", wanted).await;
    assert_eq!((again.status, again.json()), (200, made));

    let change =
        json!({"settings": {"share.delivery.count.limit": "9"}, "reset": ["retry.policy"]});
    let changed = server.put("/v1/queues/jobs", change).await.json();
    assert_eq!(changed["settings"]["share.delivery.count.limit"], "9");
    assert_eq!(changed["settings"]["retry.policy"], "exponential");
    assert_eq!(changed["settings"]["message.ttl.ms"], "60000");
    assert_eq!(server.get("/v1/queues/jobs").await.json(), changed);

    let listed = server.get("/v1/queues").await.json();
    assert_eq!(
        listed["queues"],
        json!([{"queue": "jobs", "group": "jobs", "partitions": 2, "ready": 0, "delayed": 0, "inFlight": 0}])
    );
    let deleted = server.delete("/v1/queues/jobs").await;
    assert_eq!(deleted.status, 200);
    assert_eq!(deleted.json()["topicDeleted"], true);
    assert_eq!(server.get("/v1/queues/jobs").await.status, 404);
    assert_eq!(server.get("/v1/queues").await.json(), json!({"queues": []}));
    // What comes under its name is new.
    let anew = server.put("/v1/queues/jobs", json!({})).await;
    assert_eq!(anew.status, 201);
    assert_eq!(
        anew.json()["changedSettings"],
        json!(["share.auto.offset.reset"])
    );
}

#[tokio::test]
async fn two_groups_have_queues_of_their_own_on_one_topic() {
    let server = QueueServer::start().await;
    server.queue("orders", json!({})).await;
    let second = server
        .put("/v1/queues/orders?group=billing", json!({}))
        .await;
    assert_eq!(
        (second.status, second.json()["group"].as_str()),
        (201, Some("billing"))
    );
    server.send("orders", &["a"]).await;
    for path in ["orders/receive", "orders/receive?group=billing"] {
        let received = server
            .ok(&format!("/v1/queues/{path}"), json!({"waitMs": 10_000}))
            .await;
        assert_eq!(received["messages"][0]["value"], "a", "{path}");
    }
    let deleted = server
        .delete("/v1/queues/orders?group=billing")
        .await
        .json();
    assert_eq!(deleted["topicDeleted"], false);
    assert_eq!(server.get("/v1/queues/orders").await.status, 200);
    let only = server.get("/v1/queues?group=billing").await.json();
    assert_eq!(only["queues"], json!([]));
    let kept = server
        .delete("/v1/queues/orders?keepTopic=true")
        .await
        .json();
    assert_eq!(kept["topicDeleted"], false);
    // The messages are still there for whoever comes.
    server.queue("orders", json!({})).await;
    assert_eq!(
        server.receive("orders", json!({"waitMs": 10_000})).await[0]["value"],
        "a"
    );
}

#[tokio::test]
async fn preconditions_hold() {
    let server = QueueServer::start().await;
    let put = async |header: &str| {
        let answer = server
            .call("PUT", "/v1/queues/q", &[(header, "*")], b"")
            .await;
        answer.status
    };
    assert_eq!(put("if-match").await, 412);
    assert_eq!(put("if-none-match").await, 201);
    assert_eq!(put("if-none-match").await, 412);
    assert_eq!(put("if-match").await, 200);
}

#[tokio::test]
async fn a_refused_setting_leaves_nothing_half_done() {
    let server = QueueServer::start().await;
    for (settings, field) in [
        (
            json!({"retry.policy": "sometimes"}),
            "settings.retry.policy",
        ),
        (json!({"message.ttl.ms": "-7"}), "settings.message.ttl.ms"),
        (json!({"no.such.setting": "1"}), "settings.no.such.setting"),
    ] {
        let answer = server
            .put("/v1/queues/q", json!({"settings": settings}))
            .await;
        let (status, word, fields) = answer.problem();
        assert_eq!(
            (status, word.as_str()),
            (400, "invalid-request"),
            "{}",
            answer.text()
        );
        assert_eq!(fields, [field], "{}", answer.text());
        assert_eq!(server.get("/v1/queues/q").await.status, 404);
        assert!(!server.has_topic("q"), "{field}");
    }
    let bad_name = server.put("/v1/queues/no%20blanks", json!({})).await;
    assert_eq!(bad_name.status, 400);
    server.queue("q", json!({})).await;
    let fewer = server
        .put("/v1/queues/q", json!({"partitions": 0}))
        .await
        .problem();
    assert_eq!(
        fewer,
        (
            400,
            "invalid-request".to_owned(),
            vec!["partitions".to_owned()]
        )
    );
    let more = server.put("/v1/queues/q", json!({"partitions": 3})).await;
    assert_eq!(
        (more.status, more.json()["partitions"].as_i64()),
        (200, Some(3))
    );
}

#[tokio::test]
async fn a_purge_drops_what_no_worker_has() {
    let server = QueueServer::start().await;
    server.queue("q", json!({})).await;
    server.send("q", &["a", "b", "c"]).await;
    let held = server.receive("q", json!({})).await;
    let dry = server
        .ok("/v1/queues/q/purge", json!({"dryRun": true}))
        .await;
    assert_eq!(dry, json!({"messages": 2, "dryRun": true}));
    let done = server.ok("/v1/queues/q/purge", json!({})).await;
    assert_eq!(done, json!({"messages": 2, "dryRun": false}));
    let receipts = json!({"receipts": [held[0]["receipt"]]});
    let settled = server.ok("/v1/queues/q/acknowledge", receipts).await;
    assert_eq!(settled["failed"], 0);
    assert!(server.receive("q", json!({})).await.is_empty());
}
