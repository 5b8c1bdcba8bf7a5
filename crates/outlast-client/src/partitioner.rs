//! Which partition a record without a key goes to. One with a key goes where every Kafka client sends it, see
//! [`outlast_records::murmur2`].

/// Keyless records stay on one partition until it has had its share of bytes, then move on: full batches instead
/// of one thin batch a partition.
#[derive(Debug, Default)]
pub struct Sticky {
    current: Option<i32>,
    bytes: usize,
}

impl Sticky {
    /// The partition for a record of `bytes` bytes. Moves to another one after `batch_bytes`; `random` picks
    /// among `partitions` (given the count, it returns an index below it).
    pub fn partition(
        &mut self,
        bytes: usize,
        batch_bytes: usize,
        partitions: i32,
        random: impl FnOnce(i32) -> i32,
    ) -> i32 {
        debug_assert!(partitions > 0);
        let partition = match self.current {
            Some(current) if current < partitions && self.bytes < batch_bytes => current,
            Some(current) if partitions > 1 && current < partitions => {
                // Any but the current one, each as likely.
                let step = random(partitions - 1).clamp(0, partitions - 2);
                self.bytes = 0;
                (current + 1 + step) % partitions
            }
            _ => {
                self.bytes = 0;
                random(partitions).clamp(0, partitions - 1)
            }
        };
        self.current = Some(partition);
        self.bytes += bytes;
        partition
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sticky_moves_after_a_batch_and_never_to_itself() {
        let mut sticky = Sticky::default();
        assert_eq!(sticky.partition(600, 1000, 4, |_| 2), 2);
        assert_eq!(sticky.partition(600, 1000, 4, |_| unreachable!()), 2);
        for random in [0, 1, 2] {
            let mut sticky = Sticky {
                current: Some(2),
                bytes: 1000,
            };
            assert_ne!(sticky.partition(1, 1000, 4, |_| random), 2);
        }
        let mut single = Sticky::default();
        assert_eq!(single.partition(5000, 1000, 1, |_| 0), 0);
        assert_eq!(single.partition(5000, 1000, 1, |_| 0), 0);
    }
}
