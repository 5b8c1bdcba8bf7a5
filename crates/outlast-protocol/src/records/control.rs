//! Control records, which a broker writes between the batches of producers: the key says of which kind, the value more
//! about it.

use uuid::Uuid;

use crate::schema::message;

message! {
    versions 0..=0;
    struct ControlRecordTypeSchema {
        r#type: i16,
    }
}

message! {
    versions 0..=0;
    struct EndTxnMarker {
        coordinator_epoch: i32,
    }
}

message! {
    versions 0..=1, flexible 0..;
    struct LeaderChangeMessage {
        version: i16,
        leader_id: i32,
        voters: Vec<Voter>,
        granting_voters: Vec<Voter>,
    }

    struct Voter {
        voter_id: i32,
        voter_directory_id: Uuid [1..],
    }
}
