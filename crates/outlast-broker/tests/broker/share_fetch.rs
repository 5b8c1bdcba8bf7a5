//! ShareFetch and ShareAcknowledge: what a share consumer gets and gives back.

use std::time::Duration;

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::ShareFetchResponse;

use crate::harness::*;
use crate::queue_harness::*;
use crate::share_harness::*;

#[tokio::test(start_paused = true)]
async fn a_share_consumers_life() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[("retry.policy", "fixed")]).await;
    test.put("t", 0, &["a", "b", "c"]).await;
    let mut consumer = ShareConsumer::join(&test, "m1", 11, &["t"]).await;

    let first = consumer.fetch(&[topic]).await;
    assert_eq!(offsets(&first), [0, 1, 2]);
    assert!(first.iter().all(|message| message.count == 1));
    assert_eq!(
        consumer
            .acknowledge(topic, &[(0, 2, &[ACCEPT, RELEASE, REJECT])])
            .await,
        ErrorCode::None
    );
    assert_eq!(consumer.fetch(&[]).await, [], "the released one waits");
    test.pass(1_000).await;
    let again = consumer.fetch(&[]).await;
    assert_eq!((offsets(&again), again[0].count), (vec![1], 2));

    test.put("t", 0, &["d"]).await;
    let mut request = consumer.fetch_request(&[]);
    request.topics = vec![fetch_topic(topic, &[(1, 1, &[ACCEPT])])];
    let response = consumer.send_fetch(request).await;
    let data = &response.responses[0].partitions[0];
    assert_eq!((data.error_code, data.acknowledge_error_code), (0, 0));
    assert_eq!(offsets(&fetched(&response)), [3]);
    assert_eq!(response.acquisition_lock_timeout_ms, 30_000);
    assert_eq!(test.numbers(topic).await.in_flight, 1);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_waits_for_what_comes_and_ends_when_its_time_is_over() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[]).await;
    let mut consumer = ShareConsumer::join(&test, "m1", 11, &["t"]).await;
    consumer.fetch(&[topic]).await;

    let mut request = consumer.fetch_request(&[]);
    request.max_wait_ms = 1_000;
    let (response, ()) = tokio::join!(consumer.send_fetch(request.clone()), async {
        test.pass(400).await;
        test.put("t", 0, &["a"]).await;
    });
    assert_eq!(offsets(&fetched(&response)), [0]);

    let begun = tokio::time::Instant::now();
    let request = outlast_protocol::messages::ShareFetchRequest {
        share_session_epoch: consumer.session_epoch,
        ..request
    };
    let (response, ()) = tokio::join!(consumer.send_fetch(request), test.pass(1_500));
    assert_eq!(
        response.responses,
        [],
        "nothing is told of a partition without news"
    );
    assert!(begun.elapsed() >= Duration::from_millis(1_000));
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_runs_out_wakes_another_consumer() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(
        GROUP,
        &[("retry.initial.delay.ms", "0"), ("retry.max.delay.ms", "0")],
    )
    .await;
    test.put("t", 0, &["a"]).await;
    let mut one = ShareConsumer::join(&test, "m1", 11, &["t"]).await;
    let mut two = ShareConsumer::join(&test, "m2", 12, &["t"]).await;
    assert_eq!(offsets(&one.fetch(&[topic]).await), [0]);
    assert_eq!(two.fetch(&[topic]).await, []);
    let mut request = two.fetch_request(&[]);
    request.max_wait_ms = 60_000;
    let (response, ()) = tokio::join!(two.send_fetch(request), test.pass(31_000));
    let redelivered = fetched(&response);
    assert_eq!((offsets(&redelivered), redelivered[0].count), (vec![0], 2));
    let late = one.acknowledge(topic, &[(0, 0, &[ACCEPT])]).await;
    assert_eq!(late, ErrorCode::InvalidRecordState);
}

#[tokio::test(start_paused = true)]
async fn renewing_keeps_a_lock_and_fetches_nothing() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[]).await;
    test.put("t", 0, &["a"]).await;
    let mut consumer = ShareConsumer::join(&test, "m1", 11, &["t"]).await;
    consumer.fetch(&[topic]).await;
    for _ in 0..3 {
        test.pass(20_000).await;
        consumer.heartbeat(None).await;
        let renewed = consumer.acknowledge(topic, &[(0, 0, &[RENEW])]).await;
        assert_eq!(renewed, ErrorCode::None);
    }
    // In a fetch, too.
    test.put("t", 0, &["b"]).await;
    let mut request = consumer.fetch_request(&[]);
    request.is_renew_ack = true;
    request.topics = vec![fetch_topic(topic, &[(0, 0, &[RENEW])])];
    let refused = consumer.send_fetch(request.clone()).await;
    assert_eq!(
        error(refused.error_code),
        ErrorCode::InvalidRequest,
        "it asks for records"
    );
    (request.max_bytes, request.min_bytes, request.max_records) = (0, 0, 0);
    let response = consumer.send_fetch(request).await;
    let data = &response.responses[0].partitions[0];
    assert_eq!(
        (data.acknowledge_error_code, data.acquired_records.len()),
        (0, 0)
    );

    let unsaid = consumer
        .acknowledge_as(topic, &[(0, 0, &[RENEW])], false)
        .await;
    assert_eq!(unsaid, ErrorCode::InvalidRequest);
    test.group(GROUP, &[("share.renew.acknowledge.enable", "false")])
        .await;
    let disabled = consumer.acknowledge(topic, &[(0, 0, &[RENEW])]).await;
    assert_eq!(disabled, ErrorCode::InvalidRequest);
    assert_eq!(
        consumer.acknowledge(topic, &[(0, 0, &[ACCEPT])]).await,
        ErrorCode::None
    );
}

#[tokio::test(start_paused = true)]
async fn acquire_modes_end_at_a_batch_or_at_a_record() {
    for (mode, max_records, expect) in [(0, 3, 4), (0, 5, 8), (1, 3, 3), (1, 5, 5), (0, 0, 0)] {
        let test = QueueTest::start().await;
        let topic = test.topic("t", 1, &[]).await;
        test.group(GROUP, &[]).await;
        for _ in 0..3 {
            test.put("t", 0, &["a", "b", "c", "d"]).await;
        }
        let mut consumer = ShareConsumer::join(&test, "m1", 11, &["t"]).await;
        let mut request = consumer.fetch_request(&[topic]);
        (request.share_acquire_mode, request.max_records) = (mode, max_records);
        let response = consumer.send_fetch(request).await;
        assert_eq!(
            fetched(&response).len(),
            expect,
            "mode {mode}, {max_records} records"
        );
    }
    let test = QueueTest::start().await;
    test.topic("t", 1, &[]).await;
    let mut consumer = ShareConsumer::join(&test, "m1", 11, &["t"]).await;
    let mut request = consumer.fetch_request(&[]);
    request.share_acquire_mode = 2;
    let response = consumer.send_fetch(request).await;
    assert_eq!(error(response.error_code), ErrorCode::InvalidRequest);
}

#[tokio::test(start_paused = true)]
async fn limits_hold_over_all_partitions_and_each_partition_has_its_turn() {
    let test = QueueTest::start().await;
    let first = test.topic("t", 3, &[]).await;
    test.group(GROUP, &[]).await;
    let partitions = [0, 1, 2].map(|index| outlast_records::PartitionId { index, ..first });
    for id in partitions {
        for _ in 0..3 {
            test.put("t", id.index, &["x"]).await;
        }
    }
    let mut consumer = ShareConsumer::join(&test, "m1", 11, &["t"]).await;
    let mut begun_with = Vec::new();
    for epoch in 0..3 {
        let named = if epoch == 0 { &partitions[..] } else { &[] };
        let mut request = consumer.fetch_request(named);
        (request.share_acquire_mode, request.max_records) = (1, 2);
        let response = consumer.send_fetch(request).await;
        assert_eq!(fetched(&response).len(), 2);
        begun_with.push(response.responses[0].partitions[0].partition_index);
    }
    begun_with.sort_unstable();
    assert_eq!(begun_with, [0, 1, 2]);
    let mut request = consumer.fetch_request(&[]);
    request.max_records = 100;
    let rest = consumer.send_fetch(request).await;
    assert_eq!(rest.responses[0].partitions.len(), 3, "from all at once");
}

#[tokio::test(start_paused = true)]
async fn more_bytes_are_waited_for_when_the_consumer_wants_more() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[]).await;
    test.put("t", 0, &["a"]).await;
    let mut consumer = ShareConsumer::join(&test, "m1", 11, &["t"]).await;
    let mut request = consumer.fetch_request(&[topic]);
    (request.min_bytes, request.max_wait_ms) = (120, 10_000);
    let (response, ()): (ShareFetchResponse, ()) =
        tokio::join!(consumer.send_fetch(request), async {
            test.pass(1_000).await;
            test.put("t", 0, &["b"]).await;
        });
    assert_eq!(offsets(&fetched(&response)), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_one_partition_is_said_of_that_one() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[]).await;
    test.put("t", 0, &["a", "b"]).await;
    let mut consumer = ShareConsumer::join(&test, "m1", 11, &["t"]).await;
    let missing = outlast_records::PartitionId { index: 7, ..topic };
    let unknown = outlast_records::PartitionId {
        topic: uuid::Uuid::from_u128(99),
        index: 0,
    };
    let request = consumer.fetch_request(&[topic, missing, unknown]);
    let response = consumer.send_fetch(request).await;
    let code = |id: outlast_records::PartitionId| {
        let topics = response.responses.iter().filter(|t| t.topic_id == id.topic);
        let mut partitions = topics.flat_map(|t| &t.partitions);
        let found = partitions.find(|p| p.partition_index == id.index);
        error(found.expect("it is told").error_code)
    };
    assert_eq!(code(topic), ErrorCode::None);
    assert_eq!(code(missing), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(code(unknown), ErrorCode::UnknownTopicId);
    assert_eq!(
        consumer.acknowledge(unknown, &[(0, 0, &[ACCEPT])]).await,
        ErrorCode::UnknownTopicId
    );
    for acks in [
        &[(0, 0, &[9i8][..])][..],
        &[(1, 0, &[1])],
        &[(0, 1, &[1, 1, 1])],
        &[(0, 0, &[1]), (0, 1, &[1])],
    ] {
        assert_eq!(
            consumer.acknowledge(topic, acks).await,
            ErrorCode::InvalidRequest,
            "{acks:?}"
        );
    }
    assert_eq!(
        test.numbers(topic).await.in_flight,
        2,
        "nothing has happened"
    );
}
