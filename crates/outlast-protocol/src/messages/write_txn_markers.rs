//! The transaction coordinator has the leaders of partitions write the markers that end a transaction.

use crate::{Str, schema::message};

message! {
    versions 1..=2, flexible 1..;
    struct WriteTxnMarkersRequest {
        markers: Vec<WritableTxnMarker>,
    }

    struct WritableTxnMarker {
        producer_id: i64,
        producer_epoch: i16,
        transaction_result: bool,
        topics: Vec<WritableTxnMarkerTopic>,
        coordinator_epoch: i32,
        transaction_version: i8 [2.., ignorable],
    }

    struct WritableTxnMarkerTopic {
        name: Str,
        partition_indexes: Vec<i32>,
    }
}

message! {
    versions 1..=2, flexible 1..;
    struct WriteTxnMarkersResponse {
        markers: Vec<WritableTxnMarkerResult>,
    }

    struct WritableTxnMarkerResult {
        producer_id: i64,
        topics: Vec<WritableTxnMarkerTopicResult>,
    }

    struct WritableTxnMarkerTopicResult {
        name: Str,
        partitions: Vec<WritableTxnMarkerPartitionResult>,
    }

    struct WritableTxnMarkerPartitionResult {
        partition_index: i32,
        error_code: i16,
    }
}
