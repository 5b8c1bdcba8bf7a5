//! What answers mean: records for the caller, offsets to begin at, and errors, each of which either heals by trying
//! again, moves the place to read from, or is the caller's to know.

use std::collections::HashMap;
use std::sync::Arc;

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::FetchResponse;
use outlast_protocol::messages::fetch::PartitionData;
use tokio::time::Instant;
use tracing::debug;

use super::super::OutOfRange;
use super::super::fetched::{Fetched, whole_batches};
use super::super::session::FetchSession;
use super::driver::Driver;
use super::{Place, Reading, State};
use crate::cluster::Client;
use crate::error::{ClientError, known_code};
use crate::metadata::{BrokerId, Metadata, TopicPartition};
use crate::offsets::{ListedOffset, OffsetSpec, PerPartition};

impl Driver {
    pub(super) fn handle_located(
        &mut self,
        asked: Vec<(TopicPartition, OffsetSpec, u64)>,
        result: &Result<PerPartition<ListedOffset>, ClientError>,
    ) {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let State {
            partitions, errors, ..
        } = &mut *state;
        for (tp, spec, generation) in asked {
            let Some(reading) = partitions
                .get_mut(&tp)
                .filter(|reading| reading.generation == generation)
            else {
                continue;
            };
            let found = match result {
                Ok(found) => found.get(&tp).cloned(),
                Err(error) => Some(Err(error.clone())),
            };
            match found {
                Some(Ok(ListedOffset {
                    offset: Some(offset),
                    ..
                })) => {
                    reading.place = Place::At(offset);
                    reading.failures = 0;
                }
                // No record is that young: begin at the end.
                Some(Ok(_)) => reading.place = Place::Unknown(OffsetSpec::Latest),
                Some(Err(error)) => {
                    reading.place = Place::Unknown(spec);
                    self.stale = true;
                    back_off(reading, &self.client);
                    if !error.retriable() {
                        errors.push_back(error);
                    }
                }
                None => reading.place = Place::Unknown(spec),
            }
        }
        drop(state);
        self.shared.ready.notify_one();
    }

    pub(super) fn handle_fetched(
        &mut self,
        broker: BrokerId,
        mut session: FetchSession,
        asked: &HashMap<TopicPartition, (u64, i64)>,
        metadata: &Metadata,
        result: Result<FetchResponse, ClientError>,
    ) -> FetchSession {
        let response = result.and_then(|response| {
            let context = || format!("fetching from broker {}", broker.0);
            ClientError::check(response.error_code, context, None).map(|()| response)
        });
        let response = match response {
            Ok(response) => response,
            Err(error) => {
                session.reset();
                self.stale = true;
                if error.code().is_some_and(FetchSession::is_lost) {
                    return session;
                }
                debug!(broker = broker.0, %error, "a fetch failed");
                let failures = self
                    .broker_not_before
                    .get(&broker)
                    .map_or(1, |(n, _)| n + 1);
                let pause = self.client.config().backoff.jittered(failures);
                self.broker_not_before
                    .insert(broker, (failures, Instant::now() + pause));
                if !error.retriable() {
                    self.shared.lock().errors.push_back(error);
                    self.shared.ready.notify_one();
                }
                return session;
            }
        };
        self.broker_not_before.remove(&broker);
        session.answered(response.session_id);
        for topic in response.responses {
            let name = if topic.topic.is_empty() {
                metadata.topic_name(topic.topic_id).unwrap_or_default()
            } else {
                &*topic.topic
            };
            for data in topic.partitions {
                let tp = TopicPartition::new(name, data.partition_index);
                if let Some((generation, offset)) = asked.get(&tp) {
                    self.handle_partition(&tp, *generation, *offset, data);
                }
            }
        }
        session
    }

    fn handle_partition(
        &mut self,
        tp: &TopicPartition,
        generation: u64,
        asked_offset: i64,
        data: PartitionData,
    ) {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let Some(reading) = state
            .partitions
            .get_mut(tp)
            .filter(|reading| reading.generation == generation)
        else {
            return;
        };
        if data.error_code != 0 {
            let error = self.handle_error(tp, reading, &data);
            state.errors.extend(error);
            drop(state);
            shared.ready.notify_one();
            return;
        }
        reading.failures = 0;
        let Some(records) = data.records.filter(|records| !records.is_empty()) else {
            return;
        };
        let broken = |reason: String| ClientError::Records {
            topic: tp.topic.clone(),
            partition: tp.partition,
            offset: asked_offset,
            reason,
        };
        let size = records.len();
        let batches = whole_batches(records.into_bytes(), shared.config.check_crcs)
            .map_err(|e| broken(e.to_string()))
            .and_then(|batches| {
                let last = batches.last().map(|(header, _)| header.next_offset().0);
                last.map(|next| (batches, next)).ok_or_else(|| {
                    broken(format!(
                        "its batch is larger than the {size} bytes that were sent"
                    ))
                })
            });
        let (batches, next_offset) = match batches {
            Ok(found) => found,
            Err(error) => {
                back_off(reading, &self.client);
                state.errors.push_back(error);
                drop(state);
                shared.ready.notify_one();
                return;
            }
        };
        let next_offset = next_offset.max(asked_offset);
        reading.place = Place::At(next_offset);
        let fetched = Fetched {
            partition: Arc::clone(&reading.partition),
            from: asked_offset,
            next_offset,
            high_watermark: data.high_watermark,
            log_start_offset: data.log_start_offset,
            batches,
            aborted: data
                .aborted_transactions
                .filter(|_| shared.config.read_committed)
                .map(|list| {
                    list.iter()
                        .map(|t| (t.producer_id, t.first_offset))
                        .collect()
                }),
            generation,
        };
        let bytes = fetched.bytes();
        reading.buffered += bytes;
        state.buffered += bytes;
        state.completed.push_back(fetched);
        drop(state);
        shared.ready.notify_one();
    }

    /// Decides how to go on after an error of one partition. Returns it if the caller must know.
    fn handle_error(
        &mut self,
        tp: &TopicPartition,
        reading: &mut Reading,
        data: &PartitionData,
    ) -> Option<ClientError> {
        let code = known_code(data.error_code);
        let context = match reading.place {
            Place::At(offset) => format!("fetching {tp} at offset {offset}"),
            _ => format!("fetching {tp}"),
        };
        let error = ClientError::broker(code, context, None);
        debug!(%error, "a partition cannot be fetched");
        if code == ErrorCode::OffsetOutOfRange {
            let spec = match self.shared.config.out_of_range {
                OutOfRange::Earliest => OffsetSpec::Earliest,
                OutOfRange::Latest => OffsetSpec::Latest,
                OutOfRange::Fail => {
                    back_off(reading, &self.client);
                    return Some(error);
                }
            };
            reading.place = Place::Unknown(spec);
            return None;
        }
        back_off(reading, &self.client);
        self.stale = true;
        (!error.retriable()).then_some(error)
    }
}

fn back_off(reading: &mut Reading, client: &Client) {
    reading.failures += 1;
    let pause = client.config().backoff.jittered(reading.failures);
    reading.not_before = Some(Instant::now() + pause);
}
