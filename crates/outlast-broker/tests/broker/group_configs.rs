//! Configuration of groups: by name, whether or not the group exists, with Kafka's keys and those of queues.

use std::time::Duration;

use outlast_broker::{GROUP_CONFIGS, OffsetReset};
use outlast_protocol::ErrorCode;
use outlast_protocol::messages::alter_configs::{AlterConfigsResource, AlterableConfig};
use outlast_protocol::messages::*;

use crate::configs::{DELETE, SET, alter, describe, incremental, value};
use crate::harness::*;

const GROUP: i8 = 32;
const BROKER: i8 = 4;
const LOCK: &str = "share.record.lock.duration.ms";

#[tokio::test]
async fn a_groups_keys_are_described_before_it_exists() {
    let broker = TestBroker::with(&[("group.share.session.timeout.ms", "50000")]).await;
    let all = describe(&broker, GROUP, "nobody", &[]).await;
    let names: Vec<&str> = all.iter().map(|key| &*key.name).collect();
    let expect: Vec<&str> = GROUP_CONFIGS.iter().map(|key| key.name).collect();
    assert_eq!(names, expect);
    assert!(
        all.iter()
            .all(|key| !key.read_only && key.documentation.is_some())
    );
    for (key, expect) in [
        ("share.session.timeout.ms", ("50000", 4)),
        ("retry.policy", ("exponential", 5)),
        (LOCK, ("30000", 5)),
    ] {
        let (given, source) = value(&broker, GROUP, "nobody", key).await;
        assert_eq!((given.as_str(), source), expect, "{key}");
    }
}

#[tokio::test]
async fn values_are_set_and_deleted_and_outlive_a_restart() {
    let broker = TestBroker::start().await;
    let set = [
        (LOCK, SET, Some("2000")),
        ("retry.policy", SET, Some("fixed")),
    ];
    assert_eq!(alter(&broker, GROUP, "g", &set).await, ErrorCode::None);
    let broker = broker.restart().await;
    let lock = describe(&broker, GROUP, "g", &[LOCK]).await.remove(0);
    assert_eq!(
        (lock.value.as_deref(), lock.config_source, lock.config_type),
        (Some("2000"), 8, 3)
    );
    let synonyms: Vec<_> = lock
        .synonyms
        .iter()
        .map(|synonym| (&*synonym.name, synonym.value.as_deref(), synonym.source))
        .collect();
    assert_eq!(
        synonyms,
        [
            (LOCK, Some("2000"), 8),
            ("group.share.record.lock.duration.ms", Some("30000"), 5)
        ]
    );
    let policy = describe(&broker, GROUP, "g", &["retry.policy"])
        .await
        .remove(0);
    let synonyms: Vec<_> = policy
        .synonyms
        .iter()
        .map(|synonym| (&*synonym.name, synonym.value.as_deref(), synonym.source))
        .collect();
    assert_eq!(
        synonyms,
        [
            ("retry.policy", Some("fixed"), 8),
            ("retry.policy", Some("exponential"), 5)
        ]
    );
    assert_eq!(
        broker.broker.group_settings("g").queue.lock,
        Duration::from_secs(2)
    );
    assert_eq!(
        broker.broker.group_settings("h").queue.lock,
        Duration::from_secs(30)
    );
    assert_eq!(
        alter(&broker, GROUP, "g", &[(LOCK, DELETE, None)]).await,
        ErrorCode::None
    );
    assert_eq!(
        value(&broker, GROUP, "g", LOCK).await,
        ("30000".to_owned(), 5)
    );
    assert_eq!(
        broker.broker.group_settings("g").queue.lock,
        Duration::from_secs(30)
    );
}

#[tokio::test]
async fn a_brokers_default_is_every_groups_until_it_has_its_own() {
    let broker = TestBroker::start().await;
    let key = "group.share.record.lock.duration.ms";
    for (name, ms, source) in [("", "40000", 3), ("1", "50000", 2)] {
        assert_eq!(
            alter(&broker, BROKER, name, &[(key, SET, Some(ms))]).await,
            ErrorCode::None
        );
        assert_eq!(
            value(&broker, GROUP, "g", LOCK).await,
            (ms.to_owned(), source)
        );
        let lock = broker.broker.group_settings("g").queue.lock;
        assert_eq!(lock.as_millis().to_string(), ms);
    }
    let refused = alter(
        &broker,
        BROKER,
        "",
        &[("group.share.session.timeout.ms", SET, Some("5000"))],
    )
    .await;
    assert_eq!(
        refused,
        ErrorCode::InvalidConfig,
        "no group could have the default heartbeat then"
    );
}

#[tokio::test]
async fn what_is_wrong_is_refused_by_name() {
    let broker = TestBroker::start().await;
    for (group, key, given, code, expect) in [
        (
            "g",
            "share.record.lock",
            "1",
            ErrorCode::InvalidConfig,
            "unknown group config name: share.record.lock",
        ),
        (
            "g",
            LOCK,
            "999",
            ErrorCode::InvalidConfig,
            "1000 to 3600000",
        ),
        ("g", LOCK, "soon", ErrorCode::InvalidConfig, LOCK),
        (
            "g",
            "share.delivery.count.limit",
            "0",
            ErrorCode::InvalidConfig,
            "1 to 100",
        ),
        (
            "g",
            "share.auto.offset.reset",
            "none",
            ErrorCode::InvalidConfig,
            "by_duration:PnDTnHnMn.nS",
        ),
        (
            "g",
            "share.heartbeat.interval.ms",
            "45000",
            ErrorCode::InvalidConfig,
            "share.session.timeout.ms (45000) must be more",
        ),
        ("", LOCK, "2000", ErrorCode::InvalidRequest, "by its name"),
    ] {
        let request = incremental(GROUP, group, &[(key, SET, Some(given))]);
        let response = &broker.call(1, request).await.responses[0];
        assert_eq!(error(response.error_code), code, "{key}={given}");
        let message = response.error_message.as_deref().unwrap_or_default();
        assert!(message.contains(expect), "{message}");
    }
    let listed = broker
        .call(
            1,
            ListConfigResourcesRequest {
                resource_types: vec![GROUP],
            },
        )
        .await;
    assert!(listed.config_resources.is_empty());
}

#[tokio::test]
async fn nothing_is_changed_by_a_validation() {
    let broker = TestBroker::start().await;
    let request = IncrementalAlterConfigsRequest {
        validate_only: true,
        ..incremental(GROUP, "g", &[(LOCK, SET, Some("2000"))])
    };
    assert_eq!(broker.call(1, request).await.responses[0].error_code, 0);
    assert_eq!(value(&broker, GROUP, "g", LOCK).await.0, "30000");
}

#[tokio::test]
async fn the_older_way_replaces_all_values() {
    let broker = TestBroker::start().await;
    let offset = ("share.auto.offset.reset", SET, Some("earliest"));
    alter(&broker, GROUP, "g", &[(LOCK, SET, Some("2000")), offset]).await;
    assert_eq!(
        broker.broker.group_settings("g").share.offset_reset,
        OffsetReset::Earliest
    );
    let request = AlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: GROUP,
            resource_name: "g".into(),
            configs: vec![AlterableConfig {
                name: "queue.order".into(),
                value: Some("key".into()),
            }],
        }],
        validate_only: false,
    };
    assert_eq!(broker.call(2, request).await.responses[0].error_code, 0);
    assert_eq!(value(&broker, GROUP, "g", LOCK).await.0, "30000");
    assert_eq!(value(&broker, GROUP, "g", "queue.order").await.0, "key");
    assert_eq!(
        broker.broker.group_settings("g").share.offset_reset,
        OffsetReset::Latest
    );
}

#[tokio::test]
async fn groups_with_values_are_listed() {
    let broker = TestBroker::start().await;
    for group in ["b", "a"] {
        alter(&broker, GROUP, group, &[(LOCK, SET, Some("2000"))]).await;
    }
    let list = || {
        broker.call(
            1,
            ListConfigResourcesRequest {
                resource_types: vec![GROUP],
            },
        )
    };
    let names = |response: ListConfigResourcesResponse| -> Vec<String> {
        let resources = response.config_resources.into_iter();
        resources
            .map(|resource| resource.resource_name.to_string())
            .collect()
    };
    assert_eq!(names(list().await), ["a", "b"]);
    alter(&broker, GROUP, "a", &[(LOCK, DELETE, None)]).await;
    assert_eq!(names(list().await), ["b"]);
}
