//! ApiVersions, the cluster, log directories, coordinators and metrics.

use outlast_broker::served_apis;
use outlast_protocol::messages::describe_log_dirs::DescribableLogDirTopic;
use outlast_protocol::messages::*;
use outlast_protocol::{ApiKey, ErrorCode, Reader};

use crate::harness::*;

#[tokio::test]
async fn what_is_advertised_is_what_is_served() {
    let broker = TestBroker::start().await;
    for version in 0..=4 {
        let request = ApiVersionsRequest {
            client_software_name: "test".into(),
            client_software_version: "1.0".into(),
        };
        let response = broker.call(version, request).await;
        assert_eq!(error(response.error_code), ErrorCode::None);
        assert_eq!(response.api_keys.len(), served_apis().count());
        for api in &response.api_keys {
            let key = ApiKey::from_code(api.api_key).unwrap();
            let stable = key.stable_versions();
            assert_eq!(api.max_version, *stable.end(), "{key}");
            assert_eq!(
                api.min_version,
                key.advertised_min_version(*stable.start()),
                "{key}: a floor other than Kafka's"
            );
        }
    }
    assert_eq!(&*broker.connection.software().unwrap().name, "test");
}

#[tokio::test]
async fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let broker = TestBroker::start().await;
    let mut frame = bytes::BytesMut::new();
    // key 18, version 99, correlation id 7, and a body nobody can read
    frame.extend_from_slice(&[0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff, 1, 2, 3]);
    let answer = broker
        .broker
        .handle(&broker.connection, frame)
        .await
        .unwrap()
        .unwrap();
    let answer: Vec<u8> = answer.concat();
    assert_eq!(answer[4..8], [0, 0, 0, 7], "the correlation id");
    let mut body = Reader::new(answer[8..].into());
    let response =
        <ApiVersionsResponse as outlast_protocol::Message>::decode(&mut body, 0).unwrap();
    assert_eq!(error(response.error_code), ErrorCode::UnsupportedVersion);
    let keys: Vec<_> = response
        .api_keys
        .iter()
        .map(|api| (api.api_key, api.max_version))
        .collect();
    assert_eq!(keys, [(18, 4)]);
}

#[tokio::test]
async fn a_client_that_names_itself_badly_is_told() {
    let broker = TestBroker::start().await;
    let request = ApiVersionsRequest {
        client_software_name: "a b".into(),
        client_software_version: "1".into(),
    };
    assert_eq!(
        error(broker.call(3, request).await.error_code),
        ErrorCode::InvalidRequest
    );
}

#[tokio::test]
async fn the_cluster_is_described() {
    let broker = TestBroker::with(&[("broker.rack", "r1")]).await;
    let request = DescribeClusterRequest {
        include_cluster_authorized_operations: true,
        ..Default::default()
    };
    let response = broker.call(2, request).await;
    assert_eq!(&*response.cluster_id, broker.broker.cluster_id());
    assert_eq!(response.cluster_id.len(), 22);
    assert_eq!(response.brokers[0].rack.as_deref(), Some("r1"));
    assert_eq!(response.cluster_authorized_operations, 8096);
    for (endpoint_type, expect) in [
        (2, ErrorCode::MismatchedEndpointType),
        (3, ErrorCode::UnsupportedEndpointType),
    ] {
        let request = DescribeClusterRequest {
            endpoint_type,
            ..Default::default()
        };
        assert_eq!(error(broker.call(1, request).await.error_code), expect);
    }
}

#[tokio::test]
async fn log_dirs_show_what_partitions_hold() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 2, &[]).await;
    broker.put("t", 1, &["a"]).await;
    let all = broker
        .call(4, DescribeLogDirsRequest { topics: None })
        .await;
    let topic = all.results[0]
        .topics
        .iter()
        .find(|topic| &*topic.name == "t")
        .unwrap();
    let sizes: Vec<_> = topic
        .partitions
        .iter()
        .map(|partition| partition.partition_size)
        .collect();
    assert_eq!(sizes, [0, batch(&["a"]).len() as i64]);
    let asked = DescribableLogDirTopic {
        topic: "t".into(),
        partitions: vec![1, 7],
    };
    let some = broker
        .call(
            4,
            DescribeLogDirsRequest {
                topics: Some(vec![asked]),
            },
        )
        .await;
    assert_eq!(some.results[0].topics[0].partitions.len(), 1);
}

#[tokio::test]
async fn coordinators() {
    let broker = TestBroker::start().await;
    for version in 0..=6 {
        let mut request = FindCoordinatorRequest::default();
        if version >= 4 {
            request.coordinator_keys = vec!["g".into(), "h".into()];
        } else {
            request.key = "g".into();
        }
        let response = broker.call(version, request).await;
        let nodes: Vec<_> = if version >= 4 {
            response
                .coordinators
                .iter()
                .map(|c| (c.node_id, c.error_code))
                .collect()
        } else {
            vec![(response.node_id, response.error_code); 2]
        };
        assert_eq!(nodes, [(1, 0), (1, 0)], "v{version}");
    }
    for (key_type, expect) in [(2, ErrorCode::InvalidRequest)] {
        let request = FindCoordinatorRequest {
            key_type,
            coordinator_keys: vec!["x".into()],
            ..Default::default()
        };
        let response = broker.call(6, request).await;
        let coordinator = &response.coordinators[0];
        assert_eq!(
            (error(coordinator.error_code), coordinator.node_id),
            (expect, -1)
        );
        assert!(coordinator.error_message.is_some());
    }
}

#[tokio::test]
async fn metrics_count_with_kafkas_meanings() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    broker.create_topic("gone", 1, &[]).await;
    broker.put("t", 0, &["a", "b"]).await;
    broker.put("gone", 0, &["a"]).await;
    broker.produce("t", 9, batch(&["a"])).await;
    broker.call(12, fetch_request(&[("t", 0, 0)])).await;
    let delete = DeleteTopicsRequest {
        topic_names: vec!["gone".into()],
        ..Default::default()
    };
    broker.call(5, delete).await;
    let text = broker.metrics();
    let size = batch(&["a", "b"]).len();
    for line in [
        "outlast_topic_messages_in_total{topic=\"t\"} 2".to_owned(),
        format!("outlast_topic_bytes_in_total{{topic=\"t\"}} {size}"),
        format!("outlast_topic_bytes_out_total{{topic=\"t\"}} {size}"),
        "outlast_requests_total{api=\"Produce\"} 3".to_owned(),
        "outlast_request_errors_total{api=\"Produce\",error=\"UNKNOWN_TOPIC_OR_PARTITION\"} 1"
            .to_owned(),
        "outlast_request_seconds_count{api=\"Fetch\"} 1".to_owned(),
        "outlast_partition_records{topic=\"t\",partition=\"0\"} 2".to_owned(),
        format!("outlast_partition_bytes{{topic=\"t\",partition=\"0\"}} {size}"),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("gone"), "a deleted topic leaves the metrics");
}
