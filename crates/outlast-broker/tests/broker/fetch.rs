//! Fetch: data, errors, limits, the long poll and incremental sessions.

use std::time::Duration;

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::fetch::{FetchTopic, ForgottenTopic};
use outlast_protocol::messages::{CreatePartitionsRequest, FetchRequest, FetchResponse};
use uuid::Uuid;

use crate::harness::*;

#[tokio::test]
async fn records_come_back_as_they_were_sent() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    broker.put("t", 0, &["a", "b"]).await;
    broker.put("t", 0, &["c"]).await;
    for version in 4..=12 {
        let response = broker.call(version, fetch_request(&[("t", 0, 0)])).await;
        let data = &response.responses[0].partitions[0];
        let all = [
            (0, "a".to_owned()),
            (1, "b".to_owned()),
            (2, "c".to_owned()),
        ];
        assert_eq!(values(data), all, "v{version}");
        assert_eq!((data.high_watermark, data.last_stable_offset), (3, 3));
    }
    // A fetch from inside a batch gets the whole batch.
    let response = broker.call(12, fetch_request(&[("t", 0, 1)])).await;
    assert_eq!(values(&response.responses[0].partitions[0]).len(), 3);
}

#[tokio::test]
async fn errors_have_their_codes() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    broker.put("t", 0, &["a"]).await;
    let epoch = |epoch| {
        let mut request = fetch_request(&[("t", 0, 0)]);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        request
    };
    for (request, expect) in [
        (fetch_request(&[("t", 0, 1)]), ErrorCode::None),
        (fetch_request(&[("t", 0, 2)]), ErrorCode::OffsetOutOfRange),
        (fetch_request(&[("t", 0, -1)]), ErrorCode::OffsetOutOfRange),
        (
            fetch_request(&[("t", 1, 0)]),
            ErrorCode::UnknownTopicOrPartition,
        ),
        (
            fetch_request(&[("missing", 0, 0)]),
            ErrorCode::UnknownTopicOrPartition,
        ),
        (epoch(0), ErrorCode::None),
        (epoch(1), ErrorCode::UnknownLeaderEpoch),
    ] {
        let what = format!("{:?}", request.topics);
        let response = broker.call(12, request).await;
        let data = &response.responses[0].partitions[0];
        assert_eq!(error(data.error_code), expect, "{what}");
        assert_eq!(
            data.high_watermark == -1,
            expect != ErrorCode::None,
            "{what}"
        );
    }
}

#[tokio::test]
async fn topics_are_named_by_id_from_version_13_on() {
    let broker = TestBroker::start().await;
    let id = broker.create_topic("t", 1, &[]).await;
    broker.put("t", 0, &["a"]).await;
    for (id, expect) in [
        (id, ErrorCode::None),
        (Uuid::from_u128(5), ErrorCode::UnknownTopicId),
    ] {
        for version in [13, 18] {
            let mut request = fetch_request(&[("", 0, 0)]);
            request.topics[0].topic_id = id;
            let response = broker.call(version, request).await;
            assert_eq!(response.responses[0].topic_id, id);
            assert_eq!(
                error(response.responses[0].partitions[0].error_code),
                expect
            );
        }
    }
}

#[tokio::test]
async fn a_batch_larger_than_the_limits_is_sent_alone() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 2, &[]).await;
    let large = "x".repeat(5000);
    for partition in [0, 1] {
        broker.put("t", partition, &[&large]).await;
        broker.put("t", partition, &[&large]).await;
    }
    let mut request = fetch_request(&[("t", 0, 0), ("t", 1, 0)]);
    request.max_bytes = 100;
    let response = broker.call(12, request.clone()).await;
    let counts: Vec<usize> = partitions(&response)
        .map(|data| values(data).len())
        .collect();
    assert_eq!(
        counts,
        [1, 0],
        "the first partition's first batch, and nothing else"
    );

    request.max_bytes = 1 << 20;
    for topic in &mut request.topics {
        topic.partitions[0].partition_max_bytes = 100;
    }
    let response = broker.call(12, request).await;
    let counts: Vec<usize> = partitions(&response)
        .map(|data| values(data).len())
        .collect();
    assert_eq!(counts, [1, 0]);
}

#[tokio::test]
async fn a_long_poll_ends_with_the_first_record() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 3, &[]).await;
    let mut request = fetch_request(&[("t", 0, 0), ("t", 1, 0), ("t", 2, 0)]);
    request.max_wait_ms = 60_000;
    let (response, _) = tokio::join!(broker.call(12, request), async {
        tokio::task::yield_now().await;
        broker.put("t", 1, &["now"]).await
    });
    let found: Vec<_> = partitions(&response).map(values).collect();
    assert_eq!(found[1], [(0, "now".to_owned())]);
}

#[tokio::test]
async fn a_closing_broker_lets_nobody_wait() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let mut request = fetch_request(&[("t", 0, 0)]);
    request.max_wait_ms = 3_600_000;
    let (response, ()) = tokio::join!(broker.call(12, request), broker.broker.shutdown());
    assert_eq!(error(response.error_code), ErrorCode::None);
}

#[tokio::test]
async fn min_bytes_are_waited_for() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let one = batch(&["a"]).len() as i32;
    let mut request = fetch_request(&[("t", 0, 0)]);
    (request.min_bytes, request.max_wait_ms) = (3 * one, 60_000);
    let (response, ()) = tokio::join!(broker.call(12, request.clone()), async {
        for _ in 0..3 {
            broker.put("t", 0, &["a"]).await;
        }
    });
    assert_eq!(values(&response.responses[0].partitions[0]).len(), 3);

    (request.min_bytes, request.max_wait_ms) = (10 * one, 1);
    let response = broker.call(12, request).await;
    assert_eq!(
        values(&response.responses[0].partitions[0]).len(),
        3,
        "when the wait is over, what is there"
    );
}

#[tokio::test]
async fn nothing_to_wait_for_is_answered_at_once() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    for mut request in [
        FetchRequest::default(),
        fetch_request(&[("missing", 0, 0)]),
        fetch_request(&[("t", 0, 9)]),
    ] {
        (request.min_bytes, request.max_wait_ms) = (1, 3_600_000);
        let answered =
            tokio::time::timeout(Duration::from_secs(60), broker.call(12, request)).await;
        assert!(answered.is_ok());
    }
}

#[tokio::test]
async fn a_session_names_what_is_new() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 3, &[]).await;
    let mut first = fetch_request(&[("t", 0, 0), ("t", 1, 0), ("t", 2, 0)]);
    first.session_epoch = 0;
    let opened = broker.call(12, first).await;
    assert!(opened.session_id > 0);
    assert_eq!(partitions(&opened).count(), 3, "the first answer names all");

    let next = |epoch| FetchRequest {
        session_id: opened.session_id,
        session_epoch: epoch,
        ..fetch_request(&[])
    };
    assert_eq!(
        partitions(&broker.call(12, next(1)).await).count(),
        0,
        "nothing is new"
    );

    broker.put("t", 1, &["a"]).await;
    let response = broker.call(12, next(2)).await;
    assert_eq!(named(&response), [(1, 1)]);

    // The client moves on; then only the high watermark of partition 2 is news.
    broker.put("t", 2, &["b"]).await;
    let mut moved = next(3);
    moved.topics = fetch_request(&[("t", 1, 1), ("t", 2, 1)]).topics;
    let response = broker.call(12, moved).await;
    assert_eq!(named(&response), [(2, 0)]);
    assert_eq!(partitions(&broker.call(12, next(4)).await).count(), 0);
}

#[tokio::test]
async fn a_session_waits_and_wakes() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 2, &[]).await;
    let mut first = fetch_request(&[("t", 0, 0), ("t", 1, 0)]);
    first.session_epoch = 0;
    let opened = broker.call(12, first).await;
    for (epoch, offset) in [(1, 0), (2, 1), (3, 2)] {
        let mut next = FetchRequest {
            session_id: opened.session_id,
            session_epoch: epoch,
            max_wait_ms: 60_000,
            ..fetch_request(&[])
        };
        next.topics = fetch_request(&[("t", 1, offset)]).topics;
        let (response, _) = tokio::join!(broker.call(12, next), async {
            tokio::task::yield_now().await;
            broker.put("t", 1, &["a"]).await
        });
        assert_eq!(named(&response), [(1, 1)], "epoch {epoch}");
    }
}

#[tokio::test]
async fn partitions_are_forgotten_and_the_session_ends_with_the_last() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 2, &[]).await;
    let mut first = fetch_request(&[("t", 0, 0), ("t", 1, 0)]);
    first.session_epoch = 0;
    let id = broker.call(12, first).await.session_id;
    let forget = |epoch, partitions: &[i32]| FetchRequest {
        session_id: id,
        session_epoch: epoch,
        forgotten_topics_data: vec![ForgottenTopic {
            topic: "t".into(),
            partitions: partitions.to_vec(),
            ..Default::default()
        }],
        ..fetch_request(&[])
    };
    assert_eq!(broker.call(12, forget(1, &[1])).await.session_id, id);
    broker.put("t", 1, &["unread"]).await;
    assert_eq!(
        partitions(&broker.call(12, forget(2, &[])).await).count(),
        0
    );
    assert_eq!(broker.call(12, forget(3, &[0])).await.session_id, 0);
    let gone = broker.call(12, forget(4, &[])).await;
    assert_eq!(error(gone.error_code), ErrorCode::FetchSessionIdNotFound);
}

#[tokio::test]
async fn wrong_sessions_are_refused() {
    let broker = TestBroker::start().await;
    let topic_id = broker.create_topic("t", 1, &[]).await;
    let mut first = fetch_request(&[("t", 0, 0)]);
    first.session_epoch = 0;
    let id = broker.call(12, first).await.session_id;
    let next = |session_id, session_epoch| FetchRequest {
        session_id,
        session_epoch,
        ..fetch_request(&[])
    };
    for (version, request, expect) in [
        (12, next(id + 1, 1), ErrorCode::FetchSessionIdNotFound),
        (12, next(id, 2), ErrorCode::InvalidFetchSessionEpoch),
        (13, next(id, 1), ErrorCode::FetchSessionTopicIdError),
        (12, next(id, 1), ErrorCode::None),
        (12, next(id, -1), ErrorCode::None),
        (12, next(id, 2), ErrorCode::FetchSessionIdNotFound),
    ] {
        let what = format!(
            "v{version} {} {}",
            request.session_id, request.session_epoch
        );
        assert_eq!(
            error(broker.call(version, request).await.error_code),
            expect,
            "{what}"
        );
    }
    let by_id = FetchTopic {
        topic_id,
        partitions: vec![fetch_partition(0, 0)],
        ..Default::default()
    };
    let request = FetchRequest {
        session_epoch: 0,
        topics: vec![by_id],
        ..fetch_request(&[])
    };
    assert!(broker.call(16, request).await.session_id > 0);
}

#[tokio::test]
async fn sessions_are_bounded() {
    let broker = TestBroker::with(&[("max.incremental.fetch.session.cache.slots", "2")]).await;
    broker.create_topic("t", 1, &[]).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let mut request = fetch_request(&[("t", 0, 0)]);
        request.session_epoch = 0;
        ids.push(broker.call(12, request).await.session_id);
    }
    assert!(ids[0] > 0 && ids[1] > 0);
    assert_eq!(ids[2], 0, "no room: the client goes on without a session");
}

#[tokio::test]
async fn a_session_sees_a_partition_that_comes_later() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let mut first = fetch_request(&[("t", 0, 0), ("t", 1, 0)]);
    first.session_epoch = 0;
    let opened = broker.call(12, first).await;
    let codes: Vec<_> = partitions(&opened)
        .map(|data| error(data.error_code))
        .collect();
    assert_eq!(codes, [ErrorCode::None, ErrorCode::UnknownTopicOrPartition]);
    let mut grow = CreatePartitionsRequest::default();
    grow.topics.push(
        outlast_protocol::messages::create_partitions::CreatePartitionsTopic {
            name: "t".into(),
            count: 2,
            ..Default::default()
        },
    );
    broker.call(3, grow).await;
    broker.put("t", 1, &["a"]).await;
    let next = FetchRequest {
        session_id: opened.session_id,
        session_epoch: 1,
        ..fetch_request(&[])
    };
    assert_eq!(named(&broker.call(12, next).await), [(1, 1)]);
}

#[tokio::test]
async fn read_committed_gets_an_empty_list_of_aborted_transactions() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    for (isolation_level, expect) in [(0, None), (1, Some(0))] {
        let request = FetchRequest {
            isolation_level,
            ..fetch_request(&[("t", 0, 0)])
        };
        let response = broker.call(12, request).await;
        let aborted = response.responses[0].partitions[0]
            .aborted_transactions
            .as_ref();
        assert_eq!(aborted.map(Vec::len), expect);
    }
}

#[tokio::test]
async fn a_follower_like_fetch_learns_where_its_epoch_ended() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    broker.put("t", 0, &["a"]).await;
    let mut request = fetch_request(&[("t", 0, 1)]);
    request.topics[0].partitions[0].last_fetched_epoch = 3;
    let response = broker.call(12, request).await;
    let data = &response.responses[0].partitions[0];
    assert_eq!(
        (data.diverging_epoch.epoch, data.diverging_epoch.end_offset),
        (0, 1)
    );
}

fn partitions(
    response: &FetchResponse,
) -> impl Iterator<Item = &outlast_protocol::messages::fetch::PartitionData> {
    response
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions)
}

/// `(partition, number of records)` of what a response names.
fn named(response: &FetchResponse) -> Vec<(i32, usize)> {
    partitions(response)
        .map(|data| (data.partition_index, values(data).len()))
        .collect()
}
