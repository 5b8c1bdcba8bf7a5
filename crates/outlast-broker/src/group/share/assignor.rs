//! Which member looks for work on which partition: the rules of Kafka's "simple" assignor.
//!
//! Every partition is somebody's, every member gets its share, and what a member has already it keeps as long as that
//! leaves the others theirs. With more members than partitions, partitions are shared.
//!
//! Members that subscribe to the same topics share out all partitions of these. Otherwise each topic is shared out by
//! itself among its subscribers. Sharing out `P` partitions among `M` members, each partition goes to `⌈M / P⌉` members,
//! and the members' parts differ by at most one. Both are upper bounds: a partition that all members with room for more
//! have already stays with those.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::Assignment;
use crate::group::MemberId;

/// The only name in ShareGroupDescribe.
pub const NAME: &str = "simple";

type Partition = (Uuid, i32);

/// `members`: the topics that each subscribes to, of those that exist; `partitions`: how many each topic has.
pub fn assign(
    members: &BTreeMap<MemberId, BTreeSet<Uuid>>,
    partitions: &BTreeMap<Uuid, i32>,
    current: &BTreeMap<MemberId, Assignment>,
) -> BTreeMap<MemberId, Assignment> {
    let mut result: BTreeMap<MemberId, Assignment> = members
        .keys()
        .map(|id| (id.clone(), Assignment::new()))
        .collect();
    let all = |topics: &BTreeSet<Uuid>| -> Vec<Partition> {
        let of = |topic: &Uuid| {
            let (topic, count) = (*topic, partitions.get(topic).copied().unwrap_or(0));
            (0..count).map(move |index| (topic, index))
        };
        topics.iter().flat_map(of).collect()
    };
    let mut subscriptions = members.values();
    let first = subscriptions.next().cloned().unwrap_or_default();
    if subscriptions.all(|topics| *topics == first) {
        let ids: Vec<&MemberId> = members.keys().collect();
        Pool::new(&ids, all(&first), current).share_out(&mut result);
        return result;
    }
    for topic in partitions.keys() {
        let subscribers = members.iter().filter(|(_, topics)| topics.contains(topic));
        let ids: Vec<&MemberId> = subscribers.map(|(id, _)| id).collect();
        Pool::new(&ids, all(&BTreeSet::from([*topic])), current).share_out(&mut result);
    }
    result
}

/// Partitions, and the members who share them out among themselves.
struct Pool<'a> {
    members: &'a [&'a MemberId],
    /// How many partitions each member has at most.
    quotas: Vec<usize>,
    /// How many members each partition has at most.
    sharing: usize,
    holders: BTreeMap<Partition, BTreeSet<usize>>,
    held: Vec<BTreeSet<Partition>>,
}

impl<'a> Pool<'a> {
    /// Begins with what the members have now.
    fn new(
        members: &'a [&'a MemberId],
        partitions: Vec<Partition>,
        current: &BTreeMap<MemberId, Assignment>,
    ) -> Pool<'a> {
        let sharing = match partitions.len() {
            0 => 0,
            count => members.len().div_ceil(count),
        };
        let total = sharing * partitions.len();
        let up_to = |members_before: usize| (total * members_before).div_ceil(members.len().max(1));
        let quotas = (0..members.len())
            .map(|index| up_to(index + 1) - up_to(index))
            .collect();
        let mut holders: BTreeMap<Partition, BTreeSet<usize>> = partitions
            .into_iter()
            .map(|partition| (partition, BTreeSet::new()))
            .collect();
        let mut held = vec![BTreeSet::new(); members.len()];
        for (index, id) in members.iter().enumerate() {
            for (topic, of_topic) in current.get(*id).into_iter().flatten() {
                for partition in of_topic {
                    let partition = (*topic, *partition);
                    if let Some(holders) = holders.get_mut(&partition) {
                        holders.insert(index);
                        held[index].insert(partition);
                    }
                }
            }
        }
        Pool {
            members,
            quotas,
            sharing,
            holders,
            held,
        }
    }

    fn share_out(mut self, result: &mut BTreeMap<MemberId, Assignment>) {
        if self.sharing == 0 {
            return;
        }
        self.relieve_members();
        self.relieve_partitions();
        self.fill();
        for (id, held) in self.members.iter().zip(self.held) {
            let Some(assignment) = result.get_mut(*id) else {
                continue;
            };
            for (topic, partition) in held {
                assignment.entry(topic).or_default().insert(partition);
            }
        }
    }

    /// Takes from members what is over their quota: first what most others have, too.
    fn relieve_members(&mut self) {
        for member in 0..self.members.len() {
            let over = self.held[member].len().saturating_sub(self.quotas[member]);
            if over == 0 {
                continue;
            }
            let mut by_holders: Vec<(usize, Partition)> = self.held[member]
                .iter()
                .map(|partition| (self.holders[partition].len(), *partition))
                .collect();
            by_holders.sort_unstable_by(|a, b| b.cmp(a));
            for (_, partition) in by_holders.into_iter().take(over) {
                self.take(member, partition);
            }
        }
    }

    /// Takes partitions away where too many have them: first from those who have most.
    fn relieve_partitions(&mut self) {
        let crowded: Vec<Partition> = self
            .holders
            .iter()
            .filter(|(_, holders)| holders.len() > self.sharing)
            .map(|(partition, _)| *partition)
            .collect();
        for partition in crowded {
            let mut holders: Vec<usize> = self.holders[&partition].iter().copied().collect();
            holders.sort_by_key(|member| std::cmp::Reverse(self.held[*member].len()));
            let over = holders.len() - self.sharing;
            for member in holders.into_iter().take(over) {
                self.take(member, partition);
            }
        }
    }

    /// Gives partitions to members with room for more, those with least first. Partitions that nobody has come first, so
    /// that none is left over: there is room for every one of them.
    fn fill(&mut self) {
        let mut room: BTreeSet<(usize, usize)> = (0..self.members.len())
            .filter(|member| self.held[*member].len() < self.quotas[*member])
            .map(|member| (self.held[member].len(), member))
            .collect();
        for wanted in 1..=self.sharing {
            let short: Vec<Partition> = self
                .holders
                .iter()
                .filter(|(_, holders)| holders.len() < wanted)
                .map(|(partition, _)| *partition)
                .collect();
            for partition in short {
                let holders = &self.holders[&partition];
                let free = room.iter().find(|(_, member)| !holders.contains(member));
                let Some((load, member)) = free.copied() else {
                    continue;
                };
                room.remove(&(load, member));
                self.give(member, partition);
                if load + 1 < self.quotas[member] {
                    room.insert((load + 1, member));
                }
            }
        }
    }

    fn take(&mut self, member: usize, partition: Partition) {
        self.held[member].remove(&partition);
        if let Some(holders) = self.holders.get_mut(&partition) {
            holders.remove(&member);
        }
    }

    fn give(&mut self, member: usize, partition: Partition) {
        self.held[member].insert(partition);
        self.holders.entry(partition).or_default().insert(member);
    }
}
