//! Control records, which a broker writes between the batches of producers: the key says of which kind, the value more
//! about it.

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
