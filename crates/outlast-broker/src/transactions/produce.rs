//! Transactional produce requests: records are appended to partitions that have joined their producer's transaction, and
//! to no others.

use outlast_protocol::{ErrorCode, Str};
use outlast_storage::Expected;

use super::TransactionCoordinator;
use crate::shard::ShardError;
use crate::txn::{Partitions, Producer, Transactions, TxnVersion};

/// Whether what a producer sends to a partition may be appended; good for as long as it is lent.
pub(crate) struct Verifier<'a> {
    txns: &'a Transactions,
    id: &'a str,
    producer: Producer,
}

impl Verifier<'_> {
    pub(crate) fn check(&self, topic: &str, partition: i32) -> Result<(), ErrorCode> {
        self.txns.verify(self.id, self.producer, topic, partition)
    }
}

impl TransactionCoordinator {
    /// Brings partitions into the transaction first, where the client leaves that to the broker (TV2). Then `append` may
    /// append what the verifier lets through, on the condition that it is given. Doesn't wait: its records become durable
    /// before what `append` appends.
    pub(crate) fn append_in<R>(
        &self,
        id: &Str,
        producer: Producer,
        version: TxnVersion,
        partitions: &Partitions,
        append: impl FnOnce(&Verifier<'_>, &[Expected]) -> R,
    ) -> Result<R, ErrorCode> {
        let shard = self.shard(id);
        if version == TxnVersion::V2 {
            let ran = shard.run(|txns, now, fx| {
                txns.add_partitions(id, producer, partitions, version, now, fx)
            });
            let (added, _) = ran.map_err(ShardError::code)?;
            added?;
        }
        // Nobody ends the transaction while the shard is held.
        let ran = shard.run_leading(|txns, _, _, based_on| {
            let verifier = Verifier { txns, id, producer };
            append(&verifier, based_on)
        });
        let (appended, _) = ran.map_err(ShardError::code)?;
        Ok(appended)
    }
}
