//! Share sessions: their epochs and bounds, and what becomes of a consumer's messages when it goes.

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::ShareFetchRequest;
use outlast_storage::io::fault::Survives;

use crate::harness::*;
use crate::queue_harness::*;
use crate::share_harness::*;

const NO_DELAY: &[(&str, &str)] = &[("retry.initial.delay.ms", "0"), ("retry.max.delay.ms", "0")];

#[tokio::test(start_paused = true)]
async fn who_may_fetch() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[]).await;
    let mut consumer = ShareConsumer::join(&test, "m1", 11, &["t"]).await;
    let request = consumer.fetch_request(&[topic]);
    let with_ack = vec![fetch_topic(topic, &[(0, 0, &[ACCEPT])])];
    for (what, request, expect) in [
        (
            "no session",
            ShareFetchRequest {
                share_session_epoch: 1,
                ..request.clone()
            },
            ErrorCode::ShareSessionNotFound,
        ),
        (
            "none to end",
            ShareFetchRequest {
                share_session_epoch: -1,
                ..request.clone()
            },
            ErrorCode::ShareSessionNotFound,
        ),
        (
            "no group",
            ShareFetchRequest {
                group_id: None,
                ..request.clone()
            },
            ErrorCode::InvalidRequest,
        ),
        (
            "no member",
            ShareFetchRequest {
                member_id: None,
                ..request.clone()
            },
            ErrorCode::InvalidRequest,
        ),
        (
            "a long id",
            ShareFetchRequest {
                member_id: Some("m".repeat(37).into()),
                ..request.clone()
            },
            ErrorCode::InvalidRequest,
        ),
        (
            "another group",
            ShareFetchRequest {
                group_id: Some("other".into()),
                ..request.clone()
            },
            ErrorCode::GroupIdNotFound,
        ),
        (
            "too early",
            ShareFetchRequest {
                topics: with_ack,
                ..request.clone()
            },
            ErrorCode::InvalidRequest,
        ),
    ] {
        let response = consumer.call(2, request).await;
        assert_eq!(error(response.error_code), expect, "{what}");
    }
    assert_eq!(
        consumer.acknowledge(topic, &[(0, 0, &[ACCEPT])]).await,
        ErrorCode::InvalidShareSessionEpoch
    );
    consumer.fetch(&[topic]).await;
    consumer.session_epoch = 5;
    assert_eq!(
        consumer.acknowledge(topic, &[(0, 0, &[ACCEPT])]).await,
        ErrorCode::InvalidShareSessionEpoch
    );
    let request = consumer.fetch_request(&[]);
    let response = consumer.send_fetch(request).await;
    assert_eq!(
        error(response.error_code),
        ErrorCode::InvalidShareSessionEpoch
    );
    consumer.session_epoch = 1;
    consumer.fetch(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn ending_a_session_gives_everything_back() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, NO_DELAY).await;
    test.put("t", 0, &["a", "b", "c"]).await;
    let mut one = ShareConsumer::join(&test, "m1", 11, &["t"]).await;
    let mut two = ShareConsumer::join(&test, "m2", 12, &["t"]).await;
    assert_eq!(one.fetch(&[topic]).await.len(), 3);
    one.session_epoch = -1;
    assert_eq!(
        one.acknowledge(topic, &[(0, 0, &[ACCEPT])]).await,
        ErrorCode::None
    );
    let rest = two.fetch(&[topic]).await;
    assert_eq!(offsets(&rest), [1, 2]);
    assert!(rest.iter().all(|message| message.count == 2));
    // With a fetch, too.
    let mut last = two.fetch_request(&[]);
    last.share_session_epoch = -1;
    last.topics = vec![fetch_topic(topic, &[(1, 1, &[ACCEPT])])];
    let response = two.send_fetch(last).await;
    assert_eq!(
        response.responses[0].partitions[0].acknowledge_error_code,
        0
    );
    assert_eq!(fetched(&response), []);
    one.session_epoch = 0;
    assert_eq!(offsets(&one.fetch(&[topic]).await), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_gives_everything_back_at_once() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, NO_DELAY).await;
    test.put("t", 0, &["a"]).await;
    let mut one = ShareConsumer::join(&test, "m1", 11, &["t"]).await;
    let mut two = ShareConsumer::join(&test, "m2", 12, &["t"]).await;
    one.fetch(&[topic]).await;
    two.fetch(&[topic]).await;
    let mut request = two.fetch_request(&[]);
    request.max_wait_ms = 5_000;
    let begun = tokio::time::Instant::now();
    let (response, ()) = tokio::join!(two.send_fetch(request), async {
        calm().await;
        test.broker.connection_closed(&one.connection);
        test.broker.connection_closed(&one.connection);
    });
    assert_eq!(offsets(&fetched(&response)), [0]);
    assert!(
        begun.elapsed().as_millis() < 1_000,
        "it didn't wait for the lock"
    );
    let late = one.acknowledge(topic, &[(0, 0, &[ACCEPT])]).await;
    assert_eq!(late, ErrorCode::ShareSessionNotFound);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_waits_when_its_client_goes_takes_nothing_along() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[]).await;
    let mut one = ShareConsumer::join(&test, "m1", 11, &["t"]).await;
    one.fetch(&[topic]).await;
    let mut request = one.fetch_request(&[]);
    request.max_wait_ms = 60_000;
    let connection = one.connection.clone();
    let (response, ()) = tokio::join!(one.send_fetch(request), async {
        calm().await;
        test.broker.connection_closed(&connection);
    });
    assert_eq!(error(response.error_code), ErrorCode::ShareSessionNotFound);
    test.put("t", 0, &["a"]).await;
    calm().await;
    assert_eq!(test.numbers(topic).await.in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_began_anew_outlives_the_connection_before() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[]).await;
    test.put("t", 0, &["a"]).await;
    let mut one = ShareConsumer::join(&test, "m1", 11, &["t"]).await;
    assert_eq!(one.fetch(&[topic]).await.len(), 1);
    let before = std::mem::replace(&mut one.connection, test.connect(99));
    one.session_epoch = 0;
    assert_eq!(one.fetch(&[topic]).await, []);
    test.broker.connection_closed(&before);
    calm().await;
    assert_eq!(
        one.acknowledge(topic, &[(0, 0, &[ACCEPT])]).await,
        ErrorCode::None
    );
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_gone_from_the_group_holds_nothing() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    // Longer locks than sessions.
    let lock = ("share.record.lock.duration.ms", "600000");
    test.group(GROUP, &[NO_DELAY[0], NO_DELAY[1], lock]).await;
    test.put("t", 0, &["a"]).await;
    let mut silent = ShareConsumer::join(&test, "m1", 11, &["t"]).await;
    let mut other = ShareConsumer::join(&test, "m2", 12, &["t"]).await;
    assert_eq!(silent.fetch(&[topic]).await.len(), 1);
    for _ in 0..5 {
        test.pass(10_000).await;
        other.heartbeat(None).await;
    }
    assert_eq!(offsets(&other.fetch(&[topic]).await), [0]);
    assert_eq!(
        error(silent.heartbeat(None).await.error_code),
        ErrorCode::UnknownMemberId
    );
    assert_eq!(
        silent.acknowledge(topic, &[(0, 0, &[ACCEPT])]).await,
        ErrorCode::ShareSessionNotFound
    );
    // One that leaves without ending its session first may do so for a moment.
    test.put("t", 0, &["b"]).await;
    assert_eq!(offsets(&other.fetch(&[]).await), [1]);
    assert_eq!(other.leave().await, ErrorCode::None);
    test.pass(4_000).await;
    assert_eq!(
        other.acknowledge(topic, &[(0, 0, &[ACCEPT])]).await,
        ErrorCode::None
    );
    assert_eq!(test.numbers(topic).await.in_flight, 1);
    test.pass(2_000).await;
    assert_eq!(test.numbers(topic).await.in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn members_and_locks_survive_a_crash_and_sessions_begin_anew() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[]).await;
    test.put("t", 0, &["a", "b"]).await;
    let mut consumer = ShareConsumer::join(&test, "m1", 11, &["t"]).await;
    assert_eq!(consumer.fetch(&[topic]).await.len(), 2);
    let (member_epoch, connection) = (consumer.member_epoch, consumer.connection.clone());
    let test = test.killed(Survives::Nothing).await;
    let mut consumer = ShareConsumer {
        test: &test,
        connection,
        member: "m1".into(),
        member_epoch,
        session_epoch: 1,
    };
    assert_eq!(
        error(consumer.heartbeat(None).await.error_code),
        ErrorCode::None
    );
    let request = consumer.fetch_request(&[]);
    let response = consumer.send_fetch(request).await;
    assert_eq!(error(response.error_code), ErrorCode::ShareSessionNotFound);
    consumer.session_epoch = 0;
    assert_eq!(consumer.fetch(&[topic]).await, [], "it holds them still");
    let acks = [(0, 1, &[ACCEPT, REJECT][..])];
    assert_eq!(consumer.acknowledge(topic, &acks).await, ErrorCode::None);
}
