//! Every error is a problem that names what is wrong.

use serde_json::{Value, json};

use super::api::QueueServer;

#[tokio::test]
async fn wrong_requests_are_told_which_field() {
    let server = QueueServer::start().await;
    server.queue("q", json!({})).await;
    let check = async |path: &str, body: Value, fields: &[&str]| {
        let answer = server.post(&format!("/v1/queues/q/{path}"), body).await;
        let (status, word, found) = answer.problem();
        assert_eq!(
            (status, word.as_str()),
            (400, "invalid-request"),
            "{}",
            answer.text()
        );
        assert_eq!(found, fields, "{path}: {}", answer.text());
    };
    check("messages", json!({"messages": []}), &["messages"]).await;
    check(
        "messages",
        json!({"messages": [{}, {"valu": "x"}]}),
        &["messages[1].valu"],
    )
    .await;
    check(
        "messages",
        json!({"messages": [{"value": "x", "valueBase64": "eA=="}]}),
        &["messages[0].valueBase64"],
    )
    .await;
    check(
        "messages",
        json!({"messages": [{"headers": [{"name": "h", "valueBase64": "?"}]}]}),
        &["messages[0].headers[0].valueBase64"],
    )
    .await;
    check(
        "messages",
        json!({"messages": [{"delayMs": -1}]}),
        &["messages[0].delayMs"],
    )
    .await;
    check(
        "messages",
        json!({"messages": [{"partition": 9}]}),
        &["messages[0].partition"],
    )
    .await;
    check("receive", json!({"maxMessages": 0}), &["maxMessages"]).await;
    check("receive", json!({"waitMs": 60_001}), &["waitMs"]).await;
    check("receive", json!({"lockMs": 0}), &["lockMs"]).await;
    check("receive", json!({"worker": ""}), &["worker"]).await;
    check("receive?wait=1", json!({}), &["wait"]).await;
    check("receive?group=a&group=b", json!({}), &["group"]).await;
    check("acknowledge", json!({"receipts": []}), &["receipts"]).await;
    check(
        "release",
        json!({"receipts": ["x"], "delayMs": 99_999_999_999i64}),
        &["delayMs"],
    )
    .await;
    check(
        "dead-letters/redrive",
        json!({"filter": {"reasons": ["bored"]}}),
        &["reason"],
    )
    .await;
    check("dead-letters/redrive", json!({"rate": 0}), &["rate"]).await;
    let answer = server.get("/v1/queues/q/messages?max=many").await;
    assert_eq!(answer.problem().2, ["max"]);
    let answer = server.get("/v1/queues/q/messages?from=somewhere").await;
    assert_eq!(answer.problem().2, ["from"]);
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    let server = QueueServer::start().await;
    let check = async |method: &str, path: &str, word: &str| {
        let headers = [("content-type", "application/json")];
        let body: &[u8] = if method == "POST" { b"{}" } else { b"" };
        let answer = server.unchecked(method, path, &headers, body).await;
        assert_eq!(
            answer.problem(),
            (404, word.to_owned(), vec![]),
            "{method} {path}"
        );
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    };
    check("GET", "/", "not-found").await;
    check("GET", "/v1", "not-found").await;
    check("GET", "/v1/queues/", "not-found").await;
    check("GET", "/v1/queues/q/x", "not-found").await;
    check("GET", "/v1/queues/q", "queue-not-found").await;
    check("GET", "/v1/queues/q/stats", "queue-not-found").await;
    check("POST", "/v1/queues/q/receive", "queue-not-found").await;
    check("DELETE", "/v1/queues/q", "queue-not-found").await;
    check("GET", "/v1/redrives/7", "job-not-found").await;
    check("GET", "/v1/redrives/x", "not-found").await;
    server.queue("q", json!({})).await;
    check(
        "POST",
        "/v1/queues/q/receive?group=other",
        "queue-not-found",
    )
    .await;
    check(
        "GET",
        "/v1/queues/q/dead-letters/0/17",
        "dead-letter-not-found",
    )
    .await;
    check("GET", "/v1/queues/q/dead-letters/0/x", "not-found").await;
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let server = QueueServer::start().await;
    for (method, path, allowed) in [
        ("POST", "/v1/queues", "GET,HEAD"),
        ("PATCH", "/v1/queues/q", "PUT,GET,HEAD,DELETE"),
        ("GET", "/v1/queues/q/receive", "POST"),
        ("POST", "/openapi.json", "GET,HEAD"),
    ] {
        let answer = server.unchecked(method, path, &[], b"").await;
        assert_eq!(answer.problem().1, "method-not-allowed", "{method} {path}");
        assert_eq!(answer.status, 405);
        assert_eq!(answer.headers["allow"], allowed, "{method} {path}");
    }
}

#[tokio::test]
async fn bodies_have_a_type_and_a_size() {
    let server = QueueServer::start().await;
    server.queue("q", json!({})).await;
    let text = [("content-type", "text/plain")];
    let answer = server
        .call("POST", "/v1/queues/q/receive", &text, b"{}")
        .await;
    assert_eq!(answer.problem().1, "unsupported-media-type");
    let json = [("content-type", "application/json; charset=utf-8")];
    let answer = server
        .call("POST", "/v1/queues/q/receive", &json, b"{")
        .await;
    assert_eq!(answer.problem().1, "invalid-request");
    let answer = server
        .call("POST", "/v1/queues/q/receive", &json, b"{}")
        .await;
    assert_eq!(answer.status, 200);
    let large = [
        ("content-length", "104857601"),
        ("content-type", "text/plain"),
    ];
    let answer = server
        .unchecked("POST", "/v1/queues/q/messages", &large, b"")
        .await;
    assert_eq!(answer.problem().1, "too-large");
}

#[tokio::test]
async fn receipts_of_others_are_refused_one_by_one() {
    let server = QueueServer::start().await;
    server.queue("q", json!({})).await;
    server.put("/v1/queues/q?group=g", json!({})).await;
    server.send("q", &["a"]).await;
    let received = server.receive("q", json!({})).await;
    let receipt = &received[0]["receipt"];
    let check = async |path: &str, receipt: &Value| {
        let path = format!("/v1/queues/{path}");
        let settled = server.ok(&path, json!({"receipts": [receipt]})).await;
        assert_eq!(settled["failed"], 1, "{path}");
        settled["results"][0]["error"]["type"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let invalid = "urn:outlast:problem:invalid-request";
    assert_eq!(check("q/acknowledge", &json!("nonsense")).await, invalid);
    assert_eq!(check("q/acknowledge?group=g", receipt).await, invalid);
    server.queue("other", json!({})).await;
    assert_eq!(check("other/acknowledge", receipt).await, invalid);
    // The same group, on another topic.
    server.put("/v1/queues/other?group=q", json!({})).await;
    assert_eq!(check("other/acknowledge?group=q", receipt).await, invalid);
    let settled = server
        .ok("/v1/queues/q/acknowledge", json!({"receipts": [receipt]}))
        .await;
    assert_eq!(settled["failed"], 0);
    assert_eq!(
        check("q/acknowledge", receipt).await,
        "urn:outlast:problem:conflict"
    );
}

#[tokio::test]
async fn web_pages_are_kept_out() {
    let server = QueueServer::start().await;
    server.queue("q", json!({})).await;
    let from_page = [
        ("origin", "https://example.com"),
        ("content-type", "text/plain"),
    ];
    let answer = server
        .call("POST", "/v1/queues/q/messages", &from_page, b"x")
        .await;
    assert_eq!(
        (answer.status, answer.problem().1.as_str()),
        (403, "from-web-page")
    );
    let rebound = [("host", "rebound.example.com")];
    let answer = server
        .call("GET", "/v1/queues/q/messages", &rebound, b"")
        .await;
    assert_eq!(
        (answer.status, answer.problem().1.as_str()),
        (421, "misdirected")
    );
    // Probes come from anywhere.
    assert_eq!(
        server
            .unchecked("GET", "/healthz", &rebound, b"")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn the_document_is_served() {
    let server = QueueServer::start().await;
    let answer = server.unchecked("GET", "/openapi.json", &[], b"").await;
    assert_eq!(answer.json()["openapi"], "3.1.0");
    assert_eq!(answer.headers.get("access-control-allow-origin"), None);
}
