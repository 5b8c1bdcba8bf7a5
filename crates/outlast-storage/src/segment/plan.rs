//! Which partitions go into one segment: small ones share, so that a thousand of them don't make a thousand
//! objects; large ones own theirs, so that they can be read, kept and deleted alone.

use outlast_records::PartitionId;

/// A partition with this much to move gets a segment of its own.
pub const OWN_SEGMENT_BYTES: u64 = 8 << 20;
/// A shared segment is closed when it holds this much.
pub const SHARED_SEGMENT_BYTES: u64 = 64 << 20;

/// Groups what is to be moved into segments, each in the order that [`super::SegmentWriter`] takes.
pub fn plan(moves: impl IntoIterator<Item = (PartitionId, u64)>) -> Vec<Vec<PartitionId>> {
    let mut moves: Vec<_> = moves.into_iter().filter(|(_, bytes)| *bytes > 0).collect();
    moves.sort_unstable();
    let mut segments = Vec::new();
    let (mut shared, mut shared_bytes) = (Vec::new(), 0u64);
    for (partition, bytes) in moves {
        if bytes >= OWN_SEGMENT_BYTES {
            segments.push(vec![partition]);
            continue;
        }
        shared.push(partition);
        shared_bytes += bytes;
        if shared_bytes >= SHARED_SEGMENT_BYTES {
            segments.push(std::mem::take(&mut shared));
            shared_bytes = 0;
        }
    }
    if !shared.is_empty() {
        segments.push(shared);
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_partitions_share_and_large_ones_own() {
        let check = |moves: &[(i32, u64)], expect: &[&[i32]]| {
            let id = |index: i32| PartitionId {
                index,
                ..PartitionId::default()
            };
            let planned = plan(moves.iter().map(|&(index, bytes)| (id(index), bytes)));
            let indexes: Vec<Vec<i32>> = planned
                .iter()
                .map(|s| s.iter().map(|p| p.index).collect())
                .collect();
            assert_eq!(indexes, expect, "{moves:?}");
        };
        const MIB: u64 = 1 << 20;
        check(&[], &[]);
        check(&[(1, 0)], &[]);
        check(&[(2, 1), (1, 1), (3, 8 * MIB)], &[&[3], &[1, 2]]);
        check(&[(1, 8 * MIB - 1)], &[&[1]]);
        let many: Vec<_> = (0..20).map(|i| (i, 7 * MIB)).collect();
        let ranges: [Vec<i32>; 2] = [(0..10).collect(), (10..20).collect()];
        check(&many, &[&ranges[0], &ranges[1]]);
    }
}
