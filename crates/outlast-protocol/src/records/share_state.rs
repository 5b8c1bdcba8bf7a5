//! The durable state of share groups in `__share_group_state`: snapshots, and updates since the last one.

use uuid::Uuid;

use crate::{Str, schema::message};

message! {
    versions 0..=0;
    struct ShareSnapshotKey {
        group_id: Str,
        topic_id: Uuid,
        partition: i32,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct ShareSnapshotValue {
        snapshot_epoch: i32,
        state_epoch: i32,
        leader_epoch: i32,
        start_offset: i64,
        create_timestamp: i64,
        write_timestamp: i64,
        state_batches: Vec<StateBatch>,
    } tagged {
        0 => delivery_complete_count: i32 = -1,
    }

    struct StateBatch {
        first_offset: i64,
        last_offset: i64,
        delivery_state: i8,
        delivery_count: i16,
    }
}

message! {
    versions 0..=0;
    struct ShareUpdateKey {
        group_id: Str,
        topic_id: Uuid,
        partition: i32,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct ShareUpdateValue {
        snapshot_epoch: i32,
        leader_epoch: i32,
        start_offset: i64,
        state_batches: Vec<StateBatch>,
    } tagged {
        0 => delivery_complete_count: i32 = -1,
    }
}
