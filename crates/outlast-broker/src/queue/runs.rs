//! Which offsets are in which state, as runs: a map that costs as much as its states change along the
//! log, and not as much as there are offsets.
//!
//! Two runs never overlap, and two that touch are never in the same state. Offsets between runs have
//! no state.

use std::collections::BTreeMap;

use outlast_records::Offset;

use super::OffsetRange;

#[derive(Debug, Clone)]
pub(super) struct Runs<S> {
    map: BTreeMap<Offset, Run<S>>,
}

/// The first offset is the key.
#[derive(Debug, Clone, Copy)]
struct Run<S> {
    last: Offset,
    state: S,
}

/// What happened to a run, for whoever keeps count. A run that was cut is removed, and what remains
/// of it is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edit<S> {
    Removed(OffsetRange, S),
    Added(OffsetRange, S),
}

impl<S: Copy + PartialEq> Runs<S> {
    pub fn new() -> Runs<S> {
        Runs {
            map: BTreeMap::new(),
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// The run that the offset is in.
    pub fn at(&self, offset: Offset) -> Option<(OffsetRange, S)> {
        let (first, run) = self.map.range(..=offset).next_back()?;
        (run.last >= offset).then(|| whole(first, run))
    }

    pub fn state(&self, offset: Offset) -> Option<S> {
        self.at(offset).map(|(_, state)| state)
    }

    pub fn first(&self) -> Option<(OffsetRange, S)> {
        self.map.first_key_value().map(|(f, run)| whole(f, run))
    }

    /// The runs that have offsets in the range, with those that they have there.
    pub fn within(&self, range: OffsetRange) -> impl Iterator<Item = (OffsetRange, S)> {
        let from = self.at(range.first).map_or(range.first, |(r, _)| r.first);
        self.map
            .range(from..=range.last)
            .filter_map(move |(first, run)| {
                let (run, state) = whole(first, run);
                Some((run.common(range)?, state))
            })
    }

    /// The same, and the stretches in between that have no state.
    pub fn segments(&self, range: OffsetRange) -> impl Iterator<Item = (OffsetRange, Option<S>)> {
        let mut at = range.first;
        let mut runs = self.within(range).peekable();
        std::iter::from_fn(move || {
            let found = match runs.peek() {
                Some((run, state)) if run.first <= at => (*run, Some(*state)),
                Some((run, _)) => (OffsetRange::new(at, run.first.plus(-1))?, None),
                None => (OffsetRange::new(at, range.last)?, None),
            };
            if found.1.is_some() {
                runs.next();
            }
            at = found.0.last.next();
            Some(found)
        })
    }

    /// All runs from the one that the offset is in, whole.
    pub fn iter_from(&self, offset: Offset) -> impl Iterator<Item = (OffsetRange, S)> {
        let from = self.at(offset).map_or(offset, |(r, _)| r.first);
        self.map.range(from..).map(|(first, run)| whole(first, run))
    }

    /// Gives all offsets of the range this state, or none.
    pub fn set(&mut self, range: OffsetRange, state: Option<S>, mut edit: impl FnMut(Edit<S>)) {
        let before = self.map.range(..range.first).next_back();
        let mut at = before
            .filter(|(_, run)| run.last.next() >= range.first)
            .map_or(range.first, |(first, _)| *first);
        let end = range.last.next();
        let mut merged = range;
        while let Some((first, run)) = self.map.range(at..=end).next() {
            let (old, its) = whole(first, run);
            at = old.last.next();
            if Some(its) == state {
                self.map.remove(&old.first);
                edit(Edit::Removed(old, its));
                merged.first = merged.first.min(old.first);
                merged.last = merged.last.max(old.last);
            } else if old.common(range).is_some() {
                self.cut(old, its, range, &mut edit);
            }
            if at > end {
                break;
            }
        }
        if let Some(state) = state {
            let last = merged.last;
            self.map.insert(merged.first, Run { last, state });
            edit(Edit::Added(merged, state));
        }
    }

    /// Takes the range out of a run.
    fn cut(
        &mut self,
        old: OffsetRange,
        state: S,
        range: OffsetRange,
        edit: &mut impl FnMut(Edit<S>),
    ) {
        edit(Edit::Removed(old, state));
        match OffsetRange::new(old.first, range.first.plus(-1)) {
            Some(left) => {
                if let Some(run) = self.map.get_mut(&old.first) {
                    run.last = left.last;
                }
                edit(Edit::Added(left, state));
            }
            None => {
                self.map.remove(&old.first);
            }
        }
        if let Some(right) = OffsetRange::new(range.last.next(), old.last) {
            let last = right.last;
            self.map.insert(right.first, Run { last, state });
            edit(Edit::Added(right, state));
        }
    }
}

fn whole<S: Copy>(first: &Offset, run: &Run<S>) -> (OffsetRange, S) {
    let range = OffsetRange {
        first: *first,
        last: run.last,
    };
    (range, run.state)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a map of single offsets; the edits alone must give the same picture.
        #[test]
        fn runs_are_a_map_of_offsets(
            steps in prop::collection::vec((0..40i64, 0..12i64, prop::option::of(0..3u8)), 1..60)
        ) {
            let mut runs = Runs::new();
            let mut model: BTreeMap<i64, u8> = BTreeMap::new();
            let mut edited: BTreeMap<i64, (i64, u8)> = BTreeMap::new();
            for (first, more, state) in steps {
                let range = OffsetRange { first: Offset(first), last: Offset(first + more) };
                runs.set(range, state, |edit| match edit {
                    Edit::Removed(run, state) => {
                        assert_eq!(edited.remove(&run.first.0), Some((run.last.0, state)));
                    }
                    Edit::Added(run, state) => {
                        assert_eq!(edited.insert(run.first.0, (run.last.0, state)), None);
                    }
                });
                for offset in first..=first + more {
                    match state {
                        Some(state) => model.insert(offset, state),
                        None => model.remove(&offset),
                    };
                }
                check(&runs, &model, &edited);
            }
        }
    }

    fn check(runs: &Runs<u8>, model: &BTreeMap<i64, u8>, edited: &BTreeMap<i64, (i64, u8)>) {
        for offset in 0..60 {
            assert_eq!(
                runs.state(Offset(offset)),
                model.get(&offset).copied(),
                "at {offset}"
            );
        }
        let all: Vec<_> = runs.iter_from(Offset(0)).collect();
        for pair in all.windows(2) {
            let ((left, a), (right, b)) = (pair[0], pair[1]);
            assert!(left.last < right.first, "runs overlap");
            assert!(
                left.last.next() < right.first || a != b,
                "not one run: {left:?} {right:?}"
            );
        }
        let listed = all.iter().map(|(r, s)| (r.first.0, (r.last.0, *s)));
        assert!(listed.eq(edited.iter().map(|(first, run)| (*first, *run))));
        // Segments cover a window without holes, however it cuts the runs.
        let window = OffsetRange {
            first: Offset(5),
            last: Offset(33),
        };
        let mut at = 5;
        for (segment, state) in runs.segments(window) {
            assert_eq!(segment.first.0, at);
            assert!((segment.first.0..=segment.last.0).all(|o| model.get(&o).copied() == state));
            at = segment.last.0 + 1;
        }
        assert_eq!(at, 34);
    }
}
