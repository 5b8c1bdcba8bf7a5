//! The durable state of queues in `__share_group_state`, in a format of our own.
//!
//! Kafka's `ShareSnapshot` and `ShareUpdate` have a state and a delivery count for each range of offsets, but no
//! locks, workers, times or reasons, and nothing of what a group has processed. The types stay clear of Kafka's.

use uuid::Uuid;

use crate::{Str, schema::message};

message! {
    versions 0..=0;
    struct QueueStateKey {
        group_id: Str,
        topic_id: Uuid,
        partition: i32,
    }
}

message! {
    versions 0..=0, flexible 0..;
    /// Changes of ranges of offsets, in order.
    struct QueueStateValue {
        // The names that `worker` counts through.
        workers: Vec<Str>,
        changes: Vec<QueueChange>,
    } tagged {
        // The queue begins anew at this offset, with nothing but the changes; −1: they add to what is there.
        0 => begins_at: i64 = -1,
    }

    struct QueueChange {
        first_offset: i64,
        last_offset: i64,
        // 1 retry, 2 acquired, 3 dying, 4 done
        state: i8,
    } tagged {
        0 => delivery_count: i16,
        // The end of the lock, or of the delay.
        1 => until: i64 = -1,
        2 => first_tried: i64 = -1,
        3 => last_tried: i64 = -1,
        // Who tried last; −1: nobody did.
        4 => worker: i32 = -1,
        // 0 limit, 1 rejected, 2 expired, 3 undecodable
        5 => reason: i8,
        // Hashes of the message ids of all offsets, where the group deduplicates; nil for a message without one.
        6 => ids: Vec<Uuid>,
    }
}

message! {
    versions 0..=0;
    struct QueueLedgerKey {
        group_id: Str,
    }
}

message! {
    versions 0..=0, flexible 0..;
    /// Message ids that a group has processed, oldest first.
    struct QueueLedgerValue {
        // How many of those before, the newest, were still known. The others are forgotten.
        kept: i32,
        processed: Vec<ProcessedIds>,
    }

    struct ProcessedIds {
        timestamp: i64,
        ids: Vec<Uuid>,
    }
}
