//! Writes a corpus to start from: a few valid inputs for every API and version.

use std::{fs, path::Path};

use bytes::Bytes;
use outlast_protocol::{
    ApiKey, Message, RequestHeader, Writer,
    frame::encode_request,
    generate::{Generate, Generator},
    messages::*,
    with_apis,
};
use outlast_records::{BatchBuilder, Compression, NewRecord};

const SEEDS_PER_VERSION: u64 = 3;

fn main() -> std::io::Result<()> {
    macro_rules! all {
        ($($name:ident = $code:literal: $request:ident => $response:ident,)*) => { $(
            for version in <$request>::VERSIONS {
                for seed in 0..SEEDS_PER_VERSION {
                    let name = format!("{}-{version}-{seed}", stringify!($name));
                    write("request", &name, &request::<$request>(version, seed))?;
                    write("response", &name, &response::<$response>(ApiKey::$name, version, seed))?;
                }
            }
        )* };
    }
    with_apis!(all);
    for compression in [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        write("record_batch", compression.name(), &batch(compression))?;
    }
    Ok(())
}

fn request<R: outlast_protocol::Request + Generate>(version: i16, seed: u64) -> Vec<u8> {
    let header = RequestHeader {
        api_key: R::KEY.code(),
        api_version: version,
        correlation_id: 1,
        client_id: Some("fuzz".into()),
    };
    let request: R = Generator::new(seed).message(version);
    let chain = encode_request(&header, &request).expect("a generated request can be encoded");
    // The target takes a frame without its length.
    chain.concat().split_off(4)
}

fn response<M: Message + Generate>(key: ApiKey, version: i16, seed: u64) -> Vec<u8> {
    let mut writer = Writer::new();
    let response: M = Generator::new(seed).message(version);
    response
        .encode(&mut writer, version)
        .expect("a generated response can be encoded");
    let body = writer
        .finish_joined()
        .expect("a generated response can be encoded");
    [&key.code().to_be_bytes()[..], &version.to_be_bytes(), &body].concat()
}

fn batch(compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::new(compression);
    for _ in 0..3 {
        builder.append(NewRecord {
            key: Some(b"key"),
            value: Some(b"a value, a value, a value"),
            ..Default::default()
        });
    }
    builder
        .build()
        .expect("a batch of three records")
        .into_bytes()
}

fn write(target: &str, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    fs::create_dir_all(&directory)?;
    fs::write(directory.join(name), bytes)
}
