//! A cache within a budget of bytes: what was used least recently leaves first.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use parking_lot::Mutex;

/// Values are cheap to clone; `insert` is told what they weigh.
pub(crate) struct Lru<K, V> {
    limit: usize,
    state: Mutex<State<K, V>>,
}

struct State<K, V> {
    by_key: HashMap<K, Entry<V>>,
    by_use: BTreeMap<u64, K>,
    uses: u64,
    bytes: usize,
}

struct Entry<V> {
    value: V,
    bytes: usize,
    used: u64,
}

impl<K: Copy + Eq + Hash, V: Clone> Lru<K, V> {
    pub(crate) fn new(limit: usize) -> Lru<K, V> {
        Lru {
            limit,
            state: Mutex::new(State {
                by_key: HashMap::new(),
                by_use: BTreeMap::new(),
                uses: 0,
                bytes: 0,
            }),
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let state = &mut *self.state.lock();
        let entry = state.by_key.get_mut(key)?;
        state.by_use.remove(&entry.used);
        state.uses += 1;
        entry.used = state.uses;
        state.by_use.insert(state.uses, *key);
        Some(entry.value.clone())
    }

    pub(crate) fn insert(&self, key: K, value: V, bytes: usize) {
        let state = &mut *self.state.lock();
        state.uses += 1;
        let used = state.uses;
        if let Some(old) = state.by_key.insert(key, Entry { value, bytes, used }) {
            state.by_use.remove(&old.used);
            state.bytes -= old.bytes;
        }
        state.bytes += bytes;
        state.by_use.insert(used, key);
        while state.bytes > self.limit
            && let Some((_, oldest)) = state.by_use.pop_first()
        {
            if let Some(entry) = state.by_key.remove(&oldest) {
                state.bytes -= entry.bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_leaves() {
        let cache = Lru::new(30);
        for key in 0..3 {
            cache.insert(key, key * 10, 10);
        }
        assert_eq!(cache.get(&0), Some(0));
        cache.insert(3, 30, 10);
        let left: Vec<i32> = (0..4).filter_map(|key| cache.get(&key)).collect();
        assert_eq!(left, [0, 20, 30]);
    }

    #[test]
    fn what_is_larger_than_the_budget_is_not_kept() {
        let cache = Lru::new(30);
        cache.insert(1, 1, 31);
        assert_eq!(cache.get(&1), None);
        cache.insert(2, 2, 30);
        cache.insert(2, 3, 30);
        assert_eq!(cache.get(&2), Some(3));
    }
}
