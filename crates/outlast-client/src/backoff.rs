//! How long to wait before trying again: exponential, capped, with jitter, so that many clients that lost the
//! same broker don't come back in the same millisecond.

use std::time::Duration;

/// Kafka's client defaults: `retry.backoff.ms` and `retry.backoff.max.ms`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    pub initial: Duration,
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(1),
        }
    }
}

/// Each wait is spread by this part of itself to either side.
const JITTER: f64 = 0.2;

impl Backoff {
    /// The wait before attempt number `attempt + 1`, where `attempt` counts the failures so far, from 1.
    /// `random` is uniform in 0..1. Never above `max` by more than the jitter.
    pub fn delay(&self, attempt: u32, random: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let plain = self.initial.saturating_mul(1u32 << doublings).min(self.max);
        plain.mul_f64(1.0 - JITTER + 2.0 * JITTER * random.clamp(0.0, 1.0))
    }

    pub(crate) fn jittered(&self, attempt: u32) -> Duration {
        self.delay(attempt, fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let backoff = Backoff::default();
        let check = |attempt: u32, expect_ms: u64| {
            let middle = backoff.delay(attempt, 0.5).as_micros();
            assert_eq!(middle, u128::from(expect_ms) * 1000, "attempt {attempt}");
        };
        check(0, 100);
        check(1, 100);
        check(2, 200);
        check(3, 400);
        check(4, 800);
        check(5, 1000);
        check(u32::MAX, 1000);
    }

    #[test]
    fn jitter_stays_within_a_fifth() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(2, 0.0), Duration::from_millis(160));
        assert_eq!(backoff.delay(2, 1.0), Duration::from_millis(240));
    }
}
