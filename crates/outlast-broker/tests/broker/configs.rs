//! Configuration: described with its sources, altered in both ways, refused in words.

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult,
};
use outlast_protocol::messages::*;

use crate::harness::*;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
pub const SET: i8 = 0;
pub const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub async fn describe(
    broker: &TestBroker,
    kind: i8,
    name: &str,
    keys: &[&str],
) -> Vec<DescribeConfigsResourceResult> {
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configuration_keys: Some(keys.iter().map(|key| (*key).into()).collect()),
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        include_documentation: true,
    };
    let result = broker.call(4, request).await.results.remove(0);
    assert_eq!(
        error(result.error_code),
        ErrorCode::None,
        "{:?}",
        result.error_message
    );
    result.configs
}

/// Value and source of one key.
pub async fn value(broker: &TestBroker, kind: i8, name: &str, key: &str) -> (String, i8) {
    let described = describe(broker, kind, name, &[key]).await.remove(0);
    (
        described.value.unwrap_or_default().to_string(),
        described.config_source,
    )
}

pub fn incremental(
    kind: i8,
    name: &str,
    operations: &[(&str, i8, Option<&str>)],
) -> IncrementalAlterConfigsRequest {
    use outlast_protocol::messages::incremental_alter_configs::{
        AlterConfigsResource, AlterableConfig,
    };
    let configs = operations
        .iter()
        .map(|(key, operation, value)| AlterableConfig {
            name: (*key).into(),
            config_operation: *operation,
            value: value.map(Into::into),
        });
    IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configs: configs.collect(),
        }],
        ..Default::default()
    }
}

pub async fn alter(
    broker: &TestBroker,
    kind: i8,
    name: &str,
    operations: &[(&str, i8, Option<&str>)],
) -> ErrorCode {
    let response = broker.call(1, incremental(kind, name, operations)).await;
    error(response.responses[0].error_code)
}

#[tokio::test]
async fn a_topics_keys_are_described() {
    let broker =
        TestBroker::with(&[("log.retention.hours", "1"), ("message.max.bytes", "5000")]).await;
    broker.create_topic("t", 1, &[("segment.ms", "1000")]).await;
    for (key, expect) in [
        ("segment.ms", ("1000", 1)),
        ("retention.ms", ("3600000", 4)),
        ("max.message.bytes", ("5000", 4)),
        ("cleanup.policy", ("delete", 5)),
        ("remote.storage.enable", ("false", 5)),
    ] {
        let (given, source) = value(&broker, TOPIC, "t", key).await;
        assert_eq!((given.as_str(), source), expect, "{key}");
    }
    let all = describe(&broker, TOPIC, "t", &[]).await;
    assert_eq!(all.len(), outlast_broker::TOPIC_CONFIGS.len());
    assert!(all.iter().all(|key| {
        key.documentation
            .as_ref()
            .is_some_and(|text| !text.is_empty())
    }));
    let segment = all.iter().find(|key| &*key.name == "segment.ms").unwrap();
    let synonyms: Vec<_> = segment
        .synonyms
        .iter()
        .map(|synonym| (&*synonym.name, synonym.source))
        .collect();
    assert_eq!(synonyms, [("segment.ms", 1), ("log.roll.ms", 5)]);
    assert_eq!(segment.config_type, 5, "long");
}

#[tokio::test]
async fn a_brokers_keys_are_described() {
    let broker = TestBroker::with(&[("num.partitions", "7")]).await;
    for (key, expect) in [
        ("num.partitions", ("7", 4)),
        ("node.id", ("1", 5)),
        ("log.retention.ms", ("604800000", 5)),
    ] {
        let (given, source) = value(&broker, BROKER, "1", key).await;
        assert_eq!((given.as_str(), source), expect, "{key}");
    }
    let fixed = describe(
        &broker,
        BROKER,
        "1",
        &["num.partitions", "log.retention.ms"],
    )
    .await;
    assert_eq!(
        fixed.iter().map(|key| key.read_only).collect::<Vec<_>>(),
        [true, false]
    );
    assert!(
        describe(&broker, BROKER, "", &[]).await.is_empty(),
        "nothing was set for all brokers"
    );
}

#[tokio::test]
async fn what_cannot_be_described_is_refused() {
    let broker = TestBroker::start().await;
    for (kind, name, expect) in [
        (TOPIC, "missing", ErrorCode::UnknownTopicOrPartition),
        (TOPIC, "a b", ErrorCode::InvalidTopicException),
        (BROKER, "2", ErrorCode::InvalidRequest),
        (BROKER, "one", ErrorCode::InvalidRequest),
        (8, "1", ErrorCode::InvalidRequest),
        (99, "x", ErrorCode::InvalidRequest),
    ] {
        let resource = DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configuration_keys: None,
        };
        let request = DescribeConfigsRequest {
            resources: vec![resource],
            ..Default::default()
        };
        let result = broker.call(4, request).await.results.remove(0);
        assert_eq!(error(result.error_code), expect, "{kind} {name}");
    }
}

#[tokio::test]
async fn values_are_set_deleted_appended_and_subtracted() {
    let broker = TestBroker::start().await;
    broker
        .create_topic("t", 1, &[("retention.bytes", "9")])
        .await;
    for (operation, expect, key, after) in [
        (
            ("retention.ms", SET, Some("1000")),
            ErrorCode::None,
            "retention.ms",
            "1000",
        ),
        (
            ("retention.ms", SET, Some("-2")),
            ErrorCode::InvalidConfig,
            "retention.ms",
            "1000",
        ),
        (
            ("retention.ms", DELETE, None),
            ErrorCode::None,
            "retention.ms",
            "604800000",
        ),
        (
            ("retention.ms", APPEND, Some("1")),
            ErrorCode::InvalidConfig,
            "retention.ms",
            "604800000",
        ),
        (
            ("cleanup.policy", APPEND, Some("compact")),
            ErrorCode::None,
            "cleanup.policy",
            "delete,compact",
        ),
        (
            ("cleanup.policy", SUBTRACT, Some("delete")),
            ErrorCode::None,
            "cleanup.policy",
            "compact",
        ),
        (
            ("cleanup.policy", APPEND, Some("shred")),
            ErrorCode::InvalidConfig,
            "cleanup.policy",
            "compact",
        ),
        (
            ("cleanup.polic", SET, Some("delete")),
            ErrorCode::InvalidConfig,
            "retention.bytes",
            "9",
        ),
        (
            ("retention.ms", SET, None),
            ErrorCode::InvalidRequest,
            "retention.bytes",
            "9",
        ),
        (
            ("retention.ms", 9, Some("1")),
            ErrorCode::InvalidRequest,
            "retention.bytes",
            "9",
        ),
    ] {
        let what = format!("{operation:?}");
        assert_eq!(
            alter(&broker, TOPIC, "t", &[operation]).await,
            expect,
            "{what}"
        );
        assert_eq!(value(&broker, TOPIC, "t", key).await.0, after, "{what}");
    }
    assert_eq!(
        alter(&broker, TOPIC, "missing", &[]).await,
        ErrorCode::UnknownTopicOrPartition
    );
}

#[tokio::test]
async fn a_resource_is_altered_entirely_or_not_at_all() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let operations = [
        ("retention.ms", SET, Some("5")),
        ("retention.bytes", SET, Some("x")),
    ];
    assert_eq!(
        alter(&broker, TOPIC, "t", &operations).await,
        ErrorCode::InvalidConfig
    );
    assert_eq!(value(&broker, TOPIC, "t", "retention.ms").await.1, 5);

    let mut twice = incremental(TOPIC, "t", &[("retention.ms", SET, Some("5"))]);
    twice.resources.push(twice.resources[0].clone());
    let response = broker.call(1, twice).await;
    assert!(
        response
            .responses
            .iter()
            .all(|r| error(r.error_code) == ErrorCode::InvalidRequest)
    );

    let mut only = incremental(TOPIC, "t", &[("retention.ms", SET, Some("5"))]);
    only.validate_only = true;
    assert_eq!(
        error(broker.call(1, only).await.responses[0].error_code),
        ErrorCode::None
    );
    assert_eq!(value(&broker, TOPIC, "t", "retention.ms").await.1, 5);
}

#[tokio::test]
async fn the_older_request_replaces_everything() {
    use outlast_protocol::messages::alter_configs::{AlterConfigsResource, AlterableConfig};
    let broker = TestBroker::start().await;
    broker
        .create_topic("t", 1, &[("retention.ms", "5"), ("segment.ms", "6")])
        .await;
    let config = AlterableConfig {
        name: "retention.ms".into(),
        value: Some("7".into()),
    };
    let resource = AlterConfigsResource {
        resource_type: TOPIC,
        resource_name: "t".into(),
        configs: vec![config],
    };
    let request = AlterConfigsRequest {
        resources: vec![resource],
        ..Default::default()
    };
    assert_eq!(
        error(broker.call(2, request).await.responses[0].error_code),
        ErrorCode::None
    );
    assert_eq!(
        value(&broker, TOPIC, "t", "retention.ms").await,
        ("7".to_owned(), 1)
    );
    assert_eq!(value(&broker, TOPIC, "t", "segment.ms").await.1, 5);
}

#[tokio::test]
async fn broker_defaults_act_on_topics_at_once() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    assert_eq!(
        alter(
            &broker,
            BROKER,
            "",
            &[("message.max.bytes", SET, Some("100"))]
        )
        .await,
        ErrorCode::None
    );
    assert_eq!(
        value(&broker, TOPIC, "t", "max.message.bytes").await,
        ("100".to_owned(), 3)
    );
    let answer = broker.produce("t", 0, batch(&[&"x".repeat(100)])).await;
    assert_eq!(error(answer.error_code), ErrorCode::MessageTooLarge);
    assert_eq!(
        alter(
            &broker,
            BROKER,
            "1",
            &[("message.max.bytes", SET, Some("1000"))]
        )
        .await,
        ErrorCode::None
    );
    assert_eq!(
        value(&broker, BROKER, "1", "message.max.bytes").await,
        ("1000".to_owned(), 2)
    );
    broker.put("t", 0, &[&"x".repeat(100)]).await;
    let described = describe(&broker, BROKER, "", &[]).await;
    assert_eq!(
        described.iter().map(|key| &*key.name).collect::<Vec<_>>(),
        ["message.max.bytes"]
    );
}

#[tokio::test]
async fn fixed_broker_keys_are_refused_by_name() {
    let broker = TestBroker::start().await;
    for (name, key, expect) in [
        ("1", "num.partitions", ErrorCode::InvalidRequest),
        ("1", "no.such.key", ErrorCode::InvalidConfig),
        ("1", "log.retention.ms", ErrorCode::None),
        ("2", "log.retention.ms", ErrorCode::InvalidRequest),
    ] {
        let response = broker
            .call(1, incremental(BROKER, name, &[(key, SET, Some("5"))]))
            .await;
        let result = &response.responses[0];
        assert_eq!(error(result.error_code), expect, "{name} {key}");
        if expect != ErrorCode::None && name == "1" {
            assert!(result.error_message.as_ref().unwrap().contains(key));
        }
    }
}

#[tokio::test]
async fn what_has_a_configuration_is_listed() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    for (version, types, expect) in [
        (0, &[][..], Some(vec![])),
        (1, &[], Some(vec![("1", BROKER), ("t", TOPIC)])),
        (1, &[TOPIC], Some(vec![("t", TOPIC)])),
        (1, &[16], Some(vec![])),
        (1, &[99], None),
    ] {
        let request = ListConfigResourcesRequest {
            resource_types: types.to_vec(),
        };
        let response = broker.call(version, request).await;
        let listed: Vec<_> = response
            .config_resources
            .iter()
            .map(|r| (&*r.resource_name, r.resource_type))
            .collect();
        match expect {
            Some(expect) => assert_eq!(listed, expect, "v{version} {types:?}"),
            None => assert_eq!(error(response.error_code), ErrorCode::UnsupportedVersion),
        }
    }
}
