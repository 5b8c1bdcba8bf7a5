use tokio::io::{AsyncWriteExt, duplex};

use super::*;

const MAX: usize = 8 * 1024 * 1024;

fn reader() -> (FrameReader, ByteBudget) {
    let budget = ByteBudget::new(MAX);
    (FrameReader::new(MAX, budget.clone()), budget)
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as i32).to_be_bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 % 251) as u8).collect()
}

#[tokio::test]
async fn frames_come_out_as_they_were_sent_however_they_are_cut() {
    let lengths = [
        0,
        1,
        3,
        4,
        5,
        4091,
        4092,
        4093,
        65_535,
        65_536,
        65_537,
        1 << 20,
        (1 << 20) + 1,
        5 << 20,
    ];
    let stream: Vec<u8> = lengths.iter().flat_map(|&n| framed(&pattern(n))).collect();
    for cut in [1usize << 12, 4095, 100_003, usize::MAX] {
        let (mut client, mut server) = duplex(1 << 17);
        let sent = stream.clone();
        let writer = tokio::spawn(async move {
            for piece in sent.chunks(cut.min(sent.len())) {
                client.write_all(piece).await.unwrap();
            }
        });
        let (mut frames, budget) = reader();
        for &length in &lengths {
            let frame = frames.next(&mut server).await.unwrap().unwrap();
            assert!(frame.bytes == pattern(length), "{length} bytes, cut {cut}");
            assert!(
                frame.bytes.capacity() <= length.max(64),
                "exactly its size: {length}"
            );
            assert_eq!(budget.used(), length);
        }
        assert!(frames.next(&mut server).await.unwrap().is_none());
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn bad_lengths_and_cut_frames_are_told_apart() {
    async fn check(bytes: &[u8], expect: &str) {
        let (mut client, mut server) = duplex(1024);
        client.write_all(bytes).await.unwrap();
        drop(client);
        let error = reader().0.next(&mut server).await.unwrap_err().to_string();
        assert_eq!(error, expect);
    }
    check(
        &(-1i32).to_be_bytes(),
        "the frame length is -1, which is negative",
    )
    .await;
    check(
        &i32::MAX.to_be_bytes(),
        "the frame length is 2147483647, more than socket.request.max.bytes = 8388608",
    )
    .await;
    let truncated = "the client closed the connection within a frame";
    check(&[0, 0], truncated).await;
    check(&[0, 0, 0, 9, 1, 2], truncated).await;
}

#[tokio::test]
async fn an_announced_length_takes_no_memory() {
    let (mut client, mut server) = duplex(1024);
    client.write_all(&(MAX as i32).to_be_bytes()).await.unwrap();
    client.write_all(b"ten bytes!").await.unwrap();
    let (mut frames, budget) = reader();
    let mut next = Box::pin(frames.next(&mut server));
    assert!(futures_util::poll!(next.as_mut()).is_pending());
    drop(next);
    let partial = frames.partial.as_ref().unwrap();
    assert_eq!(partial.bytes.len(), 10);
    assert!(partial.bytes.capacity() <= UNPERMITTED_BYTES);
    assert_eq!(budget.used(), 0);
    assert_eq!(frames.awaited_from_peer(), Some(MAX));
}

#[tokio::test]
async fn a_frame_waits_for_room_and_keeps_its_place() {
    let (mut client, mut server) = duplex(1024);
    client.write_all(&framed(b"hello")).await.unwrap();
    let (mut frames, budget) = reader();
    let all = budget.try_take(MAX).unwrap();
    for _ in 0..3 {
        let mut next = Box::pin(frames.next(&mut server));
        assert!(futures_util::poll!(next.as_mut()).is_pending());
    }
    assert_eq!(frames.awaited_from_peer(), None, "not the client's fault");
    let mut later = Box::pin(budget.take(MAX));
    assert!(futures_util::poll!(later.as_mut()).is_pending());
    drop(all);
    // The frame asked first, so it is served although somebody else wants everything.
    let frame = frames.next(&mut server).await.unwrap().unwrap();
    assert_eq!(frame.bytes, b"hello"[..]);
    drop(frame);
    later.await;
}
