//! Which leader epoch began at which offset, for OffsetForLeaderEpoch and for truncation-safe consumers.

use outlast_records::{LeaderEpoch, Offset};

use crate::codec::{Fields, Put, Short};

/// Starts of leader epochs, both rising strictly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EpochStarts(Vec<(LeaderEpoch, Offset)>);

impl EpochStarts {
    /// Notes that `epoch` wrote from `start`; only the first start of an epoch counts.
    pub(crate) fn note(&mut self, epoch: LeaderEpoch, start: Offset) {
        if epoch != LeaderEpoch::NONE && self.0.last().is_none_or(|(last, _)| *last < epoch) {
            self.0.push((epoch, start));
        }
    }

    /// Forgets what began before `start`, except the epoch that `start` lies in, which then begins there.
    pub(crate) fn trim(&mut self, start: Offset) {
        let keep = self
            .0
            .partition_point(|(_, began)| *began <= start)
            .saturating_sub(1);
        self.0.drain(..keep);
        if let Some((_, began)) = self.0.first_mut()
            && *began < start
        {
            *began = start;
        }
    }

    /// Where `asked` ended: the largest epoch not above it that is known, and the offset after its last record
    /// (`end` of the log for the newest one).
    pub(crate) fn end_of(&self, asked: LeaderEpoch, end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let after = self.0.partition_point(|(epoch, _)| *epoch <= asked);
        let (epoch, _) = *self.0.get(after.checked_sub(1)?)?;
        Some((epoch, self.0.get(after).map_or(end, |(_, start)| *start)))
    }

    pub(crate) fn as_slice(&self) -> &[(LeaderEpoch, Offset)] {
        &self.0
    }
}

pub(crate) fn encode(starts: &[(LeaderEpoch, Offset)], out: &mut Vec<u8>) {
    out.put_count(starts.len());
    for (epoch, start) in starts {
        out.put_i32(epoch.0);
        out.put_i64(start.0);
    }
}

pub(crate) fn decode(fields: &mut Fields<'_>) -> Result<Vec<(LeaderEpoch, Offset)>, Short> {
    (0..fields.count(12)?)
        .map(|_| Ok((LeaderEpoch(fields.i32()?), Offset(fields.i64()?))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts() -> EpochStarts {
        let mut starts = EpochStarts::default();
        for (epoch, at) in [(0, 0), (0, 5), (2, 10), (1, 11), (5, 30)] {
            starts.note(LeaderEpoch(epoch), Offset(at));
        }
        starts
    }

    #[test]
    fn an_epoch_ends_where_the_next_one_begins() {
        let check = |asked: i32, expect: Option<(i32, i64)>| {
            let expect = expect.map(|(e, o)| (LeaderEpoch(e), Offset(o)));
            assert_eq!(
                starts().end_of(LeaderEpoch(asked), Offset(40)),
                expect,
                "epoch {asked}"
            );
        };
        check(-1, None);
        check(0, Some((0, 10)));
        check(1, Some((0, 10)));
        check(2, Some((2, 30)));
        check(4, Some((2, 30)));
        check(5, Some((5, 40)));
        check(9, Some((5, 40)));
    }

    #[test]
    fn trimming_keeps_the_epoch_of_the_new_start() {
        let check = |start: i64, expect: &[(i32, i64)]| {
            let mut starts = starts();
            starts.trim(Offset(start));
            let expect: Vec<_> = expect
                .iter()
                .map(|(e, o)| (LeaderEpoch(*e), Offset(*o)))
                .collect();
            assert_eq!(starts.as_slice(), expect, "start {start}");
        };
        check(0, &[(0, 0), (2, 10), (5, 30)]);
        check(7, &[(0, 7), (2, 10), (5, 30)]);
        check(10, &[(2, 10), (5, 30)]);
        check(99, &[(5, 99)]);
    }
}
