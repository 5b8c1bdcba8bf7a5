//! How long a failed message waits.
//!
//! Chance is a hash of the message and of how often it was delivered: messages that fail together
//! come back apart, and a replay or a second broker would come to the same delays.

use std::time::Duration;

use outlast_records::Offset;

use super::{QueueId, RetryKind, RetryPolicy};

impl RetryPolicy {
    /// The delay before the next delivery of a message that has failed `count` times, the first time
    /// being 1. `chance` is at least 0 and less than 1.
    pub fn delay(&self, count: u16, chance: f64) -> Duration {
        let (initial, max) = (millis(self.initial), millis(self.max));
        let delay = match self.kind {
            RetryKind::Fixed => initial,
            RetryKind::Random => initial + (max - initial).max(0.0) * chance,
            RetryKind::Exponential => {
                let power = i32::from(count.saturating_sub(1));
                // An infinity, if it comes to that, is more than the maximum.
                let full = (initial * self.multiplier.powi(power)).min(max);
                full * (1.0 - self.jitter * chance)
            }
        };
        // The conversion saturates, and takes what is not a number for 0.
        Duration::from_millis(delay.round() as u64)
    }

    /// Whether chance has a part in it.
    pub(super) fn varies(&self) -> bool {
        match self.kind {
            RetryKind::Fixed => false,
            RetryKind::Random => self.max > self.initial,
            RetryKind::Exponential => self.jitter > 0.0,
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// What makes the messages of one queue fail differently from those of another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Seed(u64);

impl Seed {
    pub fn of(id: &QueueId) -> Seed {
        let topic = id.partition.topic.as_bytes();
        let index = id.partition.index.to_be_bytes();
        let bytes = id.group.as_str().bytes();
        let bytes = bytes.chain(topic.iter().copied()).chain(index);
        // FNV-1a; `chance` does the mixing.
        Seed(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        }))
    }

    /// At least 0 and less than 1.
    pub fn chance(self, offset: Offset, count: u16) -> f64 {
        let message = mixed(self.0 ^ mixed(offset.0 as u64)).wrapping_add(u64::from(count));
        // As many bits as the fraction of such a number has.
        (mixed(message) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The finaliser of SplitMix64: every bit of the input moves every bit of the output.
fn mixed(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use outlast_records::PartitionId;

    use super::*;

    fn policy(kind: RetryKind) -> RetryPolicy {
        RetryPolicy {
            kind,
            ..RetryPolicy::default()
        }
    }

    #[test]
    fn each_kind_of_policy_delays_as_it_says() {
        use RetryKind::*;
        let half = RetryPolicy {
            jitter: 0.5,
            ..policy(Exponential)
        };
        let none = RetryPolicy {
            jitter: 0.0,
            multiplier: 3.0,
            ..policy(Exponential)
        };
        let reversed = RetryPolicy {
            max: Duration::from_millis(10),
            ..policy(Random)
        };
        for (policy, count, chance, expect_ms) in [
            (policy(Fixed), 1, 0.9, 1_000),
            (policy(Fixed), 7, 0.1, 1_000),
            (policy(Random), 1, 0.0, 1_000),
            (policy(Random), 9, 0.5, 300_500),
            (reversed, 1, 0.5, 1_000),
            (policy(Exponential), 1, 0.0, 1_000),
            (policy(Exponential), 2, 0.0, 2_000),
            (policy(Exponential), 3, 0.75, 1_000),
            // 2^10 s are more than 10 minutes.
            (policy(Exponential), 11, 0.0, 600_000),
            (policy(Exponential), 11, 0.5, 300_000),
            (policy(Exponential), u16::MAX, 0.0, 600_000),
            (policy(Exponential), 0, 0.0, 1_000),
            (half, 2, 0.5, 1_500),
            (none, 3, 0.99, 9_000),
        ] {
            let delay = policy.delay(count, chance);
            assert_eq!(
                delay,
                Duration::from_millis(expect_ms),
                "{policy:?} {count} {chance}"
            );
        }
    }

    #[test]
    fn chance_is_even_and_differs_by_queue_offset_and_count() {
        let seed = |group| Seed::of(&QueueId::new(group, PartitionId::default()));
        let draw = |group, offset, count| seed(group).chance(Offset(offset), count);
        assert_eq!(draw("a", 1, 1), draw("a", 1, 1));
        assert_ne!(draw("a", 1, 1), draw("b", 1, 1));
        assert_ne!(draw("a", 1, 1), draw("a", 2, 1));
        assert_ne!(draw("a", 1, 1), draw("a", 1, 2));
        let mut tenths = [0; 10];
        for offset in 0..10_000 {
            let chance = draw("a", offset, 1);
            assert!((0.0..1.0).contains(&chance));
            tenths[(chance * 10.0) as usize] += 1;
        }
        assert!(
            tenths.iter().all(|n| (850..1_150).contains(n)),
            "{tenths:?}"
        );
    }
}
