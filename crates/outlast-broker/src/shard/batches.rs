//! Records of a state machine as record batches, ready for the log.

use outlast_protocol::EncodeError;
use outlast_records::{
    BatchBuilder, BatchError, CheckedBatch, Compression, NewRecord, Sequence, Timestamp,
};
use thiserror::Error;

use super::{Form, Machine};

/// A batch is closed when it has reached this size, so that a reader needs little memory at a time.
const BATCH_BYTES: usize = 256 * 1024;

#[derive(Debug, Error)]
pub(super) enum BatchesError {
    #[error(transparent)]
    Record(#[from] EncodeError),
    #[error(transparent)]
    Batch(#[from] BatchError),
}

pub(super) fn batches<M: Machine>(
    records: impl IntoIterator<Item = M::Record>,
    now: Timestamp,
) -> Result<Vec<CheckedBatch>, BatchesError> {
    let mut batches = Vec::new();
    let mut form = Form::Plain;
    let mut builder = BatchBuilder::new(Compression::None);
    for record in records {
        let own = M::form(&record);
        if own != form {
            if !builder.is_empty() {
                batches.push(builder.build()?);
            }
            form = own;
            builder = builder_of(form);
        }
        if let Form::End(producer, epoch, marker) = form {
            batches.push(BatchBuilder::end_txn_marker(marker, producer, epoch, now));
            continue;
        }
        let (key, value) = M::encode(&record)?;
        builder.append(NewRecord {
            timestamp: now,
            key: Some(&key),
            value: value.as_deref(),
            headers: &[],
        });
        if builder.uncompressed_size() >= BATCH_BYTES {
            let full = std::mem::replace(&mut builder, builder_of(form));
            batches.push(full.build()?);
        }
    }
    if !builder.is_empty() {
        batches.push(builder.build()?);
    }
    Ok(batches)
}

fn builder_of(form: Form) -> BatchBuilder {
    let builder = BatchBuilder::new(Compression::None);
    match form {
        Form::InTransaction(producer, epoch) => builder
            .producer(producer, epoch, Sequence::NONE)
            .transactional(),
        Form::Plain | Form::End(..) => builder,
    }
}
