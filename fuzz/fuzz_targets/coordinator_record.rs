//! Records of the internal topics and the consumers' part of the classic group protocol: the first byte says how
//! long the key is, the rest is the value.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use outlast_protocol::{
    Message,
    records::{
        ConsumerProtocolAssignment, ConsumerProtocolSubscription, GroupRecord, ShareStateRecord,
        TransactionRecord,
    },
};

fuzz_target!(|bytes: &[u8]| {
    let Some((&key_length, rest)) = bytes.split_first() else {
        return;
    };
    let (key, value) = rest.split_at(usize::from(key_length).min(rest.len()));
    let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    let _ = GroupRecord::decode(key.clone(), Some(value.clone()));
    let _ = TransactionRecord::decode(key.clone(), Some(value.clone()));
    let _ = ShareStateRecord::decode(key, Some(value.clone()));
    let _ = ConsumerProtocolSubscription::from_versioned_bytes_or_newer(value.clone());
    let _ = ConsumerProtocolAssignment::from_versioned_bytes_or_newer(value);
});
