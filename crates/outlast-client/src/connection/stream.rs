//! The two tasks of a connection: one writes frames as they are queued, one reads answers and hands them out.

use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;

use super::{Outgoing, Shared};
use crate::error::ClientError;

pub(super) async fn read_answers(
    stream: impl AsyncRead + Unpin,
    shared: Arc<Shared>,
    max_response_bytes: usize,
) {
    // Small answers come whole in one read; for large ones the buffer is bypassed.
    let mut stream = BufReader::with_capacity(16 << 10, stream);
    let why = loop {
        match read_frame(&mut stream, max_response_bytes, &shared.peer).await {
            Ok(frame) => {
                let Some(id) = frame.get(..4) else {
                    break ClientError::malformed(&shared.peer, "an answer without correlation id");
                };
                let id = i32::from_be_bytes([id[0], id[1], id[2], id[3]]);
                let Some(sender) = shared.lock().waiting.remove(&id) else {
                    break ClientError::malformed(
                        &shared.peer,
                        format!("an answer to a request that was not made (correlation id {id})"),
                    );
                };
                // The caller may have lost interest.
                let _ = sender.send(Ok(frame));
            }
            Err(why) => break why,
        }
    };
    shared.close(why);
}

async fn read_frame(
    stream: &mut (impl AsyncRead + Unpin),
    max_bytes: usize,
    peer: &str,
) -> Result<BytesMut, ClientError> {
    let length = match stream.read_i32().await {
        Ok(length) => length,
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(ClientError::disconnected(peer));
        }
        Err(e) => return Err(ClientError::connection(peer, e)),
    };
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= max_bytes)
        .ok_or_else(|| {
            ClientError::malformed(
                peer,
                format!("an answer of {length} bytes (is it a Kafka broker?)"),
            )
        })?;
    // A frame's memory is taken as its bytes arrive: a length is only a claim.
    let mut frame = BytesMut::with_capacity(length.min(1 << 20));
    let mut limited = stream.take(length as u64);
    while frame.len() < length {
        if frame.capacity() == frame.len() {
            frame.reserve((length - frame.len()).min(frame.len().max(1 << 20)));
        }
        match limited.read_buf(&mut frame).await {
            Ok(0) => return Err(ClientError::disconnected(peer)),
            Ok(_) => {}
            Err(e) => return Err(ClientError::connection(peer, e)),
        }
    }
    Ok(frame)
}

/// How many queued frames one vectored write may gather.
const GATHER: usize = 32;

pub(super) async fn write_requests(
    mut stream: impl AsyncWrite + Unpin,
    shared: Arc<Shared>,
    mut queue: mpsc::UnboundedReceiver<Outgoing>,
) {
    let mut gathered = Vec::with_capacity(GATHER);
    while queue.recv_many(&mut gathered, GATHER).await > 0 {
        let mut parts = Vec::new();
        let mut written = Vec::new();
        for outgoing in gathered.drain(..) {
            parts.extend(outgoing.frame);
            written.extend(outgoing.written);
        }
        if let Err(e) = write_all(&mut stream, parts).await {
            let why = ClientError::connection(&shared.peer, e);
            for sender in written {
                let _ = sender.send(Err(why.clone()));
            }
            shared.close(why);
            return;
        }
        for sender in written {
            let _ = sender.send(Ok(BytesMut::new()));
        }
    }
    // Nothing more will be asked; a failure here has nobody to hurt.
    let _ = stream.shutdown().await;
}

async fn write_all(
    stream: &mut (impl AsyncWrite + Unpin),
    mut parts: Vec<Bytes>,
) -> io::Result<()> {
    let mut first = 0;
    while first < parts.len() {
        if parts[first].is_empty() {
            first += 1;
            continue;
        }
        let slices: Vec<IoSlice<'_>> = parts[first..]
            .iter()
            .take(64)
            .map(|part| IoSlice::new(part))
            .collect();
        let mut written = stream.write_vectored(&slices).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while written > 0 {
            let step = written.min(parts[first].len());
            parts[first].advance(step);
            written -= step;
            if parts[first].is_empty() {
                parts[first] = Bytes::new();
                first += 1;
            }
        }
    }
    Ok(())
}
