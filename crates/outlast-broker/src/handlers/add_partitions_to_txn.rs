//! AddPartitionsToTxn: partitions join a transaction; from version 4 on of several transactions at once, or whether they have
//! joined, as brokers ask each other.

use outlast_protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopic,
    AddPartitionsToTxnTopicResult, AddPartitionsToTxnTransaction,
};
use outlast_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};
use outlast_protocol::{ErrorCode, Str};

use crate::dispatch::RequestContext;
use crate::txn::{Partitions, Producer, TxnVersion};

/// Before, PRODUCER_FENCED was not known.
const FIRST_VERSION_WITH_FENCED: i16 = 2;
const FIRST_VERSION_WITH_SEVERAL: i16 = 4;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: AddPartitionsToTxnRequest,
) -> AddPartitionsToTxnResponse {
    if context.version < FIRST_VERSION_WITH_SEVERAL {
        let only = AddPartitionsToTxnTransaction {
            transactional_id: request.v3_and_below_transactional_id,
            producer_id: request.v3_and_below_producer_id,
            producer_epoch: request.v3_and_below_producer_epoch,
            verify_only: false,
            topics: request.v3_and_below_topics,
        };
        return AddPartitionsToTxnResponse {
            results_by_topic_v3_and_below: answer(context, &only).await,
            ..Default::default()
        };
    }
    let mut results = Vec::with_capacity(request.transactions.len());
    for transaction in request.transactions {
        results.push(AddPartitionsToTxnResult {
            topic_results: answer(context, &transaction).await,
            transactional_id: transaction.transactional_id,
        });
    }
    AddPartitionsToTxnResponse {
        results_by_transaction: results,
        ..Default::default()
    }
}

async fn answer(
    context: &RequestContext<'_>,
    transaction: &AddPartitionsToTxnTransaction,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let topics = &transaction.topics;
    let exists = |topic: &Str, partition| {
        let table = context.broker.topics.load();
        table
            .get(topic)
            .is_ok_and(|topic| topic.partition(partition).is_ok())
    };
    let all_exist = topics
        .iter()
        .all(|topic| topic.partitions.iter().all(|p| exists(&topic.name, *p)));
    if !all_exist {
        // Of a transaction, all partitions are added or none.
        return each(topics, |topic, partition| match exists(topic, partition) {
            true => ErrorCode::OperationNotAttempted,
            false => ErrorCode::UnknownTopicOrPartition,
        });
    }
    let transactions = match context.broker.transactions().await {
        Ok(transactions) => transactions,
        Err(error) => return each(topics, |_, _| error.code),
    };
    let producer = Producer::new(transaction.producer_id, transaction.producer_epoch);
    let id = &transaction.transactional_id;
    if transaction.verify_only {
        return each(topics, |topic, partition| {
            let one = Partitions::from_iter([(topic, partition)]);
            match transactions.verify(id, producer, &one) {
                Ok(verified) => verified.into_iter().find_map(Result::err),
                Err(code) => Some(code),
            }
            .unwrap_or(ErrorCode::None)
        });
    }
    let partitions = topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|p| (&topic.name, *p)))
        .collect();
    let version = match context.version {
        FIRST_VERSION_WITH_SEVERAL.. => TxnVersion::V2,
        _ => TxnVersion::V0,
    };
    let added = transactions
        .add_partitions(id, producer, &partitions, version)
        .await;
    let code = match added {
        Ok(()) => ErrorCode::None,
        Err(ErrorCode::ProducerFenced) if context.version < FIRST_VERSION_WITH_FENCED => {
            ErrorCode::InvalidProducerEpoch
        }
        Err(code) => code,
    };
    each(topics, |_, _| code)
}

fn each(
    topics: &[AddPartitionsToTxnTopic],
    code: impl Fn(&Str, i32) -> ErrorCode,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let result = |topic: &AddPartitionsToTxnTopic| AddPartitionsToTxnTopicResult {
        name: topic.name.clone(),
        results_by_partition: topic
            .partitions
            .iter()
            .map(|partition| AddPartitionsToTxnPartitionResult {
                partition_index: *partition,
                partition_error_code: code(&topic.name, *partition).code(),
            })
            .collect(),
    };
    topics.iter().map(result).collect()
}
