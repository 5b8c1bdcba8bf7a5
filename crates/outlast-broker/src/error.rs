//! The broker's errors, and the one place where errors of the layers below become Kafka's codes.

use outlast_protocol::{DecodeError, EncodeError, ErrorCode, Str};
use outlast_records::{BatchError, InvalidRecord, Offset};
use outlast_storage::{AppendError, ReadError, Rejection};
use thiserror::Error;

use crate::config_definition::ConfigError;
use crate::metadata::MetadataRecordError;
use crate::topic_name::InvalidTopicName;

/// Why a broker did not open.
#[derive(Debug, Error)]
pub enum BrokerError {
    #[error("the metadata log's record at offset {offset} cannot be used: {source}")]
    MetadataRecord {
        offset: Offset,
        source: MetadataRecordError,
    },
    #[error("the metadata log holds a batch that cannot be read: {0}")]
    MetadataBatch(#[from] BatchError),
    #[error("the metadata log cannot be read: {0}")]
    MetadataRead(#[from] ReadError),
    #[error("the new cluster's id cannot be written: {}", .0.message.as_deref().unwrap_or_default())]
    ClusterId(ApiError),
    #[error("the group coordinator cannot be opened: {0}")]
    Groups(String),
}

/// Why a connection must be closed instead of answered.
#[derive(Debug, Error)]
pub enum CloseConnection {
    #[error("the request header cannot be read: {0}")]
    Header(DecodeError),
    #[error("{api} request v{version} cannot be read: {source}")]
    Request {
        api: &'static str,
        version: i16,
        source: DecodeError,
    },
    #[error("API key {0} is not served")]
    UnknownApi(i16),
    #[error("{api} v{version} is not served")]
    UnsupportedVersion { api: &'static str, version: i16 },
    /// With acks=0 there is no response that could carry the error: a closed connection makes the producer look again.
    #[error("a produce request with acks=0 failed: {0}")]
    Unacknowledged(String),
    #[error("the response to {api} v{version} cannot be encoded: {source}")]
    Response {
        api: &'static str,
        version: i16,
        source: EncodeError,
    },
}

/// An answer other than success: Kafka's code, and a text that says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    pub code: ErrorCode,
    pub message: Option<String>,
    /// The records of a batch that are to blame, where it is records.
    pub records: Vec<usize>,
}

impl ApiError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: Some(message.into()),
            records: Vec::new(),
        }
    }

    /// For fields that carry a message.
    pub fn text(&self) -> Option<Str> {
        self.message.as_deref().map(Str::from)
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Self {
            code,
            message: None,
            records: Vec::new(),
        }
    }
}

impl From<AppendError> for ApiError {
    fn from(error: AppendError) -> Self {
        let code = match &error {
            // Retriable: the client tries again and succeeds once there is room.
            AppendError::Full => ErrorCode::KafkaStorageError,
            AppendError::Failed(_) => ErrorCode::KafkaStorageError,
            AppendError::ShutDown => ErrorCode::NotLeaderOrFollower,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        let code = match &error {
            ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            ReadError::Corrupt { .. } | ReadError::Io { .. } => ErrorCode::KafkaStorageError,
        };
        Self::new(code, error.to_string())
    }
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        let code = match &rejection {
            Rejection::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
            Rejection::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            Rejection::TransactionOpen { .. } => ErrorCode::InvalidTxnState,
            Rejection::CoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
            Rejection::PartitionDeleted => ErrorCode::UnknownTopicOrPartition,
            Rejection::TooLarge { .. } => ErrorCode::RecordListTooLarge,
            Rejection::OtherSection | Rejection::Overtaken => ErrorCode::KafkaStorageError,
            Rejection::Store(error) => return error.clone().into(),
        };
        Self::new(code, rejection.to_string())
    }
}

impl From<BatchError> for ApiError {
    fn from(error: BatchError) -> Self {
        let code = match &error {
            BatchError::Corrupt(_) => ErrorCode::CorruptMessage,
            BatchError::Invalid(_) => ErrorCode::InvalidRecord,
            BatchError::TimestampOutOfRange { .. } | BatchError::LogAppendTimeFromClient => {
                ErrorCode::InvalidTimestamp
            }
            BatchError::UnsupportedCompression { .. } => ErrorCode::UnsupportedCompressionType,
            BatchError::TooLarge { .. } => ErrorCode::MessageTooLarge,
            // What Kafka 4 says to a batch of an old format in a produce request.
            BatchError::LegacyFormat { .. } => ErrorCode::InvalidRecord,
        };
        Self {
            records: records_to_blame(&error),
            ..Self::new(code, error.to_string())
        }
    }
}

fn records_to_blame(error: &BatchError) -> Vec<usize> {
    match error {
        BatchError::Invalid(InvalidRecord::KeysMissing { indexes }) => indexes.clone(),
        BatchError::Invalid(InvalidRecord::Structure { index, .. }) => vec![*index],
        _ => Vec::new(),
    }
}

impl From<InvalidTopicName> for ApiError {
    fn from(error: InvalidTopicName) -> Self {
        Self::new(ErrorCode::InvalidTopicException, error.to_string())
    }
}

impl From<ConfigError> for ApiError {
    fn from(error: ConfigError) -> Self {
        Self::new(ErrorCode::InvalidConfig, error.to_string())
    }
}
