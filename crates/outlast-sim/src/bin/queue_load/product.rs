//! What is measured must be the same for all products: these are the only things that the loops in
//! `measure` do.

use std::future::Future;

use anyhow::Result;
use bytes::Bytes;

/// How many messages a consumer has in hand at most, and a publisher sends at once.
pub const BATCH: usize = 100;

pub trait Product: Send + Sync + 'static {
    type Publisher: Publisher;
    type Consumer: Consumer;

    fn create(&self, partitions: u32) -> impl Future<Output = Result<()>> + Send;
    fn delete(&self) -> impl Future<Output = Result<()>> + Send;
    fn publisher(&self) -> impl Future<Output = Result<Self::Publisher>> + Send;
    /// A consumer with a connection of its own.
    fn consumer(&self, number: usize) -> impl Future<Output = Result<Self::Consumer>> + Send;
}

pub trait Publisher: Send + 'static {
    /// Returns when the broker has confirmed all of them.
    fn publish(&mut self, messages: Vec<Bytes>) -> impl Future<Output = Result<()>> + Send;
}

pub trait Consumer: Send + 'static {
    /// Up to [`BATCH`] messages; none after a second without any.
    fn take(&mut self) -> impl Future<Output = Result<Vec<Bytes>>> + Send;
    /// Acknowledges what the last `take` returned, without waiting for the broker's word where the
    /// client needn't.
    fn acknowledge(&mut self) -> impl Future<Output = Result<()>> + Send;
    /// Returns when the broker has worked off all acknowledgements.
    fn finish(&mut self) -> impl Future<Output = Result<()>> + Send;
}
