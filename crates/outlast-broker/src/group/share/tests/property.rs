//! Any mixture of joins, heartbeats, silence, topic changes and crashes.

use proptest::prelude::*;

use super::*;

const MEMBERS: usize = 5;
const TOPICS: [&str; 3] = ["t", "u", "v"];

#[derive(Clone, Debug)]
enum Step {
    Join(usize, usize),
    Beat(usize),
    Resubscribe(usize, usize),
    Stale(usize, i32),
    Leave(usize),
    Pass(i64),
    Topic(usize, i32),
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let member = 0..MEMBERS;
    prop_oneof![
        3 => (member.clone(), 1..8usize).prop_map(|(m, t)| Step::Join(m, t)),
        6 => member.clone().prop_map(Step::Beat),
        1 => (member.clone(), 1..8usize).prop_map(|(m, t)| Step::Resubscribe(m, t)),
        1 => (member.clone(), -2..6i32).prop_map(|(m, e)| Step::Stale(m, e)),
        1 => member.prop_map(Step::Leave),
        3 => prop_oneof![0..2_000i64, 0..60_000i64].prop_map(Step::Pass),
        1 => (0..TOPICS.len(), 0..5i32).prop_map(|(t, n)| Step::Topic(t, n)),
        1 => Just(Step::Crash),
    ]
}

/// Some of the topics, chosen by bits.
fn some_topics(bits: usize) -> Vec<&'static str> {
    let chosen = (0..TOPICS.len()).filter(|index| bits & (1 << index) != 0);
    chosen.map(|index| TOPICS[index]).collect()
}

/// What the clients believe, by member.
#[derive(Default)]
struct Clients {
    epochs: BTreeMap<usize, i32>,
    assigned: BTreeMap<usize, Assignment>,
    seen: (i32, i32),
}

impl Clients {
    fn step(&mut self, h: &mut Harness, step: Step) {
        let name = |member: usize| format!("m{member}");
        match step {
            Step::Join(member, topics) => {
                let request = join(&name(member), &some_topics(topics));
                self.learn(h, member, request);
            }
            Step::Beat(member) => {
                if let Some(epoch) = self.epochs.get(&member) {
                    self.learn(h, member, beat(&name(member), *epoch));
                }
            }
            Step::Resubscribe(member, topics) => {
                if let Some(epoch) = self.epochs.get(&member) {
                    let topics = join("", &some_topics(topics)).subscribed_topic_names;
                    let request = ShareGroupHeartbeatRequest {
                        subscribed_topic_names: topics,
                        ..beat(&name(member), *epoch)
                    };
                    self.learn(h, member, request);
                }
            }
            // A request that was under way for long. Its answer reaches nobody.
            Step::Stale(member, epoch) if epoch != -1 => {
                if h.heartbeat(beat(&name(member), epoch)).is_ok() {
                    self.assigned.remove(&member);
                }
            }
            Step::Stale(member, _) | Step::Leave(member) => {
                let _ = h.heartbeat(beat(&name(member), -1));
                self.epochs.remove(&member);
            }
            Step::Pass(ms) => h.pass(ms),
            Step::Topic(topic, partitions) => {
                let name = TOPICS[topic];
                if partitions == 0 {
                    h.topics.remove(name);
                } else {
                    h.topics
                        .insert(name, super::topic(topic as u128 + 1, partitions));
                }
            }
            Step::Crash => h.restart(),
        }
    }

    fn learn(&mut self, h: &mut Harness, member: usize, request: ShareGroupHeartbeatRequest) {
        match h.heartbeat(request) {
            Ok(response) => {
                self.epochs.insert(member, response.member_epoch);
                if let Some(assignment) = response.assignment {
                    let told = assignment.topic_partitions.into_iter();
                    let told = told.map(|t| (t.topic_id, t.partitions.into_iter().collect()));
                    self.assigned.insert(member, told.collect());
                }
                if let Some(believed) = self.assigned.get(&member) {
                    let has = &h.member(&format!("m{member}")).assigned;
                    assert_eq!(believed, has, "the client knows what it has");
                }
            }
            Err(_) => {
                self.epochs.remove(&member);
            }
        }
    }

    fn check(&mut self, h: &Harness) {
        let Some(group) = h.groups.share_group(GROUP) else {
            return;
        };
        let epochs = (group.epoch(), group.target_epoch());
        assert!(epochs.1 <= epochs.0, "{epochs:?}");
        assert!(
            epochs.0 >= self.seen.0 && epochs.1 >= self.seen.1,
            "{epochs:?} after {:?}",
            self.seen
        );
        self.seen = epochs;
        for member in group.members() {
            assert!(member.epoch <= epochs.1 && member.previous_epoch < member.epoch);
            let key = TimerKey::Member(group.id().clone(), member.id.clone());
            assert!(h.timers.contains_key(&key), "{} lives for ever", member.id);
        }
        assert_eq!(h.timers.len(), group.members().len());
        assert!(group.target.keys().all(|id| group.member(id).is_some()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens(
        interval in prop_oneof![Just(0), Just(1_000), Just(15_000)],
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut h = Harness::new();
        h.settings.assignment_interval = Duration::from_millis(interval);
        let mut clients = Clients::default();
        for step in steps {
            clients.step(&mut h, step);
            clients.check(&h);
        }
        // Two heartbeats of everybody, an interval apart, bring everybody where he should be.
        for _ in 0..2 {
            h.pass(15_000);
            for member in 0..MEMBERS {
                clients.step(&mut h, Step::Beat(member));
            }
        }
        if let Some(group) = h.groups.share_group(GROUP) {
            let heard = |member: &&ShareMember| {
                let index = member.id.as_str().trim_start_matches('m').parse().unwrap();
                clients.epochs.contains_key(&index)
            };
            for member in group.members().filter(heard) {
                prop_assert_eq!(&member.assigned, &group.target_of(&member.id));
            }
        }
    }
}
