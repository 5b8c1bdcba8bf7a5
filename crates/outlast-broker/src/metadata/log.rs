//! The metadata log as a partition of the store: replay, durable append, snapshot and trim.
//!
//! A snapshot is one append of records that fold to the whole image, the first of which says "forget everything before";
//! once it is durable, the log start moves to it. A crash between the two leaves both, which fold to the same image.

use std::sync::Arc;

use bytes::Bytes;
use outlast_protocol::ErrorCode;
use outlast_records::{
    BatchBuilder, CheckedBatch, Compression, LeaderEpoch, NewRecord, Offset, RecordSet,
    stored_batches,
};
use outlast_storage::{AppendSection, Clock, PartitionLog, SectionOutcome, Store};
use uuid::Uuid;

use super::METADATA_PARTITION;
use super::image::MetadataImage;
use super::record::MetadataRecord;
use crate::error::{ApiError, BrokerError};

const READ_BYTES: usize = 4 << 20;
/// A snapshot's batches are about this large.
const SNAPSHOT_BATCH_BYTES: usize = 1 << 20;
/// Metadata batches are the broker's own; this bounds what damaged ones may claim.
const MAX_DECOMPRESSED_BYTES: usize = 1 << 30;
/// Below this size nobody gains from a snapshot.
const MIN_SNAPSHOT_BYTES: u64 = 4 << 20;
/// How many times the last snapshot's size the log may become.
const GROWTH: u64 = 4;

pub(super) struct MetadataLog {
    store: Store,
    clock: Arc<dyn Clock>,
    log: Arc<PartitionLog>,
    snapshot_at_bytes: u64,
}

impl MetadataLog {
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        let log = store.log(METADATA_PARTITION);
        Self {
            store,
            clock,
            log,
            snapshot_at_bytes: MIN_SNAPSHOT_BYTES,
        }
    }

    /// The image, and the topics whose removal was replayed.
    pub fn replay(&self) -> Result<(MetadataImage, Vec<Uuid>), BrokerError> {
        let mut image = MetadataImage::default();
        let mut removed = Vec::new();
        let mut next = self.log.start_offset();
        let end = self.log.high_watermark();
        while next < end {
            let fetched = self.log.read(next, end, READ_BYTES)?;
            if fetched.next_offset <= next {
                break;
            }
            next = fetched.next_offset;
            for bytes in &fetched.batches {
                replay_batches(bytes, &mut image, &mut removed)?;
            }
        }
        Ok((image, removed))
    }

    /// Returns once the records are durable. They are one entry of the write-ahead log: all or none.
    pub async fn append(&self, records: &[MetadataRecord]) -> Result<Offset, ApiError> {
        let internal = |error: String| ApiError::new(ErrorCode::UnknownServerError, error);
        let batches = self.batches(records).map_err(internal)?;
        let section = AppendSection {
            log: self.log.clone(),
            batches,
            leader_epoch: LeaderEpoch(0),
        };
        let append = self.store.append(vec![section]);
        append.durable.await?;
        match append.sections.into_iter().next() {
            Some(SectionOutcome::Appended { base_offset, .. }) => Ok(base_offset),
            Some(SectionOutcome::Duplicate { .. } | SectionOutcome::Rejected(_)) | None => Err(
                internal("the metadata log refused its own records".to_owned()),
            ),
        }
    }

    /// A failure is only logged: the log without the snapshot is complete, and the next change tries again.
    pub async fn snapshot_when_due(&mut self, image: &MetadataImage) {
        if self.log.size_bytes() < self.snapshot_at_bytes {
            return;
        }
        let base = match self.append(&image.to_records()).await {
            Ok(base) => base,
            Err(error) => {
                tracing::warn!(?error, "no snapshot of the metadata log was written");
                return;
            }
        };
        if let Err(error) = self.store.advance_log_start(METADATA_PARTITION, base).await {
            tracing::warn!(%error, "the metadata log was not trimmed");
        }
        self.snapshot_at_bytes =
            MIN_SNAPSHOT_BYTES.max(self.log.size_bytes().saturating_mul(GROWTH));
    }

    fn batches(&self, records: &[MetadataRecord]) -> Result<Vec<CheckedBatch>, String> {
        let timestamp = self.clock.now();
        let mut batches = Vec::new();
        let mut builder = BatchBuilder::new(Compression::None);
        for record in records {
            let value = record.encode().map_err(|error| error.to_string())?;
            builder.append(NewRecord {
                timestamp,
                key: Some(&MetadataRecord::key()),
                value: Some(&value),
                headers: &[],
            });
            if builder.uncompressed_size() >= SNAPSHOT_BATCH_BYTES {
                let full = std::mem::replace(&mut builder, BatchBuilder::new(Compression::None));
                batches.push(full.build().map_err(|error| error.to_string())?);
            }
        }
        if !builder.is_empty() {
            batches.push(builder.build().map_err(|error| error.to_string())?);
        }
        Ok(batches)
    }
}

fn replay_batches(
    bytes: &Bytes,
    image: &mut MetadataImage,
    removed: &mut Vec<Uuid>,
) -> Result<(), BrokerError> {
    for batch in stored_batches(bytes.clone()) {
        let (_, batch) = batch?;
        let records = RecordSet::decode(&batch, MAX_DECOMPRESSED_BYTES)?;
        for record in records.iter() {
            let record = record?;
            let decoded = MetadataRecord::decode(record.key, record.value).map_err(|source| {
                BrokerError::MetadataRecord {
                    offset: record.offset,
                    source,
                }
            })?;
            match &decoded {
                MetadataRecord::SnapshotStart {} => removed.clear(),
                MetadataRecord::RemoveTopic { id } => removed.push(*id),
                MetadataRecord::Cluster { .. }
                | MetadataRecord::Topic { .. }
                | MetadataRecord::Partitions { .. }
                | MetadataRecord::TopicConfig { .. }
                | MetadataRecord::BrokerConfig { .. }
                | MetadataRecord::GroupConfig { .. }
                | MetadataRecord::ProducerIds { .. } => {}
            }
            image.apply(&decoded);
        }
    }
    Ok(())
}
