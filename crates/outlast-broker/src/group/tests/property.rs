//! Random commands, crashes included, and what must hold whatever happens.
//!
//! The harness checks after every command that the indexes fit and that a replay gives the state.
//! Here are the promises to clients: at most one leader, a generation that never falls, commits that
//! stay, and an answer to every request once the group has come to rest.

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use super::*;

/// Requests come from a few clients with whatever they know, right or out of date.
#[derive(Clone, Copy, Debug)]
enum Step {
    JoinAnew { client: usize },
    JoinAgain { client: usize, changed: bool },
    Sync { client: usize },
    Heartbeat { client: usize },
    Leave { client: usize },
    Commit { client: usize, partition: i32 },
    CommitFromOutside { partition: i32 },
    Pass { ms: i64 },
    Expire,
    Crash,
}

const CLIENTS: usize = 5;
/// The first clients are static members.
const STATIC_CLIENTS: usize = 2;

fn step() -> impl Strategy<Value = Step> {
    let client = || 0..CLIENTS;
    prop_oneof![
        4 => client().prop_map(|client| Step::JoinAnew { client }),
        6 => (client(), any::<bool>()).prop_map(|(client, changed)| Step::JoinAgain { client, changed }),
        8 => client().prop_map(|client| Step::Sync { client }),
        3 => client().prop_map(|client| Step::Heartbeat { client }),
        1 => client().prop_map(|client| Step::Leave { client }),
        3 => (client(), 0..3).prop_map(|(client, partition)| Step::Commit { client, partition }),
        1 => (0..3).prop_map(|partition| Step::CommitFromOutside { partition }),
        3 => prop_oneof![Just(1), Just(3_000), Just(9_999), Just(60_000)].prop_map(|ms| Step::Pass { ms }),
        1 => Just(Step::Expire),
        1 => Just(Step::Crash),
    ]
}

#[derive(Default)]
struct World {
    /// What each client believes.
    ids: HashMap<usize, MemberId>,
    generations: HashMap<usize, i32>,
    joins: Vec<(usize, RequestToken)>,
    syncs: Vec<RequestToken>,
    committed: HashMap<i32, i64>,
    /// The newest generation that was told to a client and is in the log.
    stable_generation: i32,
    commits: i64,
    /// Who was told that it leads, by generation. After a crash a generation that is not in the log
    /// is given once more, perhaps to another leader; the coordinator only listens to its own.
    leaders: HashMap<i32, BTreeSet<MemberId>>,
}

impl World {
    fn step(&mut self, h: &mut Harness, step: Step) {
        match step {
            Step::JoinAnew { client } => {
                let token = h.join(request_of(client));
                self.joins.push((client, token));
            }
            Step::JoinAgain { client, changed } => {
                let Some(id) = self.ids.get(&client) else {
                    return;
                };
                let mut request = JoinGroupRequest {
                    member_id: id.wire(),
                    ..request_of(client)
                };
                if changed {
                    request.protocols[0] = protocol("range", &[TOPIC, "another"]);
                }
                let token = h.join(request);
                self.joins.push((client, token));
            }
            Step::Sync { client } => {
                let Some(mut request) = self.sync_request(client) else {
                    return;
                };
                if h.groups
                    .group(GROUP)
                    .is_some_and(|g| g.is_leader(&self.ids[&client]))
                {
                    let members = h.group().member_ids();
                    request.assignments = members
                        .iter()
                        .map(|id| SyncGroupRequestAssignment {
                            member_id: id.wire(),
                            assignment: Bytes::copy_from_slice(id.as_str().as_bytes()),
                        })
                        .collect();
                }
                self.syncs.push(h.sync(request));
            }
            Step::Heartbeat { client } => {
                let (Some(id), Some(generation)) =
                    (self.ids.get(&client), self.generations.get(&client))
                else {
                    return;
                };
                h.heartbeat_with(id, None, *generation);
            }
            Step::Leave { client } => {
                let Some(id) = self.ids.get(&client) else {
                    return;
                };
                h.leave(&[(id.as_str(), None)]);
            }
            Step::Commit { client, partition } => {
                let (Some(id), Some(generation)) =
                    (self.ids.get(&client), self.generations.get(&client))
                else {
                    return;
                };
                let request = commit_as(id, *generation, 0);
                self.commit(h, request, partition);
            }
            Step::CommitFromOutside { partition } => {
                let request = OffsetCommitRequest {
                    generation_id_or_member_epoch: -1,
                    ..commit_request(0)
                };
                self.commit(h, request, partition);
            }
            Step::Pass { ms } => h.pass(ms),
            Step::Expire => h.run(|groups, now, fx| groups.expire(now, fx)),
            Step::Crash => {
                h.restart();
                self.leaders.clear();
                // Nobody hears of what was parked.
                self.joins.retain(|(_, token)| !h.is_parked(*token));
                self.syncs.retain(|token| !h.is_parked(*token));
            }
        }
        self.learn(h);
        self.check(h);
    }

    fn sync_request(&self, client: usize) -> Option<SyncGroupRequest> {
        Some(SyncGroupRequest {
            group_id: Str::from(GROUP),
            generation_id: *self.generations.get(&client)?,
            member_id: self.ids.get(&client)?.wire(),
            protocol_type: Some(Str::from("consumer")),
            protocol_name: Some(Str::from("range")),
            ..SyncGroupRequest::default()
        })
    }

    fn commit(&mut self, h: &mut Harness, mut request: OffsetCommitRequest, partition: i32) {
        self.commits += 1;
        request.topics[0].partitions[0].partition_index = partition;
        request.topics[0].partitions[0].committed_offset = self.commits;
        if h.commit(request) == ErrorCode::None {
            self.committed.insert(partition, self.commits);
        }
    }

    /// Clients read their replies.
    fn learn(&mut self, h: &Harness) {
        let (answered, parked) = std::mem::take(&mut self.joins)
            .into_iter()
            .partition(|(_, token)| !h.is_parked(*token));
        self.joins = parked;
        let answered: Vec<(usize, RequestToken)> = answered;
        for (client, token) in answered {
            let response = h.joined(token);
            match code(response.error_code) {
                ErrorCode::None => {
                    self.ids.insert(client, MemberId::new(&response.member_id));
                    self.generations.insert(client, response.generation_id);
                    if response.leader == response.member_id {
                        let leaders = self.leaders.entry(response.generation_id).or_default();
                        leaders.insert(MemberId::new(&response.member_id));
                    }
                }
                ErrorCode::MemberIdRequired => {
                    self.ids.insert(client, MemberId::new(&response.member_id));
                }
                _ => {}
            }
        }
        self.syncs.retain(|token| h.is_parked(*token));
    }

    fn check(&mut self, h: &Harness) {
        for (partition, offset) in &self.committed {
            assert_eq!(
                h.committed(TOPIC, *partition),
                Some(*offset),
                "a commit was lost"
            );
        }
        let Some(group) = h.groups.group(GROUP) else {
            // It was empty and went. The next of its name begins anew.
            self.stable_generation = 0;
            return;
        };
        if group.state() == GroupState::Stable {
            assert!(
                group.generation().0 >= self.stable_generation,
                "the generation fell"
            );
            self.stable_generation = group.generation().0;
            assert!(group.leader().is_some_and(|id| group.member(id).is_some()));
        }
        if let Some(leaders) = self.leaders.get(&group.generation().0) {
            // A static member that restarted has a new id; the old one is no member.
            let here = leaders.iter().filter(|id| group.member(id).is_some());
            assert!(here.count() <= 1, "{leaders:?} all lead");
        }
    }

    /// Everybody falls silent: whatever is parked must be answered, and nobody stays.
    fn come_to_rest(&mut self, h: &mut Harness) {
        h.pass(1_000_000);
        self.learn(h);
        assert!(self.joins.is_empty(), "joins that were never answered");
        assert!(self.syncs.is_empty(), "syncs that were never answered");
        assert!(
            h.timers.is_empty(),
            "timers without a purpose: {:?}",
            h.timers
        );
        if let Some(group) = h.groups.group(GROUP) {
            assert_eq!(
                (group.state(), group.member_count()),
                (GroupState::Empty, 0)
            );
            assert!(group.pending_joins.is_empty());
        }
    }
}

fn request_of(client: usize) -> JoinGroupRequest {
    if client < STATIC_CLIENTS {
        static_join(&client.to_string())
    } else {
        join_request()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens(
        delay in prop_oneof![Just(0), Just(3_000)],
        size in prop_oneof![Just(2), Just(100)],
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut h = Harness::with(GroupConfig {
            group_initial_rebalance_delay_ms: delay,
            group_max_size: size,
            // Commits must not expire behind the test's back.
            offsets_retention_minutes: u32::MAX,
            ..GroupConfig::default()
        });
        let mut world = World::default();
        for step in steps {
            world.step(&mut h, step);
        }
        world.come_to_rest(&mut h);
    }
}
