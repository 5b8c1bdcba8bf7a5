//! The records of `__transaction_state`, Kafka's own: the newest of an id is its state, one without a value says that the id is
//! forgotten.

use bytes::{Buf, Bytes};
use outlast_protocol::records::{RecordKey, TransactionLogKey, TransactionLogValue};
use outlast_protocol::{DecodeError, EncodeError, Message, Reader, Str};
use thiserror::Error;

use super::state::Transaction;
use super::{Transactions, TxnState};
use crate::group::detached;

/// What Kafka 4.3 writes: with producer ids before and after, and the client's version.
const VALUE_VERSION: i16 = 1;

#[derive(Clone, Debug, PartialEq)]
pub enum TxnRecord {
    State {
        id: Str,
        value: Option<TransactionLogValue>,
    },
    /// Of a kind that this version doesn't know.
    Unknown { key: Bytes, value: Option<Bytes> },
}

#[derive(Debug, Error)]
pub enum RecordError {
    #[error("a record without a key")]
    NoKey,
    #[error("the key can't be read: {0}")]
    Key(#[source] DecodeError),
    #[error("the value can't be read: {0}")]
    Value(#[source] DecodeError),
    #[error("transactional id {id:?} has the state {state}, which there is not")]
    State { id: String, state: i8 },
}

impl TxnRecord {
    pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        match self {
            TxnRecord::State { id, value } => {
                let key = TransactionLogKey {
                    transactional_id: id.clone(),
                };
                let value = value
                    .as_ref()
                    .map(|value| value.to_versioned_bytes(VALUE_VERSION))
                    .transpose()?;
                Ok((key.to_key_bytes()?, value))
            }
            TxnRecord::Unknown { key, value } => Ok((key.clone(), value.clone())),
        }
    }

    pub fn decode(key: Option<Bytes>, value: Option<Bytes>) -> Result<TxnRecord, RecordError> {
        let key = key.ok_or(RecordError::NoKey)?;
        let mut kind = &key[..];
        if kind.try_get_i16() != Ok(TransactionLogKey::TYPE) {
            return Ok(TxnRecord::Unknown {
                key: Bytes::copy_from_slice(&key),
                value: value.map(|value| Bytes::copy_from_slice(&value)),
            });
        }
        let key = TransactionLogKey::decode(&mut Reader::from(key.slice(2..)), 0);
        let key = key.map_err(RecordError::Key)?;
        let value = value
            .map(TransactionLogValue::from_versioned_bytes)
            .transpose()
            .map_err(RecordError::Value)?;
        Ok(TxnRecord::State {
            id: detached(&key.transactional_id),
            value,
        })
    }
}

impl Transactions {
    /// Applies one record of the log, in the log's order.
    pub fn replay(&mut self, record: TxnRecord) -> Result<(), RecordError> {
        match record {
            TxnRecord::State {
                id,
                value: Some(value),
            } => {
                let txn = Transaction::from_value(&value).ok_or_else(|| RecordError::State {
                    id: id.to_string(),
                    state: value.transaction_status,
                })?;
                if txn.state == TxnState::Dead {
                    self.by_id.remove(&id);
                } else {
                    self.by_id.insert(id, txn);
                }
            }
            TxnRecord::State { id, value: None } => {
                self.by_id.remove(&id);
            }
            TxnRecord::Unknown { key, value } => {
                match value {
                    Some(value) => self.unknown.insert(key, value),
                    None => self.unknown.remove(&key),
                };
            }
        }
        Ok(())
    }

    /// Everything that a restart must find, as records that can take the place of the whole log.
    pub fn snapshot(&self) -> impl Iterator<Item = TxnRecord> {
        let unknown = self.unknown.iter().map(|(key, value)| TxnRecord::Unknown {
            key: key.clone(),
            value: Some(value.clone()),
        });
        unknown.chain(self.by_id.iter().map(|(id, txn)| TxnRecord::State {
            id: id.clone(),
            value: Some(txn.to_value()),
        }))
    }
}
