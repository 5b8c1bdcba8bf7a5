//! Which partition a key belongs to, as Kafka's Java client decides, so that producers in any language agree on where a
//! key lives.

/// The Java client's murmur2 variant (32 bits, fixed seed, little-endian blocks).
pub fn murmur2(key: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;

    let mut hash = SEED ^ (key.len() as u32);
    let mut blocks = key.chunks_exact(4);
    for block in &mut blocks {
        let mut k = u32::from_le_bytes([block[0], block[1], block[2], block[3]]);
        k = k.wrapping_mul(M);
        k ^= k >> R;
        k = k.wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = blocks.remainder();
    if !rest.is_empty() {
        for (i, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^= hash >> 15;
    hash as i32
}

/// The partition of a keyed record. `partitions` must be positive.
pub fn partition_for_key(key: &[u8], partitions: i32) -> i32 {
    debug_assert!(partitions > 0);
    (murmur2(key) & i32::MAX) % partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden values from `org.apache.kafka.common.utils.Utils` of kafka-clients 4.3.0:
    /// `murmur2(key)` and `toPositive(murmur2(key)) % 12`.
    #[test]
    fn murmur2_is_the_java_clients() {
        let check = |key: &str, hash: i32, of_twelve: i32| {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
            assert_eq!(partition_for_key(key.as_bytes(), 12), of_twelve, "{key}");
        };
        check("", 275_646_681, 9);
        check("a", -1_563_381_124, 4);
        check("ab", 316_155_434, 2);
        check("abc", 479_470_107, 3);
        check("abcd", -1_323_649_548, 8);
        check("abcde", 461_995_741, 1);
        check("21", -973_932_308, 0);
        check("foobar", -790_332_482, 6);
        check("a-little-bit-long-string", -985_981_536, 8);
        check("a-little-bit-longer-string", -1_486_304_829, 11);
        check(
            "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
            -58_897_971,
            5,
        );
        check("order-1042", 155_902_638, 6);
        check("ключ", 2_122_343_024, 8);
    }
}
