//! A response of any API and version, as a client, a link or a drill gets it from another broker: 2 bytes API key,
//! 2 bytes version, body.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use outlast_fuzz::decode_and_come_back;
use outlast_protocol::{ApiKey, Reader, messages::*, with_apis};

fuzz_target!(|bytes: &[u8]| {
    let Some(([key_high, key_low, version_high, version_low], body)) = bytes.split_first_chunk()
    else {
        return;
    };
    let Some(key) = ApiKey::from_code(i16::from_be_bytes([*key_high, *key_low])) else {
        return;
    };
    let version = i16::from_be_bytes([*version_high, *version_low]);
    let reader = Reader::new(BytesMut::from(body));
    macro_rules! by_key {
        ($($name:ident = $code:literal: $request:ident => $response:ident,)*) => {
            match key {
                $(ApiKey::$name => decode_and_come_back::<$response>(reader, version),)*
            }
        };
    }
    with_apis!(by_key);
});
