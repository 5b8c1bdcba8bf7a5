//! Damaged requests of every API in every version: an answer or a closed connection, never a panic, never memory.

#[path = "../server/harness.rs"]
mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use harness::{PATIENCE, PRODUCE, TestServer, framed, produce};
use outlast_protocol::frame::encode_request;
use outlast_protocol::generate::Generator;
use outlast_protocol::messages::*;
use outlast_protocol::{ApiKey, Request, RequestHeader, with_apis};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const SEED: u64 = 42;
const ROUNDS: usize = 12;

macro_rules! requests {
    ($($api:ident = $code:literal: $request:ident => $response:ident,)*) => {
        /// A request without its length, with valid but arbitrary content.
        fn request(key: ApiKey, version: i16, generator: &mut Generator) -> Option<Vec<u8>> {
            match key {
                $(ApiKey::$api => flat(version, &generator.message::<$request>(version)),)*
            }
        }
    };
}
with_apis!(requests);

fn flat<R: Request>(version: i16, request: &R) -> Option<Vec<u8>> {
    let header = RequestHeader {
        api_key: R::KEY.code(),
        api_version: version,
        correlation_id: 7,
        client_id: None,
    };
    let frame = encode_request(&header, request).ok()?.concat();
    Some(frame[4..].to_vec())
}

/// Ways to damage a request; the header's key and version stay, so that the damage reaches its decoder.
fn damaged(request: &[u8], random: &mut fastrand::Rng) -> Vec<Vec<u8>> {
    const HEADER: usize = 10;
    let mut all = vec![request.to_vec()];
    let body = request.len().saturating_sub(HEADER).max(1);
    for _ in 0..ROUNDS {
        all.push(request[..(HEADER + random.usize(..body)).min(request.len())].to_vec());
        let mut flipped = request.to_vec();
        for _ in 0..4 {
            if let Some(byte) = flipped.get_mut(HEADER + random.usize(..body)) {
                *byte ^= 1 << random.u8(..8);
            }
        }
        all.push(flipped);
        // Lengths of two and four bytes, and as a varint, that promise what isn't there.
        for huge in [
            &[0x7f, 0xff][..],
            &[0x7f, 0xff, 0xff, 0xff],
            &[0xff, 0xff, 0xff, 0xff, 0x07],
        ] {
            let mut promising = request.to_vec();
            let at = (HEADER + random.usize(..body)).min(request.len());
            let end = (at + huge.len()).min(request.len());
            promising.splice(at..end, huge.iter().copied());
            all.push(promising);
        }
    }
    let mut longer = request.to_vec();
    longer.extend(std::iter::repeat_with(|| random.u8(..)).take(50));
    all.push(longer);
    all
}

/// Resident memory in MiB, by `/proc/self/status`.
fn memory(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .unwrap();
    line.split_whitespace()
        .next()
        .unwrap()
        .parse::<usize>()
        .unwrap()
        / 1024
}

/// True when there was an answer before the connection ended.
async fn send(server: &TestServer, bytes: &[u8]) -> bool {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // The server may close before everything is sent.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let ended = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    let _ = ended.expect("an answer or a close");
    !answer.is_empty()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_requests_harm_nobody() {
    let panics = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&panics);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        seen.fetch_add(1, Ordering::Relaxed);
        before(info);
    }));
    let server = TestServer::start(|config| {
        // Arbitrary waits of arbitrary requests end here.
        config.limits.abandon_after = Duration::from_millis(40);
    })
    .await;
    let mut good = server.client().await;
    good.create_topic("good").await;
    good.call(PRODUCE, &produce("good", 100)).await;

    let mut random = fastrand::Rng::with_seed(SEED);
    let mut generator = Generator::new(SEED);
    let (resident, mut sent, mut answered) = (memory("VmRSS:"), 0, 0);
    for key in ApiKey::ALL {
        for version in key.valid_versions() {
            let Some(request) = request(*key, version, &mut generator) else {
                continue;
            };
            let frames = damaged(&request, &mut random);
            sent += frames.len();
            let sending = frames.iter().map(|frame| {
                let server = &server;
                async move { send(server, &framed(frame)).await }
            });
            let answers = futures_util::future::join_all(sending).await;
            answered += answers.into_iter().filter(|answered| *answered).count();
            assert_eq!(
                panics.load(Ordering::Relaxed),
                0,
                "seed {SEED}, {key:?} v{version}"
            );
        }
    }
    for length in 0..64 {
        let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
            .take(length)
            .collect();
        send(&server, &framed(&noise)).await;
        send(&server, &noise).await;
    }

    let response = good.call(PRODUCE, &produce("good", 100)).await;
    assert_eq!(
        response.responses[0].partition_responses[0].base_offset, 1,
        "the others were not harmed"
    );
    let grown = memory("VmHWM:").saturating_sub(resident);
    assert!(
        grown < 128,
        "{grown} MiB more at the peak, after {sent} frames"
    );
    assert_eq!(panics.load(Ordering::Relaxed), 0);
    // Both kinds of outcome, or the damage isn't what it should be.
    let closed = sent - answered;
    assert!(
        answered > sent / 20 && closed > sent / 4,
        "{answered} answers to {sent} frames"
    );
}
