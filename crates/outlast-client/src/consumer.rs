//! Reads records: of partitions that the caller names, or of those that a group gives it. Data is fetched ahead in
//! the background; what it means to have processed it is the caller's word.
//!
//! [`Consumer::poll`] hands out whole batches. Asking for the next ones says that the ones before are processed, and
//! only what is processed is ever committed.

mod assignor;
mod fetched;
mod fetcher;
mod group;
mod join;
mod session;

use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;

use tokio::time::Instant;

pub use assignor::Assignor;
pub use fetched::{Fetched, FetchedRecords};
pub use group::GroupConfig;

use crate::cluster::Client;
use crate::error::ClientError;
use crate::metadata::TopicPartition;
use crate::offsets::OffsetSpec;
use fetcher::Fetcher;
use group::Group;

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Beginning,
    End,
    Offset(i64),
    /// The first record at or after this time (milliseconds since the Unix epoch), or the end.
    Timestamp(i64),
}

/// What to do when the wanted offset is no longer, or not yet, in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OutOfRange {
    Earliest,
    Latest,
    #[default]
    Fail,
}

#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// A fetch waits until this much is there, or `max_wait` has passed.
    pub min_bytes: i32,
    pub max_wait: Duration,
    pub max_bytes: i32,
    pub partition_max_bytes: i32,
    /// How much may be fetched ahead, over all partitions.
    pub buffer_bytes: usize,
    /// Only records of committed transactions, and never past an open one.
    pub read_committed: bool,
    pub check_crcs: bool,
    pub out_of_range: OutOfRange,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            min_bytes: 1,
            max_wait: Duration::from_millis(500),
            max_bytes: 50 << 20,
            partition_max_bytes: 1 << 20,
            buffer_bytes: 32 << 20,
            read_committed: false,
            check_crcs: true,
            out_of_range: OutOfRange::Fail,
        }
    }
}

#[derive(Debug)]
pub struct Consumer {
    client: Client,
    fetcher: Fetcher,
    group: Option<Group>,
    /// Handed out, and counted as processed when more is asked for.
    lent: Option<(TopicPartition, i64)>,
    processed: BTreeMap<TopicPartition, i64>,
}

impl Consumer {
    /// Reads the partitions given, with no group behind it.
    pub fn assigned(
        client: Client,
        config: ConsumerConfig,
        partitions: impl IntoIterator<Item = (TopicPartition, Start)>,
    ) -> Self {
        let fetcher = Fetcher::new(client.clone(), config);
        fetcher.assign(partitions);
        Self {
            client,
            fetcher,
            group: None,
            lent: None,
            processed: BTreeMap::new(),
        }
    }

    /// Joins a group and reads what it gives to this member. The group's business is done inside
    /// [`Consumer::poll`], which therefore must be called regularly.
    pub fn subscribed(
        client: Client,
        config: ConsumerConfig,
        group: GroupConfig,
        topics: impl IntoIterator<Item = String>,
    ) -> Self {
        let fetcher = Fetcher::new(client.clone(), config);
        let group = Group::new(client.clone(), group, topics.into_iter().collect());
        Self {
            client,
            fetcher,
            group: Some(group),
            lent: None,
            processed: BTreeMap::new(),
        }
    }

    /// The next batches of some partition, or `None` when nothing came within `timeout`. Dropping the future loses
    /// nothing. Whatever was handed out before now counts as processed.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Option<Fetched>, ClientError> {
        if let Some((tp, next)) = self.lent.take() {
            self.processed.insert(tp, next);
        }
        let deadline = Instant::now() + timeout;
        loop {
            let look_again = match &mut self.group {
                None => deadline,
                Some(group) => {
                    let commit_at = group.tend(&self.fetcher, &mut self.processed)?;
                    commit_at.min(deadline)
                }
            };
            let group = &mut self.group;
            let news = async {
                match group {
                    Some(group) => group.news().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                () = news => {}
                fetched = self.fetcher.next() => {
                    let fetched = fetched?;
                    let tp = TopicPartition::clone(&fetched.partition);
                    self.lent = Some((tp, fetched.next_offset));
                    return Ok(Some(fetched));
                }
                () = tokio::time::sleep_until(look_again) => {
                    if Instant::now() >= deadline {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Says how far the batches of the last poll have been processed, for a caller that stops in their midst.
    pub fn processed_up_to(&mut self, next_offset: i64) {
        if let Some((tp, _)) = self.lent.take() {
            self.processed.insert(tp, next_offset);
        }
    }

    /// Commits what is processed and waits for it. Does nothing without a group.
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        match &mut self.group {
            Some(group) => group.commit(&self.processed).await,
            None => Ok(()),
        }
    }

    /// The partitions this consumer reads at the moment.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.fetcher.assignment()
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Commits what is processed and leaves the group, so that the others need not wait for the session to expire.
    pub async fn close(mut self) -> Result<(), ClientError> {
        if let Some(group) = self.group.take() {
            group.leave(&self.processed).await?;
        }
        Ok(())
    }
}

impl Start {
    fn spec(self) -> Result<i64, OffsetSpec> {
        match self {
            Start::Offset(offset) => Ok(offset),
            Start::Beginning => Err(OffsetSpec::Earliest),
            Start::End => Err(OffsetSpec::Latest),
            Start::Timestamp(ms) => Err(OffsetSpec::Timestamp(ms)),
        }
    }
}
