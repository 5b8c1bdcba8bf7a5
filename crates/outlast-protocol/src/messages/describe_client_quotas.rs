//! Lists quotas of users, clients and addresses.

use crate::{Str, schema::message};

message! {
    versions 0..=1, flexible 1..;
    struct DescribeClientQuotasRequest {
        components: Vec<ComponentData>,
        strict: bool,
    }

    struct ComponentData {
        entity_type: Str,
        match_type: i8,
        r#match: Option<Str>,
    }
}

message! {
    versions 0..=1, flexible 1..;
    struct DescribeClientQuotasResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str>,
        entries: Option<Vec<EntryData>>,
    }

    struct EntryData {
        entity: Vec<EntityData>,
        values: Vec<ValueData>,
    }

    struct EntityData {
        entity_type: Str,
        entity_name: Option<Str>,
    }

    struct ValueData {
        key: Str,
        value: f64,
    }
}
