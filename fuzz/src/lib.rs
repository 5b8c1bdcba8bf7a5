//! What the fuzz targets share.

use bytes::{Bytes, BytesMut};
use outlast_protocol::{Message, Reader, Writer};

/// Decodes bytes that may be anything. What is accepted must come back: encoding it works, and what was encoded is
/// read and written again as the same bytes.
pub fn decode_and_come_back<M: Message>(mut reader: Reader, version: i16) {
    let Ok(message) = M::decode(&mut reader, version) else {
        return;
    };
    let once = encode(&message, version);
    let mut reader = Reader::new(BytesMut::from(&*once));
    let again = M::decode(&mut reader, version).expect("what we wrote must be readable");
    reader
        .expect_end()
        .expect("all of what we wrote must be read");
    assert_eq!(
        encode(&again, version),
        once,
        "{message:?} became {again:?}"
    );
}

fn encode<M: Message>(message: &M, version: i16) -> Bytes {
    let mut writer = Writer::new();
    message
        .encode(&mut writer, version)
        .expect("what we read must be writable");
    writer
        .finish_joined()
        .expect("what we read must be writable")
}
