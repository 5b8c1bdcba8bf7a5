//! A histogram of durations that can be read back: for Prometheus, and for percentiles over the last minute.
//!
//! Buckets grow by a fifth each, from a tenth of a millisecond to a fortnight, so that a percentile is at most that wrong.
//! One takes a kilobyte for ever, whatever is observed; observing is one atomic addition in it and one beside it.

use std::sync::atomic::{AtomicU64, Ordering};

/// A year: keeps the sum from overflowing, whatever a clock says.
const LARGEST_US: f64 = 3.2e13;
/// Buckets in a doubling.
const PER_DOUBLING: f64 = 4.0;
const SMALLEST_US: f64 = 100.0;
/// The last one ends at 2^(135/4) × 0.1 ms, 16 days; whatever is longer is in it, too.
const BUCKETS: usize = 136;
/// Prometheus gets every eighth boundary: a factor of 4 each, which is 17 of them.
const SHOWN_EVERY: usize = 8;

#[derive(Debug)]
pub struct LatencyHistogram {
    buckets: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            sum_us: AtomicU64::new(0),
        }
    }
}

impl LatencyHistogram {
    pub fn new() -> Self {
        Self::default()
    }

    /// Less than nothing (two machines' clocks differ) counts as nothing.
    pub fn observe(&self, seconds: f64) {
        let us = (seconds * 1e6).clamp(0.0, LARGEST_US);
        let us = if us.is_nan() { 0.0 } else { us };
        self.buckets[bucket(us)].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us as u64, Ordering::Relaxed);
    }

    /// Everything that was observed so far.
    pub fn snapshot(&self) -> LatencySnapshot {
        LatencySnapshot {
            buckets: std::array::from_fn(|i| self.buckets[i].load(Ordering::Relaxed)),
            sum_us: self.sum_us.load(Ordering::Relaxed),
        }
    }
}

/// A histogram's contents at one moment, or what came between two.
#[derive(Clone, Debug)]
pub struct LatencySnapshot {
    buckets: [u64; BUCKETS],
    sum_us: u64,
}

impl LatencySnapshot {
    /// What was observed after `earlier`, a snapshot of the same histogram.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            buckets: std::array::from_fn(|i| self.buckets[i].saturating_sub(earlier.buckets[i])),
            sum_us: self.sum_us.saturating_sub(earlier.sum_us),
        }
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub fn sum_seconds(&self) -> f64 {
        self.sum_us as f64 / 1e6
    }

    pub fn mean_seconds(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.sum_seconds() / count as f64)
    }

    /// The time within which this share (0 to 1) of what was observed lies: the upper edge of its bucket.
    pub fn quantile_seconds(&self, share: f64) -> Option<f64> {
        let count = self.count();
        let wanted = ((count as f64 * share).ceil() as u64).clamp(1, count.max(1));
        let mut passed = 0;
        let at = self.buckets.iter().position(|bucket| {
            passed += bucket;
            passed >= wanted
        })?;
        Some(upper_edge_seconds(at))
    }

    /// Bounds in seconds with how many lie between this bound and the one before, as Prometheus' encoder wants them.
    pub fn prometheus_buckets(&self) -> Vec<(f64, u64)> {
        let shown = self.buckets.chunks(SHOWN_EVERY).enumerate();
        let last = BUCKETS.div_ceil(SHOWN_EVERY) - 1;
        shown
            .map(|(i, chunk)| {
                let bound = if i == last {
                    f64::MAX
                } else {
                    upper_edge_seconds((i + 1) * SHOWN_EVERY - 1)
                };
                (bound, chunk.iter().sum())
            })
            .collect()
    }
}

fn bucket(us: f64) -> usize {
    if us <= SMALLEST_US {
        return 0;
    }
    let index = ((us / SMALLEST_US).log2() * PER_DOUBLING).ceil();
    (index as usize).min(BUCKETS - 1)
}

fn upper_edge_seconds(bucket: usize) -> f64 {
    SMALLEST_US * (bucket as f64 / PER_DOUBLING).exp2() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_right_to_a_fifth() {
        let histogram = LatencyHistogram::new();
        for ms in 1..=1000 {
            histogram.observe(f64::from(ms) / 1e3);
        }
        let seen = histogram.snapshot();
        assert_eq!(seen.count(), 1000);
        assert!((seen.mean_seconds().unwrap() - 0.5005).abs() < 1e-6);
        for (share, expect) in [(0.5, 0.5), (0.99, 0.99), (1.0, 1.0), (0.0, 0.001)] {
            let found = seen.quantile_seconds(share).unwrap();
            let wrong = found / expect;
            assert!((1.0..1.2).contains(&wrong), "{share}: {found}");
        }
    }

    #[test]
    fn a_difference_forgets_what_was_before() {
        let histogram = LatencyHistogram::new();
        histogram.observe(3600.0);
        let before = histogram.snapshot();
        assert_eq!(before.since(&before).quantile_seconds(0.5), None);
        histogram.observe(0.001);
        let after = histogram.snapshot().since(&before);
        assert_eq!(after.count(), 1);
        assert!(after.quantile_seconds(0.99).unwrap() < 0.0013);
    }

    #[test]
    fn what_is_out_of_range_is_in_the_outermost_buckets() {
        let histogram = LatencyHistogram::new();
        for seconds in [-5.0, 0.0, f64::NAN, 1e12, f64::INFINITY] {
            histogram.observe(seconds);
        }
        assert_eq!(histogram.snapshot().count(), 5);
        let buckets = histogram.snapshot().prometheus_buckets();
        assert_eq!(buckets.iter().map(|(_, n)| n).sum::<u64>(), 5);
        assert_eq!(buckets.last().unwrap(), &(f64::MAX, 2));
        assert!(buckets.is_sorted_by(|a, b| a.0 < b.0));
    }
}
