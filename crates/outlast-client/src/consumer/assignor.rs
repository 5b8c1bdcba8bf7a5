//! Which member of a group reads which partition: the leader's computation, pure. Two strategies that other Kafka
//! clients know by the same names, so that mixed groups work.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::metadata::TopicPartition;

/// How a group shares its partitions. All members must have one in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Assignor {
    /// Neighbouring partitions of each topic, in order of the members' ids. Everything is given up at each rebalance.
    #[default]
    Range,
    /// As even as can be with as little movement as possible; only what moves is given up, in a second round.
    CooperativeSticky,
}

impl Assignor {
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Range => "range",
            Assignor::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// Whether members keep their partitions while the group rebalances.
    pub fn cooperative(self) -> bool {
        self == Assignor::CooperativeSticky
    }

    pub(super) fn assign(
        self,
        members: &[Member],
        partition_counts: &BTreeMap<String, i32>,
    ) -> HashMap<String, Vec<TopicPartition>> {
        match self {
            Assignor::Range => range(members, partition_counts),
            Assignor::CooperativeSticky => cooperative_sticky(members, partition_counts),
        }
    }
}

/// A member as the leader sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct Member {
    pub id: String,
    /// For static members, whose id changes with every restart.
    pub instance_id: Option<String>,
    pub topics: Vec<String>,
    pub owned: Vec<TopicPartition>,
    /// In which generation it got what it says it owns; −1 when it doesn't say.
    pub generation: i32,
}

fn range(
    members: &[Member],
    partition_counts: &BTreeMap<String, i32>,
) -> HashMap<String, Vec<TopicPartition>> {
    let mut assignment: HashMap<String, Vec<TopicPartition>> = members
        .iter()
        .map(|member| (member.id.clone(), Vec::new()))
        .collect();
    for (topic, count) in partition_counts {
        let mut subscribers: Vec<&Member> = members
            .iter()
            .filter(|member| member.topics.contains(topic))
            .collect();
        if subscribers.is_empty() {
            continue;
        }
        // Static members come first, as in the Java client.
        subscribers.sort_by_key(|m| (m.instance_id.is_none(), m.instance_id.as_ref(), &m.id));
        let count = usize::try_from(*count).unwrap_or(0);
        let each = count / subscribers.len();
        let extra = count % subscribers.len();
        let mut next = 0;
        for (position, member) in subscribers.into_iter().enumerate() {
            let share = each + usize::from(position < extra);
            if let Some(partitions) = assignment.get_mut(&member.id) {
                partitions.extend(
                    (next..next + share).map(|p| TopicPartition::new(topic.as_str(), p as i32)),
                );
            }
            next += share;
        }
    }
    assignment
}

fn cooperative_sticky(
    members: &[Member],
    partition_counts: &BTreeMap<String, i32>,
) -> HashMap<String, Vec<TopicPartition>> {
    let owners = valid_owners(members, partition_counts);
    let mut balanced = balance(members, partition_counts, &owners);
    // Who loses a partition must give it up before its new owner may have it: it is left out of this round, and
    // its old owner joins again once it has let go.
    for (member, partitions) in &mut balanced {
        partitions.retain(|tp| owners.get(tp).is_none_or(|owner| owner == member));
    }
    balanced
}

/// The partitions that exist and that exactly one subscribed member rightly claims: the claim of the highest
/// generation, and no one's when two members claim it in the same one.
fn valid_owners(
    members: &[Member],
    partition_counts: &BTreeMap<String, i32>,
) -> HashMap<TopicPartition, String> {
    let mut claims: HashMap<&TopicPartition, (i32, Option<&str>)> = HashMap::new();
    for member in members {
        for tp in &member.owned {
            let exists = partition_counts
                .get(&tp.topic)
                .is_some_and(|count| (0..*count).contains(&tp.partition));
            if !exists || !member.topics.contains(&tp.topic) {
                continue;
            }
            let claim = claims.entry(tp).or_insert((i32::MIN, None));
            if member.generation > claim.0 {
                *claim = (member.generation, Some(&member.id));
            } else if member.generation == claim.0 {
                claim.1 = None;
            }
        }
    }
    claims
        .into_iter()
        .filter_map(|(tp, (_, owner))| Some((tp.clone(), owner?.to_owned())))
        .collect()
}

fn balance(
    members: &[Member],
    partition_counts: &BTreeMap<String, i32>,
    owners: &HashMap<TopicPartition, String>,
) -> HashMap<String, Vec<TopicPartition>> {
    let mut loads: BTreeMap<&str, BTreeSet<TopicPartition>> = members
        .iter()
        .map(|member| (member.id.as_str(), BTreeSet::new()))
        .collect();
    let subscribers: BTreeMap<&str, Vec<&str>> = partition_counts
        .keys()
        .map(|topic| {
            let subscribed = members.iter().filter(|m| m.topics.contains(topic));
            (topic.as_str(), subscribed.map(|m| m.id.as_str()).collect())
        })
        .collect();

    let mut free = Vec::new();
    for (topic, count) in partition_counts {
        for partition in 0..*count {
            let tp = TopicPartition::new(topic.as_str(), partition);
            match owners
                .get(&tp)
                .and_then(|owner| loads.get_mut(owner.as_str()))
            {
                Some(load) => {
                    load.insert(tp);
                }
                None => free.push(tp),
            }
        }
    }
    for tp in free {
        let candidates = subscribers.get(tp.topic.as_str()).into_iter().flatten();
        if let Some(id) = candidates.min_by_key(|id| (loads[**id].len(), **id))
            && let Some(load) = loads.get_mut(*id)
        {
            load.insert(tp);
        }
    }
    while let Some((from, to, tp)) = next_move(&loads, &subscribers) {
        if let Some(load) = loads.get_mut(from) {
            load.remove(&tp);
        }
        if let Some(load) = loads.get_mut(to) {
            load.insert(tp);
        }
    }
    loads
        .into_iter()
        .map(|(id, load)| (id.to_owned(), load.into_iter().collect()))
        .collect()
}

/// A partition whose move evens out the two members most apart. Each move lowers the sum of squared loads, so
/// there is a last one.
fn next_move<'a>(
    loads: &BTreeMap<&'a str, BTreeSet<TopicPartition>>,
    subscribers: &BTreeMap<&str, Vec<&'a str>>,
) -> Option<(&'a str, &'a str, TopicPartition)> {
    let mut fullest: Vec<_> = loads.iter().collect();
    fullest.sort_by_key(|(id, load)| (std::cmp::Reverse(load.len()), **id));
    for (from, load) in fullest {
        // The last of its partitions, so that low ones tend to stay.
        for tp in load.iter().rev() {
            let candidates = subscribers.get(tp.topic.as_str())?.iter();
            let emptiest = candidates.min_by_key(|id| (loads[**id].len(), **id))?;
            if loads[emptiest].len() + 1 < load.len() {
                return Some((from, emptiest, tp.clone()));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests;
