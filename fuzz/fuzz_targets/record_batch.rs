//! Record batches: the bytes as they are, and again with a length, magic and CRC that fit, so that what lies behind
//! the check (compression, records, headers) gets its share.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use outlast_records::{HEADER_SIZE, crc32c, records, split_batches, stored_batches};

const MAX_BYTES: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    if bytes.len() >= HEADER_SIZE {
        let mut fitting = bytes.to_vec();
        let length = (bytes.len() - 12) as u32;
        fitting[8..12].copy_from_slice(&length.to_be_bytes());
        fitting[16] = 2;
        let crc = crc32c(&fitting[21..]);
        fitting[17..21].copy_from_slice(&crc.to_be_bytes());
        read(&fitting);
    }
});

fn read(bytes: &[u8]) {
    let _ = split_batches(BytesMut::from(bytes), MAX_BYTES);
    for (_, batch) in stored_batches(Bytes::copy_from_slice(bytes)).flatten() {
        if let Ok(records) = records(&batch, MAX_BYTES) {
            // An iterator that goes on after an error would go on for ever.
            for record in records.take(MAX_BYTES) {
                if record.is_err() {
                    break;
                }
            }
        }
    }
}
