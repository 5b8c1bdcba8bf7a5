//! A whole request frame, as a broker gets it from a socket: header, then the body that API key and version ask for.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use outlast_fuzz::decode_and_come_back;
use outlast_protocol::{ApiKey, Reader, RequestHeader, messages::*, with_apis};

fuzz_target!(|frame: &[u8]| {
    let mut reader = Reader::new(BytesMut::from(frame));
    let Ok(header) = RequestHeader::decode(&mut reader) else {
        return;
    };
    let Some(key) = ApiKey::from_code(header.api_key) else {
        return;
    };
    macro_rules! by_key {
        ($($name:ident = $code:literal: $request:ident => $response:ident,)*) => {
            match key {
                $(ApiKey::$name => decode_and_come_back::<$request>(reader, header.api_version),)*
            }
        };
    }
    with_apis!(by_key);
});
