//! The formats of records: those of the internal topics, control records, and the consumers' part of the classic
//! group protocol.
//!
//! The key of a record in an internal topic begins with its type, the value with its version, 16 bits each; a record
//! without a value deletes what the key names. `GroupRecord`, `TransactionRecord` and `ShareStateRecord` are what one
//! can find in `__consumer_offsets`, `__transaction_state` and `__share_group_state`.

pub mod consumer_group;
pub mod consumer_protocol;
pub mod control;
pub mod group;
pub mod queue;
pub mod share_group;
pub mod share_state;
pub mod streams_group;
pub mod transaction;

use bytes::Bytes;

use crate::{DecodeError, EncodeError, Message, Reader, Writer};

pub use consumer_group::{
    ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey,
    ConsumerGroupMetadataValue, ConsumerGroupPartitionMetadataKey,
    ConsumerGroupPartitionMetadataValue, ConsumerGroupRegularExpressionKey,
    ConsumerGroupRegularExpressionValue, ConsumerGroupTargetAssignmentMemberKey,
    ConsumerGroupTargetAssignmentMemberValue, ConsumerGroupTargetAssignmentMetadataKey,
    ConsumerGroupTargetAssignmentMetadataValue,
};
pub use consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
pub use control::{ControlRecordTypeSchema, EndTxnMarker};
pub use group::{GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue};
pub use queue::{QueueLedgerKey, QueueLedgerValue, QueueStateKey, QueueStateValue};
pub use share_group::{
    ShareGroupCurrentMemberAssignmentKey, ShareGroupCurrentMemberAssignmentValue,
    ShareGroupMemberMetadataKey, ShareGroupMemberMetadataValue, ShareGroupMetadataKey,
    ShareGroupMetadataValue, ShareGroupStatePartitionMetadataKey,
    ShareGroupStatePartitionMetadataValue, ShareGroupTargetAssignmentMemberKey,
    ShareGroupTargetAssignmentMemberValue, ShareGroupTargetAssignmentMetadataKey,
    ShareGroupTargetAssignmentMetadataValue,
};
pub use share_state::{ShareSnapshotKey, ShareSnapshotValue, ShareUpdateKey, ShareUpdateValue};
pub use streams_group::{
    StreamsGroupCurrentMemberAssignmentKey, StreamsGroupCurrentMemberAssignmentValue,
    StreamsGroupMemberMetadataKey, StreamsGroupMemberMetadataValue, StreamsGroupMetadataKey,
    StreamsGroupMetadataValue, StreamsGroupTargetAssignmentMemberKey,
    StreamsGroupTargetAssignmentMemberValue, StreamsGroupTargetAssignmentMetadataKey,
    StreamsGroupTargetAssignmentMetadataValue, StreamsGroupTopologyKey, StreamsGroupTopologyValue,
};
pub use transaction::{TransactionLogKey, TransactionLogValue};

/// The key of a record in an internal topic.
pub trait RecordKey: Message {
    const TYPE: i16;
    type Value: Message;

    fn to_key_bytes(&self) -> Result<Bytes, EncodeError> {
        let mut writer = Writer::new();
        writer.i16(Self::TYPE);
        self.encode(&mut writer, 0)?;
        writer.finish_joined()
    }
}

macro_rules! record_types {
    ($(#[$meta:meta])* $topic:ident { $($name:ident = $type:literal: $key:ident => $value:ident,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $topic {
            $($name($key, Option<$value>),)*
            /// A type that came after this program. Kafka skips such records when it loads.
            Unknown(i16),
        }

        impl $topic {
            pub fn decode(key: Bytes, value: Option<Bytes>) -> Result<Self, DecodeError> {
                let mut reader = Reader::from(key);
                Ok(match reader.i16()? {
                    $($type => Self::$name(
                        $key::decode(&mut reader, 0)?,
                        value.map($value::from_versioned_bytes).transpose()?,
                    ),)*
                    unknown => Self::Unknown(unknown),
                })
            }
        }

        $(
            impl RecordKey for $key {
                const TYPE: i16 = $type;
                type Value = $value;
            }
        )*
    };
}

record_types! {
    /// A record of `__consumer_offsets`; no value deletes.
    GroupRecord {
        OffsetCommit = 1: OffsetCommitKey => OffsetCommitValue,
        GroupMetadata = 2: GroupMetadataKey => GroupMetadataValue,
        ConsumerGroupMetadata = 3: ConsumerGroupMetadataKey => ConsumerGroupMetadataValue,
        ConsumerGroupPartitionMetadata = 4: ConsumerGroupPartitionMetadataKey => ConsumerGroupPartitionMetadataValue,
        ConsumerGroupMemberMetadata = 5: ConsumerGroupMemberMetadataKey => ConsumerGroupMemberMetadataValue,
        ConsumerGroupTargetAssignmentMetadata = 6:
            ConsumerGroupTargetAssignmentMetadataKey => ConsumerGroupTargetAssignmentMetadataValue,
        ConsumerGroupTargetAssignmentMember = 7:
            ConsumerGroupTargetAssignmentMemberKey => ConsumerGroupTargetAssignmentMemberValue,
        ConsumerGroupCurrentMemberAssignment = 8:
            ConsumerGroupCurrentMemberAssignmentKey => ConsumerGroupCurrentMemberAssignmentValue,
        ShareGroupMemberMetadata = 10: ShareGroupMemberMetadataKey => ShareGroupMemberMetadataValue,
        ShareGroupMetadata = 11: ShareGroupMetadataKey => ShareGroupMetadataValue,
        ShareGroupTargetAssignmentMetadata = 12:
            ShareGroupTargetAssignmentMetadataKey => ShareGroupTargetAssignmentMetadataValue,
        ShareGroupTargetAssignmentMember = 13:
            ShareGroupTargetAssignmentMemberKey => ShareGroupTargetAssignmentMemberValue,
        ShareGroupCurrentMemberAssignment = 14:
            ShareGroupCurrentMemberAssignmentKey => ShareGroupCurrentMemberAssignmentValue,
        ShareGroupStatePartitionMetadata = 15:
            ShareGroupStatePartitionMetadataKey => ShareGroupStatePartitionMetadataValue,
        ConsumerGroupRegularExpression = 16: ConsumerGroupRegularExpressionKey => ConsumerGroupRegularExpressionValue,
        StreamsGroupMetadata = 17: StreamsGroupMetadataKey => StreamsGroupMetadataValue,
        StreamsGroupMemberMetadata = 19: StreamsGroupMemberMetadataKey => StreamsGroupMemberMetadataValue,
        StreamsGroupTargetAssignmentMetadata = 20:
            StreamsGroupTargetAssignmentMetadataKey => StreamsGroupTargetAssignmentMetadataValue,
        StreamsGroupTargetAssignmentMember = 21:
            StreamsGroupTargetAssignmentMemberKey => StreamsGroupTargetAssignmentMemberValue,
        StreamsGroupCurrentMemberAssignment = 22:
            StreamsGroupCurrentMemberAssignmentKey => StreamsGroupCurrentMemberAssignmentValue,
        StreamsGroupTopology = 23: StreamsGroupTopologyKey => StreamsGroupTopologyValue,
    }
}

record_types! {
    /// A record of `__transaction_state`; no value deletes.
    TransactionRecord {
        TransactionLog = 0: TransactionLogKey => TransactionLogValue,
    }
}

record_types! {
    /// A record of `__share_group_state`; no value deletes.
    ShareStateRecord {
        ShareSnapshot = 0: ShareSnapshotKey => ShareSnapshotValue,
        ShareUpdate = 1: ShareUpdateKey => ShareUpdateValue,
        QueueState = 100: QueueStateKey => QueueStateValue,
        QueueLedger = 101: QueueLedgerKey => QueueLedgerValue,
    }
}
