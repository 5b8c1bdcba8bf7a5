//! Which shard a group or a transactional id belongs to: Kafka's rule, so that it keeps its partition of the
//! coordinator's topic when it moves between Kafka and Outlast. Queues follow the same rule.

/// Java's `String.hashCode` without its sign, modulo the number of partitions.
pub(crate) fn shard_of(group_id: &str, partitions: usize) -> usize {
    let hash = group_id.encode_utf16().fold(0i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    // Kafka takes 0 for the one number whose absolute value doesn't fit.
    let positive = hash.checked_abs().unwrap_or(0);
    positive as usize % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Computed with jshell: Math.abs("…".hashCode()) % 50
    #[test]
    fn groups_get_the_partitions_that_kafka_gives_them() {
        for (group, partition) in [
            ("", 0),
            ("a", 47),
            ("my-group", 12),
            ("console-consumer-1", 24),
            ("größe-日本-🦀", 26),
            // Its hash is the most negative int.
            ("polygenelubricants", 0),
        ] {
            assert_eq!(shard_of(group, 50), partition, "{group}");
        }
    }
}
