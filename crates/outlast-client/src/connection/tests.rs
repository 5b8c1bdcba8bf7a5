use outlast_protocol::frame::encode_response;
use outlast_protocol::messages::api_versions::ApiVersion;
use outlast_protocol::messages::{MetadataRequest, MetadataResponse};
use outlast_protocol::{ApiKey, Reader};
use tokio::io::DuplexStream;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// The broker's end of a connection, played by the test.
struct Broker(DuplexStream);

impl Broker {
    /// The next request's key, version and correlation id.
    async fn read(&mut self) -> (ApiKey, i16, i32) {
        let length = self.0.read_i32().await.unwrap();
        let mut frame = BytesMut::zeroed(length as usize);
        self.0.read_exact(&mut frame).await.unwrap();
        let header = RequestHeader::decode(&mut Reader::new(frame)).unwrap();
        let key = ApiKey::from_code(header.api_key).unwrap();
        (key, header.api_version, header.correlation_id)
    }

    async fn write<M: outlast_protocol::Message>(
        &mut self,
        key: ApiKey,
        version: i16,
        id: i32,
        body: &M,
    ) {
        for part in encode_response(key, version, id, body).unwrap() {
            self.0.write_all(&part).await.unwrap();
        }
    }

    async fn answer_versions(&mut self, ranges: &[(ApiKey, i16, i16)]) {
        let (key, version, id) = self.read().await;
        assert_eq!(key, ApiKey::ApiVersions);
        let response = versions_response(0, ranges);
        self.write(key, version, id, &response).await;
    }
}

fn versions_response(error_code: i16, ranges: &[(ApiKey, i16, i16)]) -> ApiVersionsResponse {
    ApiVersionsResponse {
        error_code,
        api_keys: ranges
            .iter()
            .map(|(key, min_version, max_version)| ApiVersion {
                api_key: key.code(),
                min_version: *min_version,
                max_version: *max_version,
            })
            .collect(),
        ..Default::default()
    }
}

fn config() -> ClientConfig {
    ClientConfig::new("test").unwrap()
}

async fn connect(config: &ClientConfig, ranges: &[(ApiKey, i16, i16)]) -> (Connection, Broker) {
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let (read, write) = tokio::io::split(ours);
    let mut broker = Broker(theirs);
    let connecting = Connection::over(read, write, "test".to_owned(), config);
    let (connection, ()) = tokio::join!(connecting, broker.answer_versions(ranges));
    (connection.unwrap(), broker)
}

const METADATA: [(ApiKey, i16, i16); 2] = [(ApiKey::ApiVersions, 0, 4), (ApiKey::Metadata, 0, 12)];

fn metadata(controller_id: i32) -> MetadataResponse {
    MetadataResponse {
        controller_id,
        ..Default::default()
    }
}

#[tokio::test]
async fn an_old_broker_is_asked_again_in_the_version_it_names() {
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let (read, write) = tokio::io::split(ours);
    let mut broker = Broker(theirs);
    let config = config();
    let connecting = Connection::over(read, write, "test".to_owned(), &config);
    let old_broker = async {
        let (key, _, id) = broker.read().await;
        let code = ErrorCode::UnsupportedVersion.code();
        let refusal = versions_response(code, &[(ApiKey::ApiVersions, 0, 2)]);
        broker.write(key, 0, id, &refusal).await;
        let (key, version, id) = broker.read().await;
        assert_eq!(version, 2);
        let response = versions_response(0, &METADATA);
        broker.write(key, version, id, &response).await;
    };
    let (connection, ()) = tokio::join!(connecting, old_broker);
    let connection = connection.unwrap();
    assert_eq!(connection.versions().range(ApiKey::Metadata), Some((0, 12)));
    assert_eq!(connection.versions().range(ApiKey::Produce), None);
}

#[tokio::test]
async fn requests_are_pipelined_and_answers_find_theirs() {
    let (connection, mut broker) = connect(&config(), &METADATA).await;
    let request = MetadataRequest::default();
    let first = connection.start(&request, i16::MAX).unwrap();
    let second = connection.start(&request, i16::MAX).unwrap();
    assert_eq!(first.version(), 12, "the highest that both know");
    let (key, version, first_id) = broker.read().await;
    let (_, _, second_id) = broker.read().await;
    assert_ne!(first_id, second_id);
    broker.write(key, version, first_id, &metadata(1)).await;
    broker.write(key, version, second_id, &metadata(2)).await;
    // Whoever waits, in whatever order.
    assert_eq!(second.response().await.unwrap().controller_id, 2);
    assert_eq!(first.response().await.unwrap().controller_id, 1);
}

#[tokio::test]
async fn a_dropped_request_harms_nobody() {
    let (connection, mut broker) = connect(&config(), &METADATA).await;
    let request = MetadataRequest::default();
    drop(connection.start(&request, i16::MAX).unwrap());
    let second = connection.start(&request, i16::MAX).unwrap();
    let (key, version, first_id) = broker.read().await;
    let (_, _, second_id) = broker.read().await;
    broker.write(key, version, first_id, &metadata(1)).await;
    broker.write(key, version, second_id, &metadata(2)).await;
    assert_eq!(second.response().await.unwrap().controller_id, 2);
}

#[tokio::test]
async fn everything_in_flight_fails_when_the_connection_breaks() {
    let (connection, mut broker) = connect(&config(), &METADATA).await;
    let request = MetadataRequest::default();
    let first = connection.start(&request, i16::MAX).unwrap();
    let second = connection.start(&request, i16::MAX).unwrap();
    broker.read().await;
    drop(broker);
    for in_flight in [first, second] {
        let error = in_flight.response().await.unwrap_err();
        assert!(matches!(error, ClientError::Connection { .. }), "{error}");
        assert!(error.retriable());
    }
    assert!(connection.is_closed());
    assert!(connection.start(&request, i16::MAX).is_err());
}

#[tokio::test]
async fn what_the_broker_does_not_serve_is_not_asked() {
    let (connection, _broker) = connect(&config(), &[(ApiKey::ApiVersions, 0, 4)]).await;
    let error = connection
        .request(&MetadataRequest::default())
        .await
        .unwrap_err();
    assert!(
        matches!(error, ClientError::UnsupportedApi { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn nonsense_closes_the_connection() {
    let check = async |bytes: &[u8], expect: &str| {
        let (connection, mut broker) = connect(&config(), &METADATA).await;
        let request = MetadataRequest::default();
        let in_flight = connection.start(&request, i16::MAX).unwrap();
        broker.read().await;
        broker.0.write_all(bytes).await.unwrap();
        let error = in_flight.response().await.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
        assert!(connection.is_closed());
    };
    check(b"HTTP/1.1 400 Bad Request", "is it a Kafka broker?").await;
    check(&[0xff, 0xff, 0xff, 0xff], "is it a Kafka broker?").await;
    check(&[0, 0, 0, 4, 0x7f, 0, 0, 0], "was not made").await;
    check(&[0, 0, 0, 2, 0, 0], "without correlation id").await;
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_breaks_the_connection_for_all() {
    let (connection, mut broker) = connect(&config(), &METADATA).await;
    let request = MetadataRequest::default();
    let first = connection.start(&request, i16::MAX).unwrap();
    broker.read().await;
    let error = first.response().await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
    assert!(connection.is_closed());
}
