//! What a broker demands of a batch that a client produces, over and above its integrity.
//!
//! The rules are Kafka's for message format v2. Everything that the header tells is checked on the header; the
//! records are decoded only for topics whose settings ask for it.

use bytes::BytesMut;

use crate::batch::{CheckedBatch, TimestampType, take_batch};
use crate::{BatchError, InvalidRecord, RecordSet, Timestamp};

/// The settings of a topic (and the moment) that decide whether a produced batch is taken.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ProduceRules {
    /// `max.message.bytes`: of the batch as it came, compressed.
    pub max_batch_bytes: usize,
    /// What its records may grow to when they must be decompressed.
    pub max_decompressed_bytes: usize,
    /// The topic is compacted: every record needs a key.
    pub keys_required: bool,
    /// The topic stamps records itself (`message.timestamp.type=LogAppendTime`): theirs don't matter.
    pub log_append_time: bool,
    pub now: Timestamp,
    /// `message.timestamp.before.max.ms`; `i64::MAX` = no bound.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`; `i64::MAX` = no bound.
    pub timestamp_after_max_ms: i64,
}

/// Checks what a produce request holds for one partition: exactly one whole, undamaged batch that a client may
/// write there. Its bytes are not copied and not changed.
pub fn check_produced(
    mut records: BytesMut,
    rules: &ProduceRules,
) -> Result<CheckedBatch, BatchError> {
    if records.is_empty() {
        return Err(InvalidRecord::BatchCount(0).into());
    }
    let batch = take_batch(&mut records, rules.max_batch_bytes)?;
    if !records.is_empty() {
        // Whatever follows is refused; only say "two batches" when it is one.
        take_batch(&mut records, usize::MAX)?;
        return Err(InvalidRecord::BatchCount(2).into());
    }
    check_header(&batch)?;
    check_timestamps(&batch, rules)?;
    if rules.keys_required {
        check_keys(&batch, rules)?;
    }
    Ok(batch)
}

fn check_header(batch: &CheckedBatch) -> Result<(), InvalidRecord> {
    let header = batch.header();
    if header.base_offset.0 != 0 {
        return Err(InvalidRecord::BaseOffset(header.base_offset.0));
    }
    let span = i64::from(header.last_offset_delta) + 1;
    if i64::from(header.records_count) != span {
        return Err(InvalidRecord::Count {
            count: header.records_count,
            span,
        });
    }
    if header.attributes.is_control() {
        return Err(InvalidRecord::Control);
    }
    if header.has_producer() {
        if header.base_sequence.0 < 0 {
            return Err(InvalidRecord::Sequence(header.base_sequence.0));
        }
        if header.producer_epoch.0 < 0 {
            return Err(InvalidRecord::ProducerEpoch(header.producer_epoch.0));
        }
    } else if header.attributes.is_transactional() {
        return Err(InvalidRecord::TransactionWithoutProducer);
    }
    Ok(())
}

fn check_timestamps(batch: &CheckedBatch, rules: &ProduceRules) -> Result<(), BatchError> {
    let header = batch.header();
    if header.attributes.timestamp_type() == TimestampType::LogAppendTime {
        return Err(BatchError::LogAppendTimeFromClient);
    }
    if rules.log_append_time {
        return Ok(());
    }
    rules.check_timestamp(header.max_timestamp)?;
    // The header has no smallest timestamp, so that only a topic with a lower bound pays for looking.
    if rules.timestamp_before_max_ms != i64::MAX {
        let summary = RecordSummary::of(batch.bytes(), rules.max_decompressed_bytes)?;
        if let Some(min) = summary.min_timestamp {
            rules.check_timestamp(min)?;
        }
    }
    Ok(())
}

fn check_keys(batch: &CheckedBatch, rules: &ProduceRules) -> Result<(), BatchError> {
    let summary = RecordSummary::of(batch.bytes(), rules.max_decompressed_bytes)?;
    match summary.without_key {
        indexes if indexes.is_empty() => Ok(()),
        indexes => Err(InvalidRecord::KeysMissing { indexes }.into()),
    }
}

impl ProduceRules {
    fn check_timestamp(&self, timestamp: Timestamp) -> Result<(), BatchError> {
        let earliest = Timestamp(self.now.0.saturating_sub(self.timestamp_before_max_ms));
        let latest = Timestamp(self.now.0.saturating_add(self.timestamp_after_max_ms));
        if timestamp == Timestamp::NONE || (earliest..=latest).contains(&timestamp) {
            return Ok(());
        }
        Err(BatchError::TimestampOutOfRange {
            timestamp,
            earliest,
            latest,
        })
    }
}

/// What only the records themselves can tell about a batch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecordSummary {
    pub count: usize,
    /// Of the records that have a timestamp.
    pub min_timestamp: Option<Timestamp>,
    pub max_timestamp: Option<Timestamp>,
    /// Indexes of the records with a null key.
    pub without_key: Vec<usize>,
}

impl RecordSummary {
    /// Decodes every record of the batch; an error is the first thing wrong with them.
    pub fn of(batch: &[u8], max_decompressed: usize) -> Result<Self, BatchError> {
        let mut summary = RecordSummary::default();
        for record in RecordSet::decode(batch, max_decompressed)?.iter() {
            let record = record?;
            if record.timestamp != Timestamp::NONE {
                summary.min_timestamp = match summary.min_timestamp {
                    Some(min) => Some(min.min(record.timestamp)),
                    None => Some(record.timestamp),
                };
                summary.max_timestamp = summary.max_timestamp.max(Some(record.timestamp));
            }
            if record.key.is_none() {
                summary.without_key.push(summary.count);
            }
            summary.count += 1;
        }
        Ok(summary)
    }
}

#[cfg(test)]
mod tests;
