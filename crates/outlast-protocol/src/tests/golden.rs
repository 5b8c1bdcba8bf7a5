//! Bytes that were not made by this program, or were approved by another one.

use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use super::{decode, encode};
use crate::{
    ApiKey, DecodeError, ErrorCode, Message, RequestHeader, Str,
    frame::{decode_response, encode_request, encode_response},
    messages::{
        ApiVersionsRequest, ApiVersionsResponse, FetchRequest, InitProducerIdRequest,
        MetadataRequest, ProduceRequest, api_versions::ApiVersion, fetch::*, produce::*,
    },
    records::{
        ConsumerProtocolSubscription, GroupRecord, OffsetCommitKey, OffsetCommitValue, RecordKey,
        TransactionRecord, consumer_protocol::TopicPartition,
    },
};

/// Checks that the message is written as these bytes and read from them.
fn check<M: Message>(message: M, version: i16, bytes: &[u8]) {
    assert_eq!(encode(&message, version), bytes, "{}", M::NAME);
    assert_eq!(decode(bytes, version), Ok(message));
}

#[test]
fn metadata_requests_for_all_topics_and_for_none_differ_by_version() {
    let all = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    let none = MetadataRequest::default();
    check(none.clone(), 0, b"\0\0\0\0");
    check(all.clone(), 1, b"\xff\xff\xff\xff");
    check(none.clone(), 1, b"\0\0\0\0");
    check(all, 12, b"\0\x01\0\0");
    check(none, 12, b"\x01\x01\0\0");
}

#[test]
fn a_topic_is_named_by_id_from_produce_13_on() {
    let request = |name: &'static str, topic_id| ProduceRequest {
        transactional_id: None,
        acks: -1,
        timeout_ms: 1500,
        topic_data: vec![TopicProduceData {
            name: Str::from_static(name),
            topic_id,
            partition_data: vec![PartitionProduceData {
                index: 7,
                records: Some(BytesMut::from(&b"batch"[..])),
            }],
        }],
    };
    check(
        request("logs", Uuid::nil()),
        3,
        b"\xff\xff\xff\xff\0\0\x05\xdc\0\0\0\x01\0\x04logs\0\0\0\x01\0\0\0\x07\0\0\0\x05batch",
    );
    check(
        request("logs", Uuid::nil()),
        9,
        b"\0\xff\xff\0\0\x05\xdc\x02\x05logs\x02\0\0\0\x07\x06batch\0\0\0",
    );
    check(
        request("", Uuid::from_u128(0x0102030405060708090a0b0c0d0e0f10)),
        13,
        b"\0\xff\xff\0\0\x05\xdc\x02\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\
          \x02\0\0\0\x07\x06batch\0\0\0",
    );
}

#[test]
fn tagged_fields_are_written_only_when_they_say_something() {
    let partition = |high_watermark| FetchTopic {
        partitions: vec![FetchPartition {
            high_watermark,
            ..Default::default()
        }],
        ..Default::default()
    };
    let request = |high_watermark| FetchRequest {
        topics: vec![partition(high_watermark)],
        ..Default::default()
    };
    let tag = b"\x01\x01\x08\0\0\0\0\0\0\0\x09";
    let silent = encode(&request(i64::MAX), 18);
    let says = encode(&request(9), 18);
    assert_eq!(says.len(), silent.len() + tag.len() - 1);
    assert!(says.windows(tag.len()).any(|window| window == tag));
    assert_eq!(decode(&says, 18), Ok(request(9)));
    // The field is ignorable: version 17 drops it.
    assert_eq!(encode(&request(9), 17), encode(&request(i64::MAX), 17));
}

#[test]
fn an_api_versions_request_of_librdkafka_is_understood() {
    let frame = b"\0\x12\0\x03\0\0\0\x01\0\x07rdkafka\0\x0blibrdkafka\x062.3.0\0";
    let mut reader = crate::Reader::new(BytesMut::from(&frame[..]));
    let header = RequestHeader::decode(&mut reader).unwrap();
    let expected = RequestHeader {
        api_key: 18,
        api_version: 3,
        correlation_id: 1,
        client_id: Some(Str::from("rdkafka")),
    };
    assert_eq!(header, expected);
    let request = ApiVersionsRequest::decode(&mut reader, 3).unwrap();
    assert_eq!(request.client_software_name, "librdkafka");
    assert_eq!(request.client_software_version, "2.3.0");
    reader.expect_end().unwrap();

    let chain = encode_request(&header, &request).unwrap();
    assert_eq!(
        chain.concat(),
        [&[0, 0, 0, frame.len() as u8], &frame[..]].concat()
    );
}

/// A broker answers a version that it doesn't know with version 0, whose header has no tagged fields either; the
/// request's header can be read whatever its version.
#[test]
fn an_unknown_version_of_api_versions_can_be_answered() {
    let frame = b"\0\x12\0\x63\0\0\0\x2a\0\x01c\0whatever";
    let mut reader = crate::Reader::new(BytesMut::from(&frame[..]));
    let header = RequestHeader::decode(&mut reader).unwrap();
    assert_eq!(header.correlation_id, 42);
    assert_eq!(
        ApiVersionsRequest::decode(&mut reader, header.api_version),
        Err(DecodeError::UnsupportedVersion {
            message: "ApiVersionsRequest",
            version: 99,
        })
    );
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: vec![ApiVersion {
            api_key: 18,
            min_version: 0,
            max_version: 4,
        }],
        ..Default::default()
    };
    let frame = encode_response(ApiKey::ApiVersions, 0, header.correlation_id, &response).unwrap();
    let expected = b"\0\0\0\x10\0\0\0\x2a\0\x23\0\0\0\x01\0\x12\0\0\0\x04";
    assert_eq!(frame.concat(), expected);
    let (header, body) =
        decode_response::<ApiVersionsRequest>(BytesMut::from(&expected[4..]), 0).unwrap();
    assert_eq!((header.correlation_id, body), (42, response));
}

#[test]
fn header_versions_follow_the_flexible_versions() {
    let rows = [
        (ApiKey::Produce, 8, 1, 0),
        (ApiKey::Produce, 9, 2, 1),
        (ApiKey::ApiVersions, 2, 1, 0),
        (ApiKey::ApiVersions, 3, 2, 0),
        (ApiKey::SaslHandshake, 1, 1, 0),
        (ApiKey::OffsetDelete, 0, 1, 0),
        (ApiKey::ShareFetch, 1, 2, 1),
    ];
    for (key, version, request, response) in rows {
        assert_eq!(
            key.request_header_version(version),
            request,
            "{key} {version}"
        );
        assert_eq!(
            key.response_header_version(version),
            response,
            "{key} {version}"
        );
    }
}

#[test]
fn unfinished_and_ancient_versions_are_told_apart() {
    assert_eq!(ApiKey::InitProducerId.valid_versions(), 0..=6);
    assert_eq!(ApiKey::InitProducerId.stable_versions(), 0..=5);
    assert!(decode::<InitProducerIdRequest>(b"", 7).is_err());
    assert_eq!(
        ApiKey::Fetch.valid_versions(),
        ApiKey::Fetch.stable_versions()
    );
    assert_eq!(ApiKey::Produce.valid_versions(), 3..=13);
    assert_eq!(ApiKey::Produce.advertised_min_version(3), 0);
    assert_eq!(ApiKey::Fetch.advertised_min_version(4), 4);
    assert_eq!(ApiKey::from_code(4), None, "Kafka 4.0 removed it");
    for &key in ApiKey::ALL {
        assert_eq!(ApiKey::from_code(key.code()), Some(key));
    }
}

#[test]
fn error_codes_have_kafkas_numbers_and_names() {
    let rows = [
        (-1, "UNKNOWN_SERVER_ERROR", false),
        (0, "NONE", false),
        (3, "UNKNOWN_TOPIC_OR_PARTITION", true),
        (6, "NOT_LEADER_OR_FOLLOWER", true),
        (45, "OUT_OF_ORDER_SEQUENCE_NUMBER", false),
        (133, "SHARE_SESSION_LIMIT_REACHED", true),
    ];
    for (code, name, retriable) in rows {
        let error = ErrorCode::from_code(code).unwrap();
        assert_eq!(
            (error.code(), error.name(), error.retriable()),
            (code, name, retriable)
        );
    }
    assert_eq!(ErrorCode::from_code(134), None);
    let codes: Vec<i16> = ErrorCode::ALL.iter().map(|error| error.code()).collect();
    assert_eq!(codes, (-1..=133).collect::<Vec<_>>());
}

#[test]
fn keys_begin_with_their_type_and_values_with_their_version() {
    let key = OffsetCommitKey {
        group: Str::from("g"),
        topic: Str::from("t"),
        partition: 2,
    };
    let value = OffsetCommitValue {
        offset: 5,
        leader_epoch: 1,
        metadata: Str::from("m"),
        commit_timestamp: 3,
        ..Default::default()
    };
    let key_bytes = key.to_key_bytes().unwrap();
    assert_eq!(key_bytes, &b"\0\x01\0\x01g\0\x01t\0\0\0\x02"[..]);
    let value_bytes = value.to_versioned_bytes(3).unwrap();
    assert_eq!(
        value_bytes,
        &b"\0\x03\0\0\0\0\0\0\0\x05\0\0\0\x01\0\x01m\0\0\0\0\0\0\0\x03"[..]
    );
    assert_eq!(
        GroupRecord::decode(key_bytes.clone(), Some(value_bytes.clone())),
        Ok(GroupRecord::OffsetCommit(key.clone(), Some(value)))
    );
    assert_eq!(
        GroupRecord::decode(key_bytes.clone(), None),
        Ok(GroupRecord::OffsetCommit(key, None))
    );
    assert_eq!(
        TransactionRecord::decode(key_bytes, Some(value_bytes)),
        Ok(TransactionRecord::Unknown(1))
    );
}

#[test]
fn a_subscription_of_a_later_version_is_read_as_the_last_known() {
    let version_3 = b"\0\x03\0\0\0\x01\0\x01t\xff\xff\xff\xff\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x04\0\0\0\x09\0\x01r";
    let expected = ConsumerProtocolSubscription {
        topics: vec![Str::from("t")],
        user_data: None,
        owned_partitions: vec![TopicPartition {
            topic: Str::from("t"),
            partitions: vec![4],
        }],
        generation_id: 9,
        rack_id: Some(Str::from("r")),
    };
    assert_eq!(expected.to_versioned_bytes(3).unwrap(), &version_3[..]);
    let later = [&b"\0\x07"[..], &version_3[2..], b"and more"].concat();
    let read = ConsumerProtocolSubscription::from_versioned_bytes_or_newer;
    assert_eq!(read(Bytes::from(later.clone())), Ok(expected));
    assert!(ConsumerProtocolSubscription::from_versioned_bytes(Bytes::from(later)).is_err());
}

/// `golden.txt` covers the versions that the oracle crate doesn't know.
#[test]
fn bytes_that_kafka_approved_come_back_unchanged() {
    let mut lines = 0;
    for line in include_str!("golden.txt").lines() {
        if line.starts_with('#') {
            continue;
        }
        lines += 1;
        let [name, version, hex] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let bytes: Vec<u8> = (0..hex.len() / 2)
            .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
            .collect();
        reproduce(name, version.parse().unwrap(), &bytes);
    }
    assert_eq!(lines, 86);
}

fn reproduce(name: &str, version: i16, bytes: &[u8]) {
    fn again<M: Message>(bytes: &[u8], version: i16) {
        let mut reader = crate::Reader::new(BytesMut::from(bytes));
        let message = M::decode(&mut reader, version)
            .unwrap_or_else(|error| panic!("{} version {version}: {error}", M::NAME));
        reader.expect_end().unwrap();
        assert_eq!(
            encode(&message, version),
            bytes,
            "{} version {version}",
            M::NAME
        );
    }
    macro_rules! by_name {
        ($($type:ident),* $(,)?) => {
            match name {
                $(stringify!($type) => again::<$type>(bytes, version),)*
                _ => panic!("{name} is not listed"),
            }
        };
    }
    use crate::{messages::*, records::*};
    by_name!(
        AddRaftVoterRequest,
        AddRaftVoterResponse,
        ConsumerGroupCurrentMemberAssignmentKey,
        ConsumerGroupCurrentMemberAssignmentValue,
        ConsumerGroupMemberMetadataKey,
        ConsumerGroupMemberMetadataValue,
        ConsumerGroupMetadataKey,
        ConsumerGroupMetadataValue,
        ConsumerGroupPartitionMetadataKey,
        ConsumerGroupPartitionMetadataValue,
        ConsumerGroupRegularExpressionKey,
        ConsumerGroupRegularExpressionValue,
        ConsumerGroupTargetAssignmentMemberKey,
        ConsumerGroupTargetAssignmentMemberValue,
        ConsumerGroupTargetAssignmentMetadataKey,
        ConsumerGroupTargetAssignmentMetadataValue,
        ControlRecordTypeSchema,
        DescribeLogDirsRequest,
        DescribeLogDirsResponse,
        DescribeShareGroupOffsetsRequest,
        DescribeShareGroupOffsetsResponse,
        GroupMetadataKey,
        GroupMetadataValue,
        InitProducerIdRequest,
        InitProducerIdResponse,
        ListOffsetsRequest,
        ListOffsetsResponse,
        OffsetCommitKey,
        OffsetCommitRequest,
        OffsetCommitResponse,
        OffsetCommitValue,
        OffsetFetchRequest,
        OffsetFetchResponse,
        ReadShareGroupStateSummaryRequest,
        ReadShareGroupStateSummaryResponse,
        ShareAcknowledgeRequest,
        ShareAcknowledgeResponse,
        ShareFetchRequest,
        ShareFetchResponse,
        ShareGroupCurrentMemberAssignmentKey,
        ShareGroupCurrentMemberAssignmentValue,
        ShareGroupMemberMetadataKey,
        ShareGroupMemberMetadataValue,
        ShareGroupMetadataKey,
        ShareGroupMetadataValue,
        ShareGroupStatePartitionMetadataKey,
        ShareGroupStatePartitionMetadataValue,
        ShareGroupTargetAssignmentMemberKey,
        ShareGroupTargetAssignmentMemberValue,
        ShareGroupTargetAssignmentMetadataKey,
        ShareGroupTargetAssignmentMetadataValue,
        ShareSnapshotKey,
        ShareSnapshotValue,
        ShareUpdateKey,
        ShareUpdateValue,
        StreamsGroupCurrentMemberAssignmentKey,
        StreamsGroupCurrentMemberAssignmentValue,
        StreamsGroupDescribeRequest,
        StreamsGroupDescribeResponse,
        StreamsGroupHeartbeatRequest,
        StreamsGroupHeartbeatResponse,
        StreamsGroupMemberMetadataKey,
        StreamsGroupMemberMetadataValue,
        StreamsGroupMetadataKey,
        StreamsGroupMetadataValue,
        StreamsGroupTargetAssignmentMemberKey,
        StreamsGroupTargetAssignmentMemberValue,
        StreamsGroupTargetAssignmentMetadataKey,
        StreamsGroupTargetAssignmentMetadataValue,
        StreamsGroupTopologyKey,
        StreamsGroupTopologyValue,
        TransactionLogKey,
        TransactionLogValue,
        WriteShareGroupStateRequest,
        WriteShareGroupStateResponse,
        WriteTxnMarkersRequest,
        WriteTxnMarkersResponse,
    );
}
