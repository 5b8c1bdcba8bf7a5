//! Reads the topics out of a consumer's subscription, which the coordinator otherwise treats as
//! opaque bytes.
//!
//! Every version of the consumer protocol starts with the fields of version 0: version, topic names,
//! user data. Only the first two are read, so any present or future version will do.

use std::collections::BTreeSet;

use bytes::{Buf, Bytes};
use outlast_protocol::Str;

/// The protocol type of consumers, as opposed to e.g. `connect`.
pub(super) const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// `None` when the bytes are not a subscription.
pub(super) fn subscribed_topics(mut metadata: Bytes) -> Option<BTreeSet<Str>> {
    let version = metadata.try_get_i16().ok()?;
    if version < 0 {
        return None;
    }
    let count = usize::try_from(metadata.try_get_i32().ok()?).ok()?;
    let mut topics = BTreeSet::new();
    for _ in 0..count {
        let length = usize::try_from(metadata.try_get_i16().ok()?).ok()?;
        if metadata.remaining() < length {
            return None;
        }
        let name = metadata.split_to(length);
        topics.insert(Str::from(std::str::from_utf8(&name).ok()?));
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(metadata: &[u8], expect: Option<&[&str]>) {
        let topics = subscribed_topics(Bytes::copy_from_slice(metadata));
        let expect = expect.map(|names| names.iter().map(|n| Str::from(*n)).collect());
        assert_eq!(topics, expect, "{metadata:?}");
    }

    #[test]
    fn topics_are_read_from_any_version() {
        check(b"\0\0\0\0\0\0\xff\xff\xff\xff", Some(&[]));
        check(b"\0\0\0\0\0\x01\0\x01a\xff\xff\xff\xff", Some(&["a"]));
        check(
            b"\0\x03\0\0\0\x02\0\x01a\0\x02bc-and-more",
            Some(&["a", "bc"]),
        );
    }

    #[test]
    fn what_is_no_subscription_is_refused() {
        check(b"", None);
        check(b"\xff\xff\0\0\0\0", None);
        check(b"\0\0\xff\xff\xff\xff", None);
        check(b"\0\0\x7f\xff\xff\xff\0\x01a", None);
        check(b"\0\0\0\0\0\x01\xff\xff", None);
        check(b"\0\0\0\0\0\x01\0\x09a", None);
        check(b"\0\0\0\0\0\x01\0\x01\xff", None);
    }
}
