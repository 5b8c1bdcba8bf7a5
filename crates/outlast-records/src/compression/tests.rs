use super::*;
use crate::{BatchBuilder, CheckedBatch, NewRecord, RecordSet};

const CODECS: [Compression; 4] = [
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

fn compressed(codec: Compression, input: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    codec.compress(input, None, &mut out);
    out
}

/// Text-like: compresses, but not to nothing.
fn sample(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i * i / 7 % 61) as u8 + b' ').collect()
}

#[test]
fn round_trip_at_block_borders() {
    for codec in CODECS {
        for size in [0, 1, 32 * 1024, 32 * 1024 + 1, 64 * 1024, 200_000] {
            let input = sample(size);
            let output = codec.decompress(&compressed(codec, &input), size).unwrap();
            assert!(output == input, "{codec:?} {size}");
        }
    }
}

#[test]
fn what_grows_past_the_limit_is_refused() {
    for codec in CODECS {
        let bomb = compressed(codec, &vec![0; 10 << 20]);
        assert!(bomb.len() < 1 << 20);
        let expect = Err(Corruption::Bomb { limit: 1 << 20 }.into());
        assert_eq!(codec.decompress(&bomb, 1 << 20), expect, "{codec:?}");
        assert_eq!(codec.decompress(&bomb, 10 << 20).unwrap().len(), 10 << 20);
    }
}

#[test]
fn a_snappy_length_that_lies_allocates_nothing() {
    // Claims 2^32 - 1 bytes in a block of 6.
    let lie = [0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0x00];
    let Err(BatchError::Corrupt(Corruption::Compressed { reason, .. })) =
        Compression::Snappy.decompress(&lie, usize::MAX)
    else {
        panic!("the lie was believed");
    };
    assert!(reason.contains("grow"), "{reason}");
}

#[test]
fn bare_and_joined_snappy_are_read() {
    let input = sample(70_000);
    let bare = snap::raw::Encoder::new().compress_vec(&input).unwrap();
    assert_eq!(
        Compression::Snappy.decompress(&bare, 70_000).as_ref(),
        Ok(&input)
    );
    let mut joined = compressed(Compression::Snappy, &input);
    joined.extend_from_slice(&compressed(Compression::Snappy, b"more"));
    let output = Compression::Snappy.decompress(&joined, 70_004).unwrap();
    assert_eq!(output, [&input[..], b"more"].concat());
}

#[test]
fn cut_short_data_is_an_error_or_shorter() {
    let input = sample(5_000);
    for codec in CODECS {
        let whole = compressed(codec, &input);
        for cut in 0..whole.len() {
            if let Ok(output) = codec.decompress(&whole[..cut], input.len()) {
                assert!(input.starts_with(&output), "{codec:?} at {cut}");
            }
        }
    }
}

/// Frames of other clients: linked blocks, 4 MiB blocks, block and content checksums, content size.
#[test]
fn other_lz4_frames_are_read() {
    let input = sample(300_000);
    let frame = FrameInfo::new()
        .block_size(BlockSize::Max4MB)
        .block_mode(BlockMode::Linked)
        .block_checksums(true)
        .content_checksum(true)
        .content_size(Some(input.len() as u64));
    let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
    encoder.write_all(&input).unwrap();
    let output = Compression::Lz4.decompress(&encoder.finish().unwrap(), input.len());
    assert_eq!(output.as_ref(), Ok(&input));
}

#[test]
fn names_and_numbers_are_kafkas() {
    for (id, name) in ["none", "gzip", "snappy", "lz4", "zstd"]
        .into_iter()
        .enumerate()
    {
        let codec = Compression::from_name(name).unwrap();
        assert_eq!((codec.name(), codec.id()), (name, id as u8));
        assert_eq!(Compression::from_id(id as u8), Ok(codec));
    }
    assert_eq!(
        Compression::from_id(5),
        Err(BatchError::UnsupportedCompression { id: 5 })
    );
    assert_eq!(Compression::from_name("producer"), None);
}

#[test]
fn recompressing_keeps_the_records() {
    let mut builder = BatchBuilder::new(Compression::Gzip);
    for i in 0..50i64 {
        let value = sample(i as usize * 10);
        builder.append(NewRecord {
            value: Some(&value),
            ..NewRecord::default()
        });
    }
    let given = builder.build().unwrap();
    let payload = |batch: &CheckedBatch| {
        RecordSet::decode(batch.bytes(), 1 << 20)
            .unwrap()
            .payload()
            .to_vec()
    };
    for codec in Compression::ALL {
        let batch = given.recompress(codec, None, 1 << 20).unwrap();
        assert_eq!(batch.header().attributes.compression(), Ok(codec));
        assert_eq!(crate::check_at(batch.bytes()).as_ref(), Ok(batch.header()));
        assert_eq!(payload(&batch), payload(&given));
    }
}
