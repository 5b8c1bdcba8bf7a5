//! The state machine by table, and against a model with crashes.

mod ends;
mod producers;
mod property;

use super::*;
use crate::shard::TimerChange;

/// A machine, its log, and ids that nobody has had.
pub(super) struct Machine {
    pub txns: Transactions,
    pub log: Vec<TxnRecord>,
    pub now: i64,
    next_id: i64,
    pub timers: Vec<TimerChange<Str, Producer>>,
    pub news: Vec<News>,
}

pub(super) const ID: &str = "id";

impl Machine {
    pub fn new() -> Machine {
        Machine {
            txns: Transactions::new(Arc::default()),
            log: Vec::new(),
            now: 1_000,
            next_id: 100,
            timers: Vec::new(),
            news: Vec::new(),
        }
    }

    pub fn run<R>(
        &mut self,
        command: impl FnOnce(&mut Transactions, Timestamp, &mut Effects) -> R,
    ) -> R {
        let mut fx = Effects::default();
        let reply = command(&mut self.txns, Timestamp(self.now), &mut fx);
        self.log.extend(fx.records);
        self.timers.extend(fx.timers);
        self.news.extend(fx.news);
        reply
    }

    fn fresh(&mut self) -> ProducerId {
        self.next_id += 1;
        ProducerId(self.next_id - 1)
    }

    /// As the coordinator does it: with a new id when one is needed, and again when a predecessor was aborted.
    pub fn init(&mut self, id: &str, expected: Option<Producer>) -> Result<Producer, ErrorCode> {
        let init = Init {
            id: Str::from(id),
            timeout_ms: 60_000,
            expected,
        };
        let mut fresh = None;
        loop {
            match self.run(|txns, now, fx| txns.init(&init, fresh, now, fx))? {
                Started::As(producer) => return Ok(producer),
                Started::NeedsId => fresh = Some(self.fresh()),
                Started::Aborting => {
                    fresh = None;
                    self.complete(id);
                }
            }
        }
    }

    pub fn add(
        &mut self,
        id: &str,
        producer: Producer,
        version: TxnVersion,
        partition: i32,
    ) -> Result<(), ErrorCode> {
        let topic = Str::from("t");
        let partitions = Partitions::from_iter([(&topic, partition)]);
        let id = Str::from(id);
        self.run(|txns, now, fx| txns.add_partitions(&id, producer, &partitions, version, now, fx))
    }

    /// Decides, and leaves the markers to the caller.
    pub fn prepare(
        &mut self,
        id: &str,
        producer: Producer,
        commit: bool,
        version: TxnVersion,
    ) -> Result<Ended, ErrorCode> {
        let id = Str::from(id);
        let mut fresh = None;
        loop {
            let ended =
                self.run(|txns, now, fx| txns.end(&id, producer, commit, version, fresh, now, fx))?;
            if ended != Ended::NeedsId {
                return Ok(ended);
            }
            fresh = Some(self.fresh());
        }
    }

    pub fn end(
        &mut self,
        id: &str,
        producer: Producer,
        commit: bool,
        version: TxnVersion,
    ) -> Result<Producer, ErrorCode> {
        match self.prepare(id, producer, commit, version)? {
            Ended::Prepared(after) => {
                self.complete(id);
                Ok(after)
            }
            Ended::Before(after) => Ok(after),
            Ended::NeedsId => unreachable!("prepare asks until it has one"),
        }
    }

    pub fn complete(&mut self, id: &str) {
        let id = Str::from(id);
        self.run(|txns, now, fx| txns.complete(&id, now, fx));
    }

    pub fn state(&self, id: &str) -> Option<TxnState> {
        self.txns.get(id).map(|txn| txn.state)
    }

    /// Reads the log again, up to `records` of it.
    pub fn crash(&mut self, records: usize) {
        self.log.truncate(records);
        self.txns = replayed(&self.log);
        self.run(|txns, now, fx| txns.loaded(now, fx));
    }
}

/// What a restart makes of records, over their bytes.
pub(super) fn replayed<'a>(records: impl IntoIterator<Item = &'a TxnRecord>) -> Transactions {
    let mut txns = Transactions::new(Arc::default());
    for record in records {
        let (key, value) = record.encode().expect("encodes");
        let read = TxnRecord::decode(Some(key), value).expect("decodes");
        assert_eq!(&read, record);
        txns.replay(read).expect("replays");
    }
    txns
}

/// What the record of an id says.
pub(super) fn recorded(txn: &Transaction) -> Transaction {
    Transaction {
        last_epoch: ProducerEpoch::NONE,
        ..txn.clone()
    }
}
