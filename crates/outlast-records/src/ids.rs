//! Newtypes for the numbers of a log, so that an offset is never passed where an epoch belongs.
//!
//! They hold what the wire and the disk hold (Kafka's integers, −1 for "none"); the arithmetic that Kafka
//! defines on them lives here, and none of it can overflow.

use std::fmt;

use uuid::Uuid;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

number! {
    /// A record's position in its partition, counted from 0.
    Offset(i64)
}
number! {
    /// How often the leader of a partition has changed; −1 where none is known.
    LeaderEpoch(i32)
}
number! {
    /// The identity an idempotent or transactional producer was given.
    ProducerId(i64)
}
number! {
    /// Which incarnation of a producer id is writing; an older one is fenced.
    ProducerEpoch(i16)
}
number! {
    /// A record's number among those of one producer id and epoch in one partition.
    Sequence(i32)
}
number! {
    /// Milliseconds since the Unix epoch.
    Timestamp(i64)
}

impl Offset {
    /// "No offset" on the wire: every error answer carries it.
    pub const NONE: Offset = Offset(-1);

    /// The offset `records` further on; stays at the largest offset instead of overflowing.
    pub fn plus(self, records: i64) -> Offset {
        Offset(self.0.saturating_add(records))
    }

    /// The offset after this one.
    pub fn next(self) -> Offset {
        self.plus(1)
    }
}

impl LeaderEpoch {
    pub const NONE: LeaderEpoch = LeaderEpoch(-1);
}

impl ProducerId {
    /// The batch comes from a producer that is not idempotent.
    pub const NONE: ProducerId = ProducerId(-1);

    pub fn is_some(self) -> bool {
        self.0 > Self::NONE.0
    }
}

impl ProducerEpoch {
    pub const NONE: ProducerEpoch = ProducerEpoch(-1);
}

impl Sequence {
    pub const NONE: Sequence = Sequence(-1);

    /// The sequence `records` further on: numbers run from 0 to `i32::MAX` and then start at 0 again.
    pub fn plus(self, records: i32) -> Sequence {
        const NUMBERS: i64 = 1 << 31;
        Sequence((i64::from(self.0) + i64::from(records)).rem_euclid(NUMBERS) as i32)
    }

    /// The sequence that must follow this one.
    pub fn next(self) -> Sequence {
        self.plus(1)
    }
}

impl Timestamp {
    pub const NONE: Timestamp = Timestamp(-1);
}

/// One partition of one topic. The topic is named by its id, so that a topic which was deleted and created
/// again under the same name is another one.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct PartitionId {
    pub topic: Uuid,
    pub index: i32,
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_to_zero() {
        let check = |from: i32, records: i32, expect: i32| {
            assert_eq!(Sequence(from).plus(records), Sequence(expect));
        };
        check(0, 1, 1);
        check(i32::MAX, 1, 0);
        check(i32::MAX - 1, 3, 1);
        check(i32::MAX, i32::MAX, i32::MAX - 1);
    }

    #[test]
    fn an_offset_does_not_overflow() {
        assert_eq!(Offset(i64::MAX).next(), Offset(i64::MAX));
        assert_eq!(Offset(7).plus(3), Offset(10));
    }
}
