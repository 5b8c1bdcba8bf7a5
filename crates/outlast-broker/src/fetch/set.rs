//! The partitions of a fetch, what the client knows of each, and what was found there.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use outlast_protocol::messages::fetch::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData,
};
use outlast_protocol::messages::fetch::{FetchPartition, FetchTopic, ForgottenTopic};
use outlast_protocol::{ErrorCode, Records, Str};
use outlast_records::{LeaderEpoch, Offset};
use outlast_storage::{AbortedTxn, FetchedBatches, Watcher};
use uuid::Uuid;

use crate::broker_config::NODE_ID;
use crate::topics::{Partition, Topic, TopicTable};

/// How a client names a topic: by id from Fetch v13 on. One session uses one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum TopicKey {
    Name(Str),
    Id(Uuid),
}

pub(super) type Key = (TopicKey, i32);

pub(super) struct FetchState {
    pub(super) key: Key,
    pub(super) fetch_offset: Offset,
    pub(super) max_bytes: usize,
    pub(super) current_leader_epoch: i32,
    pub(super) last_fetched_epoch: i32,
    pub(super) found: Result<(Arc<Topic>, Arc<Partition>), ErrorCode>,
    /// What the client was told last; −1 makes the next answer name the partition again.
    sent_high_watermark: Offset,
    sent_log_start: Offset,
    /// In `FetchSet::due`.
    due: bool,
    pub(super) high_watermark: Offset,
    pub(super) last_stable: Offset,
    pub(super) log_start: Offset,
    pub(super) look: Look,
}

/// What a look at a partition found.
#[derive(Debug, Default)]
pub enum Look {
    /// Not looked at in this request.
    #[default]
    Not,
    Nothing,
    Records(FetchedBatches),
    Failed(ErrorCode),
    /// The client's last epoch ended earlier than it believes.
    Diverging(LeaderEpoch, Offset),
}

pub struct FetchSet {
    by_topic_id: bool,
    /// Stable places: a watch names its partition by its place.
    pub(super) states: Vec<Option<FetchState>>,
    free: Vec<usize>,
    places: HashMap<Key, usize>,
    /// Places that may have something to tell, in the order of their turn.
    pub(super) due: VecDeque<usize>,
    /// Only what is part of no open transaction is read.
    pub(super) read_committed: bool,
    /// Made when a request first has to wait.
    pub(super) watcher: Option<Watcher>,
    resolved_with: Arc<TopicTable>,
}

impl FetchSet {
    pub fn new(by_topic_id: bool, table: Arc<TopicTable>) -> Self {
        Self {
            by_topic_id,
            states: Vec::new(),
            free: Vec::new(),
            places: HashMap::new(),
            due: VecDeque::new(),
            read_committed: false,
            watcher: None,
            resolved_with: table,
        }
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How much of a partition the next looks show; each request says it anew.
    pub fn set_read_committed(&mut self, read_committed: bool) {
        self.read_committed = read_committed;
    }

    pub fn is_by_topic_id(&self) -> bool {
        self.by_topic_id
    }

    /// Adds partitions, or updates those it has; then takes out the forgotten ones.
    pub fn update(&mut self, topics: Vec<FetchTopic>, forgotten: &[ForgottenTopic]) {
        for topic in topics {
            let key = self.topic_key(&topic.topic, topic.topic_id);
            for partition in topic.partitions {
                self.put((key.clone(), partition.partition), &partition);
            }
        }
        for topic in forgotten {
            let key = self.topic_key(&topic.topic, topic.topic_id);
            for partition in &topic.partitions {
                self.forget(&(key.clone(), *partition));
            }
        }
    }

    /// Looks partitions up again when topics have changed.
    pub fn resolve(&mut self, table: &Arc<TopicTable>) {
        if Arc::ptr_eq(&self.resolved_with, table) {
            return;
        }
        self.resolved_with = table.clone();
        for place in 0..self.states.len() {
            let Some(state) = &mut self.states[place] else {
                continue;
            };
            let found = find(table, &state.key);
            let same = match (&found, &state.found) {
                (Ok((_, new)), Ok((_, old))) => Arc::ptr_eq(new, old),
                (Err(new), Err(old)) => new == old,
                (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
            };
            if let (Some(watcher), Ok((_, partition))) = (&self.watcher, &found)
                && !same
            {
                watcher.watch(&partition.log, place as u64);
            }
            state.found = found;
            if !same {
                self.set_due(place);
            }
        }
    }

    fn topic_key(&self, name: &Str, id: Uuid) -> TopicKey {
        if self.by_topic_id {
            TopicKey::Id(id)
        } else {
            TopicKey::Name(name.clone())
        }
    }

    fn put(&mut self, key: Key, request: &FetchPartition) {
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None => self.insert(key),
        };
        if let Some(state) = &mut self.states[place] {
            state.fetch_offset = Offset(request.fetch_offset);
            state.max_bytes = usize::try_from(request.partition_max_bytes).unwrap_or(0);
            state.current_leader_epoch = request.current_leader_epoch;
            state.last_fetched_epoch = request.last_fetched_epoch;
        }
        self.set_due(place);
    }

    fn insert(&mut self, (topic, partition): Key) -> usize {
        // A name is a slice of the request's frame, which a session must not keep alive.
        let topic = match topic {
            TopicKey::Name(name) => TopicKey::Name(Str::from(&*name)),
            id @ TopicKey::Id(_) => id,
        };
        let key = (topic, partition);
        let state = FetchState {
            found: find(&self.resolved_with, &key),
            key: key.clone(),
            fetch_offset: Offset(0),
            max_bytes: 0,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            sent_high_watermark: Offset::NONE,
            sent_log_start: Offset::NONE,
            due: false,
            high_watermark: Offset::NONE,
            last_stable: Offset::NONE,
            log_start: Offset::NONE,
            look: Look::Not,
        };
        let place = self.free.pop().unwrap_or_else(|| {
            self.states.push(None);
            self.states.len() - 1
        });
        if let (Some(watcher), Ok((_, partition))) = (&self.watcher, &state.found) {
            watcher.watch(&partition.log, place as u64);
        }
        self.states[place] = Some(state);
        self.places.insert(key, place);
        place
    }

    fn forget(&mut self, key: &Key) {
        let Some(place) = self.places.remove(key) else {
            return;
        };
        if let Some(state) = self.states[place].take() {
            if let (Some(watcher), Ok((_, partition))) = (&self.watcher, &state.found) {
                watcher.unwatch(&partition.log);
            }
            if state.due {
                self.due.retain(|due| *due != place);
            }
        }
        self.free.push(place);
    }

    pub(super) fn set_due(&mut self, place: usize) {
        if let Some(Some(state)) = self.states.get_mut(place)
            && !state.due
        {
            state.due = true;
            self.due.push_back(place);
        }
    }

    /// The response to a full request names every partition; one within a session those that have something new. After
    /// this the looks are gone, and partitions with nothing left to tell are not due any more.
    pub fn take_responses(&mut self, full: bool) -> Vec<FetchableTopicResponse> {
        let read_committed = self.read_committed;
        let mut topics: Vec<FetchableTopicResponse> = Vec::new();
        let mut again = VecDeque::new();
        // Partitions that sent records have had their turn: they queue behind the others.
        let mut had_their_turn = Vec::new();
        let places: Vec<usize> = std::mem::take(&mut self.due).into();
        for place in places {
            let Some(state) = &mut self.states[place] else {
                continue;
            };
            let look = std::mem::take(&mut state.look);
            let stays_due = match &look {
                Look::Not | Look::Failed(_) | Look::Diverging(..) => true,
                Look::Nothing => false,
                Look::Records(_) => true,
            };
            let sent_records = matches!(look, Look::Records(_));
            if full || state.has_news(&look) {
                let data = state.response(look, read_committed);
                push_response(&mut topics, &state.key.0, data);
            }
            if stays_due && sent_records {
                had_their_turn.push(place);
            } else if stays_due {
                again.push_back(place);
            } else {
                state.due = false;
            }
        }
        again.extend(had_their_turn);
        self.due = again;
        topics
    }
}

fn push_response(topics: &mut Vec<FetchableTopicResponse>, key: &TopicKey, data: PartitionData) {
    let (name, id) = match key {
        TopicKey::Name(name) => (name.clone(), Uuid::nil()),
        TopicKey::Id(id) => (Str::default(), *id),
    };
    match topics.last_mut() {
        Some(last) if last.topic == name && last.topic_id == id => last.partitions.push(data),
        _ => topics.push(FetchableTopicResponse {
            topic: name,
            topic_id: id,
            partitions: vec![data],
        }),
    }
}

/// In the order in which the transactions began, as consumers of Kafka get to see them.
fn listed(aborted: &[AbortedTxn]) -> Vec<AbortedTransaction> {
    let mut listed: Vec<_> = aborted
        .iter()
        .map(|txn| AbortedTransaction {
            producer_id: txn.producer_id.0,
            first_offset: txn.first_offset.0,
        })
        .collect();
    listed.sort_by_key(|txn| txn.first_offset);
    listed
}

fn find(
    table: &TopicTable,
    (topic, partition): &Key,
) -> Result<(Arc<Topic>, Arc<Partition>), ErrorCode> {
    let topic = match topic {
        TopicKey::Name(name) => table.get(name),
        TopicKey::Id(id) => table.get_by_id(*id),
    };
    let topic = topic.map_err(|error| error.code)?;
    let partition = topic.partition(*partition).map_err(|error| error.code)?;
    Ok((topic.clone(), partition.clone()))
}

impl FetchState {
    /// KIP-227: records, errors, and changed watermarks are news.
    fn has_news(&self, look: &Look) -> bool {
        match look {
            Look::Not => false,
            Look::Failed(_) | Look::Diverging(..) => true,
            Look::Records(records) => {
                !records.is_empty()
                    || self.high_watermark != self.sent_high_watermark
                    || self.log_start != self.sent_log_start
            }
            Look::Nothing => {
                self.high_watermark != self.sent_high_watermark
                    || self.log_start != self.sent_log_start
            }
        }
    }

    fn response(&mut self, look: Look, read_committed: bool) -> PartitionData {
        (self.sent_high_watermark, self.sent_log_start) = match look {
            Look::Nothing | Look::Records(_) => (self.high_watermark, self.log_start),
            // So that the partition is named again when the trouble is over.
            Look::Not | Look::Failed(_) | Look::Diverging(..) => (Offset::NONE, Offset::NONE),
        };
        let mut data = PartitionData {
            partition_index: self.key.1,
            high_watermark: self.high_watermark.0,
            last_stable_offset: self.last_stable.0,
            log_start_offset: self.log_start.0,
            aborted_transactions: read_committed.then(Vec::new),
            records: Some(Records::default()),
            ..Default::default()
        };
        match look {
            Look::Not | Look::Nothing => {}
            Look::Records(records) => {
                if let Ok((topic, partition)) = &self.found {
                    topic.metrics.bytes_out.inc_by(records.bytes as u64);
                    if read_committed {
                        let aborted = partition
                            .log
                            .aborted(self.fetch_offset, records.next_offset);
                        data.aborted_transactions = Some(listed(&aborted));
                    }
                }
                data.records = Some(Records(records.batches));
            }
            Look::Diverging(epoch, end) => {
                data.diverging_epoch = EpochEndOffset {
                    epoch: epoch.0,
                    end_offset: end.0,
                };
            }
            Look::Failed(code) => {
                data = PartitionData {
                    partition_index: self.key.1,
                    error_code: code.code(),
                    high_watermark: -1,
                    records: Some(Records::default()),
                    current_leader: self.leader_hint(code),
                    ..Default::default()
                };
            }
        }
        data
    }

    /// Who leads, for a client whose belief about it is out of date (KIP-951).
    fn leader_hint(&self, code: ErrorCode) -> LeaderIdAndEpoch {
        match (&self.found, code) {
            (Ok((_, partition)), ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch) => {
                LeaderIdAndEpoch {
                    leader_id: NODE_ID,
                    leader_epoch: partition.leader_epoch.0,
                }
            }
            _ => LeaderIdAndEpoch::default(),
        }
    }
}
