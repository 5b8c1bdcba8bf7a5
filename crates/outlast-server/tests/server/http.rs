//! Health, readiness and metrics.

use crate::harness::{PRODUCE, TestServer, produce};
use outlast_protocol::messages::ApiVersionsRequest;

#[tokio::test]
async fn a_serving_server_is_healthy_and_ready() {
    let server = TestServer::start(|_| {}).await;
    assert_eq!(server.get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(server.get("/readyz").await, (200, "ready\n".to_owned()));
    assert_eq!(server.get("/nothing").await.0, 404);
}

#[tokio::test]
async fn metrics_count_connections_bytes_requests_and_messages() {
    let server = TestServer::start(|_| {}).await;
    let mut client = server.client().await;
    client.create_topic("t").await;
    client.call(PRODUCE, &produce("t", 1_000)).await;
    client.call(3, &ApiVersionsRequest::default()).await;
    assert_eq!(server.metric("outlast_server_open_connections").await, 1.0);
    assert_eq!(
        server
            .metric("outlast_server_connections_accepted_total")
            .await,
        1.0
    );
    assert!(server.metric("outlast_server_received_bytes_total").await > 1_000.0);
    assert!(server.metric("outlast_server_sent_bytes_total").await > 100.0);
    assert_eq!(
        server
            .metric("outlast_requests_total{api=\"Produce\"}")
            .await,
        1.0
    );
    assert_eq!(
        server
            .metric("outlast_topic_messages_in_total{topic=\"t\"}")
            .await,
        1.0
    );
    let (_, text) = server.get("/metrics").await;
    assert!(text.ends_with("# EOF\n"));
    for name in ["outlast_request_seconds", "outlast_storage_fsync_seconds"] {
        assert!(text.contains(name), "{name}");
    }
}
