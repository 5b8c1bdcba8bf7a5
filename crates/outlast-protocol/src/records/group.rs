//! Classic groups in `__consumer_offsets`: committed offsets (of every kind of group) and the groups themselves.

use bytes::Bytes;
use uuid::Uuid;

use crate::{Str, schema::message};

message! {
    versions 0..=0;
    struct OffsetCommitKey {
        group: Str,
        topic: Str,
        partition: i32,
    }
}

message! {
    versions 0..=4, flexible 4..;
    struct OffsetCommitValue {
        offset: i64,
        leader_epoch: i32 [3.., ignorable] = -1,
        metadata: Str,
        commit_timestamp: i64,
        expire_timestamp: i64 [1, ignorable] = -1,
    } tagged {
        0 => topic_id: Uuid [4.., ignorable],
    }
}

message! {
    versions 0..=0;
    struct GroupMetadataKey {
        group: Str,
    }
}

message! {
    versions 0..=4, flexible 4..;
    struct GroupMetadataValue {
        protocol_type: Str,
        generation: i32,
        protocol: Option<Str>,
        leader: Option<Str>,
        current_state_timestamp: i64 [2.., ignorable] = -1,
        members: Vec<MemberMetadata>,
    }

    struct MemberMetadata {
        member_id: Str,
        group_instance_id: Option<Str> [3.., ignorable],
        client_id: Str,
        client_host: Str,
        rebalance_timeout: i32 [1.., ignorable] = -1,
        session_timeout: i32,
        subscription: Bytes,
        assignment: Bytes,
    }
}
