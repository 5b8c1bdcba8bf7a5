//! Ids for idempotent producers, handed out from durable blocks.
//!
//! A block is recorded in the metadata log before the first of its ids is given to anybody, so that no id is given twice,
//! whatever crashes. What is left of a block at the end of the process is never used.

use std::ops::Range;
use std::sync::Arc;

use outlast_protocol::ErrorCode;
use outlast_records::ProducerId;
use tokio::sync::Mutex;

use crate::broker::Broker;
use crate::error::ApiError;
use crate::metadata::MetadataRecord;

const BLOCK: i64 = 1000;

#[derive(Default)]
pub struct ProducerIds(Mutex<Range<i64>>);

impl ProducerIds {
    pub async fn next(&self, broker: &Arc<Broker>) -> Result<ProducerId, ApiError> {
        let mut block = self.0.lock().await;
        if block.is_empty() {
            *block = reserve(broker).await?;
        }
        block
            .next()
            .map(ProducerId)
            .ok_or_else(|| ErrorCode::UnknownServerError.into())
    }
}

async fn reserve(broker: &Arc<Broker>) -> Result<Range<i64>, ApiError> {
    broker
        .change(|image| {
            let first = image.next_producer_id;
            let next = first.saturating_add(BLOCK);
            (vec![MetadataRecord::ProducerIds { next }], first..next)
        })
        .await
}
