//! Topics, their configuration, broker configuration and producer-id blocks: a log, and the image it folds to.
//!
//! A change is decided on the current image, written, and answered only once its records are durable; changes follow one
//! another. Readers take the current image and never wait.

mod image;
mod log;
mod record;

use std::sync::Arc;

use arc_swap::ArcSwap;
use outlast_records::PartitionId;
use outlast_storage::{Clock, Store};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::error::{ApiError, BrokerError};
pub use image::{MetadataImage, TopicImage};
use log::MetadataLog;
pub use record::{MetadataRecord, MetadataRecordError};

/// The metadata log's place in the store: the id that Kafka gives `__cluster_metadata`.
pub const METADATA_PARTITION: PartitionId = PartitionId {
    topic: Uuid::from_u128(1),
    index: 0,
};

pub struct Metadata {
    image: ArcSwap<MetadataImage>,
    /// Held from the decision to the new image, so that every decision sees all changes before it.
    log: Mutex<MetadataLog>,
}

/// What the log held when the broker opened.
pub struct Replayed {
    pub metadata: Metadata,
    /// Topics whose removal is in the log: what is left of them in the store may go.
    pub removed_topics: Vec<Uuid>,
}

impl Metadata {
    /// Reads the log; blocks while it does.
    pub fn open(store: Store, clock: Arc<dyn Clock>) -> Result<Replayed, BrokerError> {
        let log = MetadataLog::new(store, clock);
        let (image, removed_topics) = log.replay()?;
        let metadata = Self {
            image: ArcSwap::from_pointee(image),
            log: Mutex::new(log),
        };
        Ok(Replayed {
            metadata,
            removed_topics,
        })
    }

    pub fn image(&self) -> Arc<MetadataImage> {
        self.image.load_full()
    }

    /// Decides on a change and makes it durable. `publish` is called with the image before and after while no other
    /// change can come between.
    ///
    /// Must run to its end: dropped halfway, the log would be ahead of the image. The broker gives it a task of its own.
    pub async fn change<T>(
        &self,
        decide: impl FnOnce(&MetadataImage) -> (Vec<MetadataRecord>, T),
        publish: impl FnOnce(&MetadataImage, &MetadataImage),
    ) -> Result<T, ApiError> {
        let mut log = self.log.lock().await;
        let before = self.image.load_full();
        let (records, outcome) = decide(&before);
        if records.is_empty() {
            return Ok(outcome);
        }
        log.append(&records).await?;
        let mut after = MetadataImage::clone(&before);
        records.iter().for_each(|record| after.apply(record));
        let after = Arc::new(after);
        self.image.store(after.clone());
        publish(&before, &after);
        log.snapshot_when_due(&after).await;
        Ok(outcome)
    }
}
