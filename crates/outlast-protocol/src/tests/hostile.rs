//! Bytes from someone who doesn't mean well: an error is all they may cause.

use bytes::BytesMut;

use super::{decode, encode};
use crate::{
    DecodeError, EncodeError, Message, Reader, Str, Writer,
    frame::encode_response,
    generate::{Generate, Generator},
    messages::{fetch::*, metadata::*, *},
    records::{GroupRecord, ShareStateRecord, TransactionRecord},
    with_apis,
};

fn refused<M: Message>(bytes: &[u8], version: i16) -> DecodeError {
    decode::<M>(bytes, version).unwrap_err()
}

fn invalid_length(length: i64, left: usize) -> DecodeError {
    DecodeError::InvalidLength { length, left }
}

/// An array of 2³¹−1 topics would be 100 GB: reserving that aborts the process.
#[test]
fn a_length_is_compared_with_what_is_left_before_anything_is_allocated() {
    let mut array = [0; 20];
    array[..4].copy_from_slice(&i32::MAX.to_be_bytes());
    assert_eq!(
        refused::<MetadataRequest>(&array, 0),
        invalid_length(i64::from(i32::MAX), 16)
    );
    assert_eq!(
        refused::<MetadataRequest>(b"\xff\xff\xff\xff\x0f", 12),
        invalid_length(i64::from(u32::MAX) - 1, 0)
    );
    assert_eq!(
        refused::<HeartbeatRequest>(b"\0\x03ab", 0),
        invalid_length(3, 2)
    );
    assert_eq!(
        refused::<HeartbeatRequest>(b"\x05ab", 4),
        invalid_length(4, 2)
    );
    assert_eq!(
        refused::<SaslAuthenticateRequest>(b"\0\0\0\x03ab", 0),
        invalid_length(3, 2)
    );
    assert_eq!(
        refused::<SaslAuthenticateRequest>(b"\x04ab", 2),
        invalid_length(3, 2)
    );
}

#[test]
fn negative_lengths_other_than_null_are_refused() {
    assert_eq!(
        refused::<MetadataRequest>(b"\xff\xff\xff\xfe", 1),
        invalid_length(-2, 0)
    );
    assert_eq!(
        refused::<HeartbeatRequest>(b"\x80\0ab", 0),
        invalid_length(-32768, 2)
    );
    assert_eq!(
        refused::<SaslAuthenticateRequest>(b"\x80\0\0\0", 0),
        invalid_length(i64::from(i32::MIN), 0)
    );
}

#[test]
fn null_is_refused_where_a_value_is_required() {
    assert_eq!(
        refused::<HeartbeatRequest>(b"\xff\xff", 0),
        DecodeError::UnexpectedNull
    );
    assert_eq!(
        refused::<HeartbeatRequest>(b"\0", 4),
        DecodeError::UnexpectedNull
    );
    // Null topics came with version 1.
    assert_eq!(
        refused::<MetadataRequest>(b"\xff\xff\xff\xff", 0),
        DecodeError::UnexpectedNull
    );
    assert!(decode::<MetadataRequest>(b"\xff\xff\xff\xff", 1).is_ok());
}

/// All elements fit into the frame, but as structs they would be dozens of times as large.
#[test]
fn many_tiny_elements_do_not_become_much_memory() {
    let count = 1 << 20;
    let mut frame = vec![0, 0xff, 0xff, 0, 0, 0, 0];
    frame.extend([0x81, 0x80, 0x40]);
    frame.resize(frame.len() + 3 * count, 0);
    assert_eq!(
        refused::<ProduceRequest>(&frame, 9),
        DecodeError::ArrayTooLarge { count }
    );
}

#[test]
fn a_varint_ends_within_32_bits_and_within_the_frame() {
    let mut rows = vec![(&b"\x80"[..], DecodeError::Truncated { needed: 1, left: 0 })];
    rows.push((b"\xff\xff\xff\xff\x1f", DecodeError::InvalidVarint));
    rows.push((b"\x80\x80\x80\x80\x80\x01", DecodeError::InvalidVarint));
    for (bytes, expected) in rows {
        assert_eq!(
            refused::<DeleteGroupsRequest>(bytes, 2),
            expected,
            "{bytes:x?}"
        );
    }
}

#[test]
fn text_must_be_utf_8() {
    assert_eq!(
        refused::<HeartbeatRequest>(b"\0\x02\xc3\x28", 0),
        DecodeError::InvalidUtf8
    );
}

#[test]
fn tagged_fields_ascend_and_keep_to_their_size() {
    let rows: [(&[u8], _); 7] = [
        // Unknown tags are skipped.
        (b"\x01\0\0\x01\x07\x02ab", Ok(())),
        (b"\x01\0\0\x02\x07\x02ab\x08\0", Ok(())),
        (
            b"\x01\0\0\x02\x07\0\x07\0",
            Err(DecodeError::TagOrder { tag: 7 }),
        ),
        (
            b"\x01\0\0\x02\x07\0\x03\0",
            Err(DecodeError::TagOrder { tag: 3 }),
        ),
        (
            b"\x01\0\0\x01\x07\x03ab",
            Err(DecodeError::Truncated { needed: 3, left: 2 }),
        ),
        // Many tags are announced; nothing is reserved for them.
        (
            b"\x01\0\0\xff\xff\xff\xff\x0f",
            Err(DecodeError::Truncated { needed: 1, left: 0 }),
        ),
        (
            b"\x01\0\0",
            Err(DecodeError::Truncated { needed: 1, left: 0 }),
        ),
    ];
    for (bytes, expected) in rows {
        assert_eq!(
            decode::<MetadataRequest>(bytes, 12).map(|_| ()),
            expected,
            "{bytes:x?}"
        );
    }
}

/// Tag 0 of a fetch request is the cluster id: here it is 2 bytes long and says 3, then 1.
#[test]
fn a_known_tagged_field_fills_its_size() {
    let request = FetchRequest {
        cluster_id: Some(Str::from("c")),
        ..Default::default()
    };
    let bytes = encode(&request, 12).to_vec();
    let end = bytes.len();
    assert_eq!(bytes[end - 5..], *b"\x01\0\x02\x02c");
    for (declared, rest) in [(3, &b"\x02c\0"[..]), (1, b"\x02c")] {
        let wrong = [&bytes[..end - 3], &[declared], rest].concat();
        let expected = DecodeError::TagSize {
            tag: 0,
            declared: usize::from(declared),
            actual: 2,
        };
        assert_eq!(refused::<FetchRequest>(&wrong, 12), expected);
    }
}

#[test]
fn what_follows_a_message_is_counted_and_not_an_error_by_itself() {
    let mut reader = Reader::new(BytesMut::from(&b"\0\0\0\0rest"[..]));
    assert_eq!(
        MetadataRequest::decode(&mut reader, 0),
        Ok(MetadataRequest::default())
    );
    assert_eq!(reader.expect_end(), Err(DecodeError::TrailingBytes(4)));
    assert_eq!(reader.into_rest(), "rest");
}

#[test]
fn a_message_that_its_version_cannot_carry_is_not_written() {
    let refused = |request: &MetadataRequest, version| {
        let mut writer = Writer::new();
        let error = request.encode(&mut writer, version).unwrap_err();
        assert_eq!(writer.finish(), Err(error.clone()), "the writer remembers");
        error
    };
    let no_creation = MetadataRequest {
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    let field = "allow_auto_topic_creation";
    assert_eq!(
        refused(&no_creation, 3),
        EncodeError::UnsupportedField { field, version: 3 }
    );
    let all = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    let field = "topics";
    assert_eq!(
        refused(&all, 0),
        EncodeError::UnexpectedNull { field, version: 0 }
    );
    let message = "MetadataRequest";
    assert_eq!(
        refused(&all, 14),
        EncodeError::UnsupportedVersion {
            message,
            version: 14
        }
    );
    let long = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(Str::from("x".repeat(1 << 15))),
            ..Default::default()
        }]),
        ..Default::default()
    };
    assert_eq!(refused(&long, 1), EncodeError::TooLong { length: 1 << 15 });
}

/// Large fields are linked, not copied, wherever they stand, and the length in front counts them.
#[test]
fn a_chain_is_the_same_bytes_as_one_slice() {
    let records = |length| Some(crate::Records::from(bytes::Bytes::from(vec![7; length])));
    for length in [0, 1023, 1024, 5000] {
        let response = FetchResponse {
            responses: vec![FetchableTopicResponse {
                partitions: vec![
                    PartitionData {
                        records: records(length),
                        ..Default::default()
                    };
                    3
                ],
                ..Default::default()
            }],
            ..Default::default()
        };
        let chain = encode_response(crate::ApiKey::Fetch, 12, 1, &response).unwrap();
        assert_eq!(chain.len(), if length < 1024 { 1 } else { 7 });
        let frame = chain.concat();
        assert_eq!(frame[..4], (frame.len() as u32 - 4).to_be_bytes());
        assert_eq!(frame[9..], encode(&response, 12));
        assert_eq!(decode(&frame[9..], 12), Ok(response));
    }
}

/// Decodes a frame, damaged or not, as this message; only an error is allowed to happen.
fn survive<M: Message>(bytes: &[u8], version: i16) {
    let _ = M::decode(&mut Reader::new(BytesMut::from(bytes)), version);
}

fn survive_random_and_mutated<M: Message + Generate>(random: &mut fastrand::Rng) {
    for version in M::VERSIONS {
        for _ in 0..20 {
            let length = random.usize(..64);
            let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
                .take(length)
                .collect();
            survive::<M>(&noise, version);

            let valid = encode(
                &Generator::new(random.u64(..)).message::<M>(version),
                version,
            );
            survive::<M>(&valid[..random.usize(..=valid.len())], version);
            let mut damaged = valid.to_vec();
            for _ in 0..random.usize(1..4) {
                if damaged.is_empty() {
                    break;
                }
                let at = random.usize(..damaged.len());
                let noise = random.u8(..);
                damaged[at] = random.choice([0, 1, 0x7f, 0x80, 0xff, noise]).unwrap();
            }
            survive::<M>(&damaged, version);
        }
    }
}

#[test]
fn no_bytes_make_any_message_of_any_version_panic() {
    let mut random = fastrand::Rng::with_seed(1);
    macro_rules! all {
        ($($name:ident = $code:literal: $request:ident => $response:ident,)*) => { $(
            survive_random_and_mutated::<$request>(&mut random);
            survive_random_and_mutated::<$response>(&mut random);
        )* };
    }
    with_apis!(all);
}

#[test]
fn no_bytes_make_any_record_panic() {
    let mut random = fastrand::Rng::with_seed(2);
    for _ in 0..50_000 {
        let mut bytes = || {
            let length = random.usize(..48);
            let mut bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
                .take(length)
                .collect();
            // Mostly a type or version that exists.
            bytes.splice(..length.min(2), [0, random.u8(..24)]);
            bytes::Bytes::from(bytes)
        };
        let (key, value) = (bytes(), bytes());
        let _ = GroupRecord::decode(key.clone(), Some(value.clone()));
        let _ = TransactionRecord::decode(key.clone(), Some(value.clone()));
        let _ = ShareStateRecord::decode(key, Some(value));
    }
}
