//! When the disk is full, fails, lies or loses power: what was acknowledged is there, and what wasn't is said.

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::*;
use outlast_storage::io::fault::{Op, Survives, eio};

use crate::harness::*;

#[tokio::test]
async fn a_full_disk_is_a_passing_trouble() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    broker.put("t", 0, &["before"]).await;
    let id = broker
        .call(4, InitProducerIdRequest::default())
        .await
        .producer_id;
    let large = "x".repeat(500_000);
    let next = |sequence| Batch::producer(id, 0, sequence).values(&[&large]).bytes();
    broker.disk.set_capacity(Some(broker.disk.used()));
    let mut stored = 0;
    let refused = loop {
        // What the write-ahead log has reserved still takes some.
        let answer = broker.produce("t", 0, next(stored)).await;
        if answer.error_code != 0 {
            break answer;
        }
        stored += 1;
    };
    assert_eq!(
        (error(refused.error_code), refused.base_offset),
        (ErrorCode::KafkaStorageError, -1)
    );
    assert!(error(refused.error_code).retriable());
    assert!(refused.error_message.unwrap().contains("full"));

    let fetched = broker.call(12, fetch_request(&[("t", 0, 0)])).await;
    let data = &fetched.responses[0].partitions[0];
    assert_eq!(
        data.high_watermark,
        i64::from(stored) + 1,
        "reads go on, and see what is acknowledged"
    );

    broker.disk.set_capacity(None);
    let again = broker.produce("t", 0, next(stored)).await;
    assert_eq!(
        (error(again.error_code), again.base_offset),
        (ErrorCode::None, i64::from(stored) + 1)
    );
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_power_failure() {
    for survives in [
        Survives::Nothing,
        Survives::Everything,
        Survives::Chance(1),
        Survives::Chance(2),
    ] {
        let broker = TestBroker::start().await;
        broker.create_topic("t", 1, &[("retention.ms", "77")]).await;
        for value in ["a", "b"] {
            broker.put("t", 0, &[value]).await;
        }
        // Sent, and never answered.
        let unanswered = broker
            .try_call(12, produce_request("t", 0, 0, batch(&["c"])))
            .await;
        assert!(unanswered.is_ok());
        let broker = broker.lose_power(survives).await;
        let fetched = broker.call(12, fetch_request(&[("t", 0, 0)])).await;
        let found: Vec<String> = values(&fetched.responses[0].partitions[0])
            .into_iter()
            .map(|(_, value)| value)
            .collect();
        assert_eq!(found[..2], ["a", "b"], "{survives:?}");
        assert_eq!(
            broker.put("t", 0, &["next"]).await,
            found.len() as i64,
            "{survives:?}"
        );
    }
}

#[tokio::test]
async fn a_failed_fsync_is_final() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    broker.put("t", 0, &["a"]).await;
    broker.disk.fail(Op::Sync, "", 0, 1, eio);
    for _ in 0..2 {
        let answer = broker.produce("t", 0, batch(&["b"])).await;
        assert_eq!(
            (error(answer.error_code), answer.base_offset),
            (ErrorCode::KafkaStorageError, -1)
        );
    }
    let create = CreateTopicsRequest {
        topics: vec![topic("u", 1, &[])],
        ..Default::default()
    };
    let refused = broker.call(7, create).await;
    assert_eq!(
        error(refused.topics[0].error_code),
        ErrorCode::KafkaStorageError
    );
    let known = broker
        .call(
            12,
            MetadataRequest {
                topics: None,
                ..Default::default()
            },
        )
        .await;
    assert_eq!(
        known.topics.len(),
        1,
        "a topic that is not durable is not there"
    );
}

#[tokio::test]
async fn a_read_that_fails_is_told_and_the_next_one_works() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    broker.put("t", 0, &["a"]).await;
    // After a restart nothing is in memory.
    let broker = broker.restart().await;
    broker.disk.fail(Op::Read, "wal", 0, u32::MAX, eio);
    let fetched = broker.call(12, fetch_request(&[("t", 0, 0)])).await;
    let data = &fetched.responses[0].partitions[0];
    assert_eq!(
        (error(data.error_code), data.high_watermark),
        (ErrorCode::KafkaStorageError, -1)
    );
    broker.disk.heal();
    let fetched = broker.call(12, fetch_request(&[("t", 0, 0)])).await;
    assert_eq!(
        values(&fetched.responses[0].partitions[0]),
        [(0, "a".to_owned())]
    );
}

#[tokio::test]
async fn damage_is_seen_by_the_reader_of_the_partition_and_by_nobody_else() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 2, &[]).await;
    let mark = "the bytes that will be damaged";
    broker.put("t", 0, &[mark]).await;
    broker.put("t", 1, &["unharmed"]).await;
    let broker = broker.restart().await;
    let holds = |content: &[u8]| {
        content
            .windows(mark.len())
            .position(|window| window == mark.as_bytes())
    };
    let damaged = broker.disk.paths().into_iter().find_map(|path| {
        let at = holds(&broker.disk.content(&path)?)?;
        Some((path, at))
    });
    let (path, at) = damaged.expect("a file with the record");
    broker.disk.overwrite(&path, |bytes| bytes[at] ^= 1);
    let fetched = broker
        .call(12, fetch_request(&[("t", 0, 0), ("t", 1, 0)]))
        .await;
    let answers: Vec<_> = fetched
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions)
        .map(|data| (error(data.error_code), values(data).len()))
        .collect();
    assert_eq!(
        answers,
        [(ErrorCode::CorruptMessage, 0), (ErrorCode::None, 1)]
    );
}
