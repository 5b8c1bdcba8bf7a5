//! A disk that fails for good: nothing is acknowledged any more, and everybody who asks is told.

use std::sync::Arc;

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::ProduceRequest;
use outlast_storage::io::fault::{FaultDisk, Op, eio};

use crate::harness::{PRODUCE, TestServer, produce};

#[tokio::test]
async fn after_a_failed_fsync_nothing_is_acknowledged_and_health_says_why() {
    let disk = FaultDisk::new();
    let server = TestServer::start_on(Arc::new(disk.clone()), |_| {}).await;
    let mut client = server.client().await;
    client.create_topic("t").await;
    client.call(PRODUCE, &produce("t", 10)).await;
    assert_eq!(server.get("/healthz").await.0, 200);
    // Once only: whoever tried the fsync again would take the data for safe.
    disk.fail(Op::Sync, "", 0, 1, eio);
    let mut failure = server.store.failure();
    for _ in 0..3 {
        client.send(PRODUCE, &produce("t", 10)).await;
    }
    for _ in 0..3 {
        let (_, response) = client.receive::<ProduceRequest>(PRODUCE).await;
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!(partition.error_code, ErrorCode::KafkaStorageError.code());
        assert_eq!(partition.base_offset, -1);
    }
    failure.wait_for(Option::is_some).await.unwrap();
    for path in ["/healthz", "/readyz"] {
        let (status, body) = server.get(path).await;
        assert_eq!(status, 503, "{path}");
        assert!(body.starts_with("storage failed: "), "{body}");
    }
}
