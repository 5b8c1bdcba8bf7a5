//! The promises that a crash must not break, and which of them were.

use std::collections::BTreeMap;
use std::fmt;

/// Examples kept of each broken promise; the rest is only counted.
const EXAMPLES: usize = 8;

/// What one harness checks: an enum with a sentence for each of its values.
pub trait Promises: Copy + Ord + 'static {
    const ALL: &'static [Self];

    fn sentence(self) -> &'static str;
}

#[derive(Clone, Debug)]
pub struct Report<P> {
    broken: BTreeMap<P, Vec<String>>,
    counts: BTreeMap<P, usize>,
    unchecked: Vec<P>,
    summary: Vec<String>,
}

impl<P> Default for Report<P> {
    fn default() -> Self {
        Self {
            broken: BTreeMap::new(),
            counts: BTreeMap::new(),
            unchecked: Vec::new(),
            summary: Vec::new(),
        }
    }
}

impl<P: Promises> Report<P> {
    pub fn broken(&mut self, promise: P, what: String) {
        *self.counts.entry(promise).or_default() += 1;
        let examples = self.broken.entry(promise).or_default();
        if examples.len() < EXAMPLES {
            examples.push(what);
        }
    }

    /// Takes over what another report found broken.
    pub fn merge(&mut self, other: Self) {
        for (promise, examples) in other.broken {
            let unlisted = other.counts[&promise] - examples.len();
            examples
                .into_iter()
                .for_each(|example| self.broken(promise, example));
            *self.counts.entry(promise).or_default() += unlisted;
        }
    }

    /// A promise that this run had no means to check.
    pub fn unchecked(&mut self, promise: P) {
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

    pub fn broken_promises(&self) -> Vec<P> {
        self.broken.keys().copied().collect()
    }
}

/// One line `check <promise>: ok|BROKEN|skipped` each, which `cargo xtask test` counts.
impl<P: Promises> fmt::Display for Report<P> {
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
        for &promise in P::ALL {
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
