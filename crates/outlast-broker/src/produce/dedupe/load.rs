//! Rebuilds a partition's window from its log: after a start, when deduplication is switched on or configured anew, and
//! to catch up with what was appended by others than producers. Blocks on the disk.
//!
//! The log says when a record was appended only where the broker stamps records (LogAppendTime). Elsewhere a record's time
//! is taken to be its timestamp, but not before its file was begun and not in the future: exact for producers that stamp
//! what they send, at most one file too early for those that send times of their own.

use outlast_records::{Offset, RecordSet, Timestamp, header_at, stored_batches};
use outlast_storage::{PartitionLog, ReadError};

use super::filter;
use super::window::Window;
use crate::produce::MAX_DECOMPRESSED_BYTES;
use crate::topic_config::DedupeConfig;

const READ_BYTES: usize = 4 << 20;

struct Found {
    id: u128,
    offset: Offset,
    time: Timestamp,
}

/// The window of a log up to its high watermark.
///
/// Reads no more of the log than it needs: backwards in stretches, until the window is full or too old.
pub(super) fn window(
    log: &PartitionLog,
    config: DedupeConfig,
    now: Timestamp,
) -> Result<Window, ReadError> {
    let end = log.high_watermark();
    let cutoff = Timestamp(now.0.saturating_sub(config.window_ms));
    let begin = log.first_offset_since(cutoff);
    let mut window = Window::new(config, end);
    let (mut stretches, mut found, mut to) = (Vec::new(), 0, end);
    while to > begin && found < window.config.max_ids {
        // No record has more than one id.
        let missing = (window.config.max_ids - found).max(1 << 16);
        let from = begin.max(Offset(to.0.saturating_sub(missing as i64)));
        let stretch = ids(log, &window.config.header, from, to, now)?;
        found += stretch.len();
        stretches.push(stretch);
        to = from;
    }
    for found in stretches.into_iter().rev().flatten() {
        window.observe(found.id, found.offset, found.time);
    }
    window.expire(now);
    Ok(window)
}

/// Takes in what is in the log and the window hasn't seen.
pub(super) fn catch_up(
    window: &mut Window,
    log: &PartitionLog,
    now: Timestamp,
) -> Result<(), ReadError> {
    let end = log.high_watermark();
    let from = window.seen.max(log.start_offset());
    for found in ids(log, &window.config.header, from, end, now)? {
        window.observe(found.id, found.offset, found.time);
    }
    window.seen = window.seen.max(end);
    Ok(())
}

/// The ids of the records from `from` to below `to`. What is damaged or cannot be read as records has none.
fn ids(
    log: &PartitionLog,
    header: &str,
    from: Offset,
    to: Offset,
    now: Timestamp,
) -> Result<Vec<Found>, ReadError> {
    let mut found = Vec::new();
    let mut next = from;
    while next < to {
        let read = match log.read(next, to, READ_BYTES) {
            Ok(read) => read,
            Err(ReadError::Corrupt(damage)) => match damage.offsets {
                Some((_, after)) if after > next => {
                    next = after;
                    continue;
                }
                _ => return Err(ReadError::Corrupt(damage)),
            },
            // Retention was here meanwhile.
            Err(ReadError::OutOfRange { start, .. }) if start > next => {
                next = start;
                continue;
            }
            Err(error) => return Err(error),
        };
        if read.next_offset <= next {
            break;
        }
        let begun = log.written_after(next);
        next = read.next_offset;
        for bytes in read.batches {
            for (_, batch) in stored_batches(bytes).map_while(Result::ok) {
                collect(&batch, header, from..to, begun, now, &mut found);
            }
        }
    }
    Ok(found)
}

fn collect(
    batch: &[u8],
    header: &str,
    wanted: std::ops::Range<Offset>,
    begun: Timestamp,
    now: Timestamp,
    found: &mut Vec<Found>,
) {
    let eligible = header_at(batch).is_ok_and(|head| filter::is_eligible(head.attributes));
    let Some(set) = eligible
        .then(|| RecordSet::decode(batch, MAX_DECOMPRESSED_BYTES).ok())
        .flatten()
    else {
        return;
    };
    for record in set.iter().map_while(Result::ok) {
        if wanted.contains(&record.offset)
            && let Some(id) = filter::id_of(record.headers, header)
        {
            found.push(Found {
                id,
                offset: record.offset,
                time: record.timestamp.max(begun).min(now),
            });
        }
    }
}
