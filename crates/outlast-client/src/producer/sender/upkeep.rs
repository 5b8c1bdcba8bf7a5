//! What keeps a sender going beside sending: deadlines, the producer id, fresh metadata.

use std::sync::Arc;

use outlast_protocol::messages::InitProducerIdRequest;
use outlast_records::{ProducerEpoch, ProducerId};
use tokio::time::Instant;

use super::super::flow::{Batch, Identity, Origin};
use super::super::inlet::Partition;
use super::{Event, IDLE, Sender, Skip, settle};
use crate::cluster::Client;
use crate::error::ClientError;
use crate::metadata::BrokerId;

impl Sender {
    pub(super) fn expire(&mut self, index: usize, now: Instant) {
        let timeout = self.inlet.config().delivery_timeout;
        let Some(cutoff) = now.checked_sub(timeout) else {
            return;
        };
        let slot = &mut self.slots[index];
        let error = |partition: &Partition| ClientError::Timeout {
            what: format!("delivery to {}-{}", partition.topic.name, partition.index),
            after: timeout,
        };
        if slot.flow.has_retries() {
            let too_old = |batch: &Batch| batch.origin.opened < cutoff;
            for batch in slot.flow.expire(too_old) {
                settle(&self.inlet, &batch.origin, Err(error(&slot.partition)));
            }
        }
        for open in slot.partition.take_expired(cutoff) {
            let origin = Origin::from(open);
            settle(&self.inlet, &origin, Err(error(&slot.partition)));
        }
    }

    /// For errors that no partition can get around, such as a missing permission for idempotent writing.
    pub(super) fn fail_everything(&mut self, error: &ClientError, now: Instant) {
        for index in &self.active {
            let slot = &mut self.slots[*index];
            let retries = slot.flow.expire(|_| true).into_iter().map(|b| b.origin);
            let waiting = slot.partition.take_expired(now + IDLE);
            for origin in retries.chain(waiting.into_iter().map(Origin::from)) {
                settle(&self.inlet, &origin, Err(error.clone()));
            }
        }
    }

    pub(super) fn want_identity(&mut self, now: Instant) -> Skip {
        if self.identity_wanted {
            return Skip::Wait;
        }
        if let Some(when) = self.identity_after.filter(|when| *when > now) {
            return Skip::Until(when);
        }
        self.identity_wanted = true;
        self.identity = None;
        let client = self.client.clone();
        self.events.push(Box::pin(async move {
            Event::Identified(init_producer_id(&client).await)
        }));
        Skip::Wait
    }

    pub(super) fn leaders_are_doubtful(&mut self, broker: BrokerId) {
        let led = self.slots.iter().filter(|slot| slot.leader == Some(broker));
        self.stale_topics
            .extend(led.map(|slot| slot.partition.topic.name.clone()));
    }

    pub(super) fn refresh_if_stale(&mut self, now: Instant) {
        let aged = self.client.metadata_age() > self.client.config().metadata_max_age;
        if self.refreshing || self.refresh_after > now || (self.stale_topics.is_empty() && !aged) {
            return;
        }
        self.refreshing = true;
        self.stale_topics.clear();
        let client = self.client.clone();
        let names = self.inlet.topic_names();
        let create = self.inlet.config().create_topics;
        self.events.push(Box::pin(async move {
            let names = names.iter().map(String::as_str);
            let refreshed = client.refresh_topics(names, create).await;
            Event::Refreshed(refreshed.map(|_| ()))
        }));
    }

    pub(super) fn notice_metadata(&mut self) {
        let metadata = self.client.metadata();
        if Arc::ptr_eq(&metadata, &self.metadata) {
            return;
        }
        self.metadata = metadata;
        for slot in &mut self.slots {
            let partition = &slot.partition;
            slot.leader = self.metadata.leader(&partition.topic.name, partition.index);
        }
        for name in self.inlet.topic_names() {
            if let Some(info) = self.metadata.topic(&name) {
                self.inlet.add_topic(info.clone());
            }
        }
    }
}

async fn init_producer_id(client: &Client) -> Result<Identity, ClientError> {
    let request = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: i32::MAX,
        ..Default::default()
    };
    let response = client.request_any(&request).await?;
    ClientError::check(
        response.error_code,
        || "asking for a producer id".to_owned(),
        None,
    )?;
    Ok(Identity {
        id: ProducerId(response.producer_id),
        epoch: ProducerEpoch(response.producer_epoch),
    })
}
