//! The promises that a crash must not break, and which of them were.

use std::collections::BTreeMap;
use std::fmt;

/// Examples kept of each broken promise; the rest is only counted.
const EXAMPLES: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Promise {
    AcknowledgedKept,
    NoneDuplicated,
    OrderKept,
    OffsetsStable,
    GroupOffsetsKept,
    GroupGoesOn,
    TopicsKept,
    ProducersGoOn,
    RestartsAlone,
    RecoversQuickly,
    StopsCleanly,
    LogVerifies,
}

impl Promise {
    const ALL: [Promise; 12] = [
        Promise::AcknowledgedKept,
        Promise::NoneDuplicated,
        Promise::OrderKept,
        Promise::OffsetsStable,
        Promise::GroupOffsetsKept,
        Promise::GroupGoesOn,
        Promise::TopicsKept,
        Promise::ProducersGoOn,
        Promise::RestartsAlone,
        Promise::RecoversQuickly,
        Promise::StopsCleanly,
        Promise::LogVerifies,
    ];

    fn sentence(self) -> &'static str {
        match self {
            Promise::AcknowledgedKept => "no acknowledged message is lost or damaged",
            Promise::NoneDuplicated => "no message is duplicated",
            Promise::OrderKept => "each producer's order is kept in each partition",
            Promise::OffsetsStable => "an offset shows the same message for ever",
            Promise::GroupOffsetsKept => "committed group offsets are kept",
            Promise::GroupGoesOn => "the consumer group reads on to the end",
            Promise::TopicsKept => "created topics are kept",
            Promise::ProducersGoOn => "producers go on after every restart without an error",
            Promise::RestartsAlone => "the broker restarts by itself, and ends only when killed",
            Promise::RecoversQuickly => "every restart acknowledges again within 20 s",
            Promise::StopsCleanly => "SIGTERM stops the broker with code 0",
            Promise::LogVerifies => "`log verify` finds nothing wrong",
        }
    }
}

#[derive(Default, Clone, Debug)]
pub struct Report {
    broken: BTreeMap<Promise, Vec<String>>,
    counts: BTreeMap<Promise, usize>,
    unchecked: Vec<Promise>,
    summary: Vec<String>,
}

impl Report {
    pub fn broken(&mut self, promise: Promise, what: String) {
        *self.counts.entry(promise).or_default() += 1;
        let examples = self.broken.entry(promise).or_default();
        if examples.len() < EXAMPLES {
            examples.push(what);
        }
    }

    /// Takes over what another report found broken.
    pub fn merge(&mut self, other: Report) {
        for (promise, examples) in other.broken {
            let unlisted = other.counts[&promise] - examples.len();
            examples
                .into_iter()
                .for_each(|example| self.broken(promise, example));
            *self.counts.entry(promise).or_default() += unlisted;
        }
    }

    /// A promise that this run had no means to check.
    pub fn unchecked(&mut self, promise: Promise) {
        if !self.unchecked.contains(&promise) {
            self.unchecked.push(promise);
        }
    }

    /// A line of numbers for the end of the run.
    pub fn note(&mut self, line: String) {
        self.summary.push(line);
    }

    pub fn all_kept(&self) -> bool {
        self.broken.is_empty()
    }

    pub fn broken_promises(&self) -> Vec<Promise> {
        self.broken.keys().copied().collect()
    }
}

/// One line `check <promise>: ok|BROKEN|skipped` each, which `cargo xtask test` counts.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.summary {
            writeln!(f, "{line}")?;
        }
        for (promise, examples) in &self.broken {
            writeln!(
                f,
                "broken {} times: {}",
                self.counts[promise],
                promise.sentence()
            )?;
            for example in examples {
                writeln!(f, "  {example}")?;
            }
        }
        for promise in Promise::ALL {
            let result = if self.broken.contains_key(&promise) {
                "BROKEN"
            } else if self.unchecked.contains(&promise) {
                "skipped"
            } else {
                "ok"
            };
            writeln!(f, "check {}: {result}", promise.sentence())?;
        }
        Ok(())
    }
}
