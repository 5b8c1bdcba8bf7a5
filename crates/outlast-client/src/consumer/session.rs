//! Incremental fetch sessions (KIP-227), the client's half, pure: a request tells only what changed since the last
//! one, so that a consumer of a thousand quiet partitions sends a few bytes.

use std::collections::BTreeMap;

use outlast_protocol::messages::FetchRequest;
use outlast_protocol::messages::fetch::{FetchPartition, FetchTopic, ForgottenTopic};
use outlast_protocol::{ErrorCode, Str};
use uuid::Uuid;

/// A partition as fetch requests name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FetchKey {
    pub topic: Str,
    pub topic_id: Uuid,
    pub partition: i32,
}

/// What is asked of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FetchFrom {
    pub offset: i64,
    pub leader_epoch: i32,
    pub max_bytes: i32,
}

/// Epoch 0 asks for a new session and names everything.
const NEW_SESSION: i32 = 0;

/// The state of the session with one broker.
#[derive(Debug, Default)]
pub(super) struct FetchSession {
    /// 0 while there is none.
    id: i32,
    epoch: i32,
    /// What the broker believes we want.
    told: BTreeMap<FetchKey, FetchFrom>,
}

impl FetchSession {
    /// Fills in session and topics so that the broker serves exactly `wanted`.
    pub fn describe(&mut self, wanted: BTreeMap<FetchKey, FetchFrom>, request: &mut FetchRequest) {
        request.session_id = self.id;
        request.session_epoch = self.epoch;
        let full = self.epoch == NEW_SESSION;
        for (key, from) in &wanted {
            if !full && self.told.get(key) == Some(from) {
                continue;
            }
            let same_topic = request
                .topics
                .last()
                .is_some_and(|t| t.topic == key.topic && t.topic_id == key.topic_id);
            if !same_topic {
                request.topics.push(FetchTopic {
                    topic: key.topic.clone(),
                    topic_id: key.topic_id,
                    partitions: Vec::new(),
                });
            }
            if let Some(topic) = request.topics.last_mut() {
                topic.partitions.push(FetchPartition {
                    partition: key.partition,
                    current_leader_epoch: from.leader_epoch,
                    fetch_offset: from.offset,
                    partition_max_bytes: from.max_bytes,
                    ..Default::default()
                });
            }
        }
        if !full {
            for key in self.told.keys().filter(|key| !wanted.contains_key(key)) {
                request.forgotten_topics_data.push(ForgottenTopic {
                    topic: key.topic.clone(),
                    topic_id: key.topic_id,
                    partitions: vec![key.partition],
                });
            }
        }
        self.told = wanted;
    }

    /// Takes note of the answer's session.
    pub fn answered(&mut self, session_id: i32) {
        if session_id == 0 {
            // The broker keeps none for us: name everything each time.
            self.reset();
            return;
        }
        if session_id != self.id {
            self.id = session_id;
            self.epoch = NEW_SESSION;
        }
        self.epoch = self.epoch.checked_add(1).unwrap_or(1);
    }

    /// The session is gone, or nobody knows what the broker believes.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Whether an error means only that the session must begin anew.
    pub fn is_lost(code: ErrorCode) -> bool {
        matches!(
            code,
            ErrorCode::FetchSessionIdNotFound
                | ErrorCode::InvalidFetchSessionEpoch
                | ErrorCode::FetchSessionTopicIdError
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(partitions: &[(i32, i64)]) -> BTreeMap<FetchKey, FetchFrom> {
        let entry = |(partition, offset): &(i32, i64)| {
            let key = FetchKey {
                topic: Str::from("t"),
                topic_id: Uuid::from_u128(1),
                partition: *partition,
            };
            let from = FetchFrom {
                offset: *offset,
                leader_epoch: 0,
                max_bytes: 1000,
            };
            (key, from)
        };
        partitions.iter().map(entry).collect()
    }

    /// `session/epoch asked:p@offset… forgotten:p…`
    fn describe(session: &mut FetchSession, partitions: &[(i32, i64)]) -> String {
        let mut request = FetchRequest::default();
        session.describe(wanted(partitions), &mut request);
        let asked: Vec<String> = request
            .topics
            .iter()
            .flat_map(|t| &t.partitions)
            .map(|p| format!("{}@{}", p.partition, p.fetch_offset))
            .collect();
        let forgotten: Vec<String> = request
            .forgotten_topics_data
            .iter()
            .flat_map(|t| &t.partitions)
            .map(i32::to_string)
            .collect();
        format!(
            "{}/{} asked:{} forgotten:{}",
            request.session_id,
            request.session_epoch,
            asked.join(","),
            forgotten.join(",")
        )
    }

    #[test]
    fn only_changes_are_told() {
        let mut session = FetchSession::default();
        let first = describe(&mut session, &[(0, 5), (1, 7)]);
        assert_eq!(first, "0/0 asked:0@5,1@7 forgotten:");
        session.answered(42);
        let moved = describe(&mut session, &[(0, 9), (1, 7)]);
        assert_eq!(moved, "42/1 asked:0@9 forgotten:");
        session.answered(42);
        let fewer = describe(&mut session, &[(1, 7), (2, 0)]);
        assert_eq!(fewer, "42/2 asked:2@0 forgotten:0");
        session.answered(42);
        session.reset();
        let again = describe(&mut session, &[(1, 7)]);
        assert_eq!(again, "0/0 asked:1@7 forgotten:");
    }

    #[test]
    fn a_broker_without_sessions_is_told_everything() {
        let mut session = FetchSession::default();
        describe(&mut session, &[(0, 5)]);
        session.answered(0);
        let second = describe(&mut session, &[(0, 5)]);
        assert_eq!(second, "0/0 asked:0@5 forgotten:");
    }

    #[test]
    fn the_epoch_never_becomes_the_one_of_a_new_session() {
        let mut session = FetchSession {
            id: 1,
            epoch: i32::MAX,
            told: BTreeMap::new(),
        };
        session.answered(1);
        assert_eq!(session.epoch, 1);
    }
}
