//! The running timers of one shard, by key and by deadline. Whoever owns it sleeps until the next one.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

use super::TimerChange;

#[derive(Debug)]
pub(super) struct Timers<K, E> {
    // The number tells timers of the same instant apart, and fires them in the order of their start.
    by_deadline: BTreeMap<(Instant, u64), (K, E)>,
    by_key: HashMap<K, (Instant, u64)>,
    started: u64,
}

impl<K, E> Default for Timers<K, E> {
    fn default() -> Self {
        Timers {
            by_deadline: BTreeMap::new(),
            by_key: HashMap::new(),
            started: 0,
        }
    }
}

impl<K: Clone + Eq + Hash, E> Timers<K, E> {
    pub fn apply(&mut self, change: TimerChange<K, E>, now: Instant) {
        match change {
            TimerChange::Start { key, after, event } => self.start(key, now, after, event),
            TimerChange::Cancel(key) => self.cancel(&key),
        }
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        let ((deadline, _), _) = self.by_deadline.first_key_value()?;
        Some(*deadline)
    }

    /// One timer that has run out, the earliest first.
    pub fn pop_due(&mut self, now: Instant) -> Option<(K, E)> {
        let first = self.by_deadline.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let (key, event) = first.remove();
        self.by_key.remove(&key);
        Some((key, event))
    }

    fn start(&mut self, key: K, now: Instant, after: Duration, event: E) {
        self.cancel(&key);
        self.started += 1;
        let at = (now + after, self.started);
        self.by_deadline.insert(at, (key.clone(), event));
        self.by_key.insert(key, at);
    }

    fn cancel(&mut self, key: &K) {
        if let Some(at) = self.by_key.remove(key) {
            self.by_deadline.remove(&at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_start_of_a_key_counts_and_the_earliest_deadline_fires_first() {
        let begin = Instant::now();
        let ms = Duration::from_millis;
        let mut timers = Timers::default();
        for (name, after) in [("a", 10), ("b", 5), ("c", 5), ("a", 20), ("d", 1)] {
            timers.start(name, begin, ms(after), ());
        }
        timers.cancel(&"d");

        assert_eq!(timers.next_deadline(), Some(begin + ms(5)));
        assert_eq!(timers.pop_due(begin + ms(4)), None);
        let mut due = |at| timers.pop_due(begin + ms(at)).map(|(key, _)| key);
        assert_eq!(due(10), Some("b"));
        assert_eq!(due(10), Some("c"));
        assert_eq!(due(10), None);
        assert_eq!(due(20), Some("a"));
        assert_eq!(timers.next_deadline(), None);
        assert!(timers.by_key.is_empty());
    }
}
