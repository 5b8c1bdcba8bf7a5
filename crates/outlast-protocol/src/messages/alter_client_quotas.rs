//! Sets and removes quotas of users, clients and addresses.

use crate::{Str, schema::message};

message! {
    versions 0..=1, flexible 1..;
    struct AlterClientQuotasRequest {
        entries: Vec<EntryData>,
        validate_only: bool,
    }

    struct EntryData {
        entity: Vec<EntityData>,
        ops: Vec<OpData>,
    }

    struct EntityData {
        entity_type: Str,
        entity_name: Option<Str>,
    }

    struct OpData {
        key: Str,
        value: f64,
        remove: bool,
    }
}

message! {
    versions 0..=1, flexible 1..;
    struct AlterClientQuotasResponse {
        throttle_time_ms: i32,
        entries: Vec<EntryDataResponse>,
    }

    /// Kafka calls this `EntryData`, like a different struct of the request.
    struct EntryDataResponse {
        error_code: i16,
        error_message: Option<Str>,
        entity: Vec<EntityData>,
    }
}
