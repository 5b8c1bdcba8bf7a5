//! Random lives of several transactional ids, with crashes that take a part of the log away. Whatever happens: what is read
//! back is what was recorded, one producer speaks for an id at a time, and a transaction whose end was decided ends so.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::*;

const IDS: [&str; 2] = ["a", "b"];

#[derive(Clone, Debug)]
enum Step {
    Init {
        id: usize,
        client: usize,
        recovers: bool,
    },
    Add {
        client: usize,
        partition: i32,
    },
    Prepare {
        client: usize,
        commit: bool,
    },
    Complete {
        id: usize,
    },
    TimeOut {
        id: usize,
    },
    Expire {
        ms: i64,
    },
    Crash {
        lost: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = 0..4usize;
    let step = prop_oneof![
        3 => (0..2usize, client.clone(), any::<bool>())
            .prop_map(|(id, client, recovers)| Step::Init { id, client, recovers }),
        6 => (client.clone(), 0..3i32).prop_map(|(client, partition)| Step::Add { client, partition }),
        5 => (client, any::<bool>()).prop_map(|(client, commit)| Step::Prepare { client, commit }),
        5 => (0..2usize).prop_map(|id| Step::Complete { id }),
        1 => (0..2usize).prop_map(|id| Step::TimeOut { id }),
        1 => (0..700_000_000i64).prop_map(|ms| Step::Expire { ms }),
        2 => (0..4usize).prop_map(|lost| Step::Crash { lost }),
    ];
    vec(step, 1..80)
}

/// A client as it sees itself: odd ones speak the first version of the protocol.
#[derive(Clone, Copy)]
struct Client {
    id: &'static str,
    producer: Producer,
}

fn version(client: usize) -> TxnVersion {
    if client % 2 == 1 {
        TxnVersion::V0
    } else {
        TxnVersion::V2
    }
}

#[derive(Default)]
struct World {
    clients: HashMap<usize, Client>,
    /// What each transaction that was decided, durably, was decided to be: by who ended it. A producer of the first version has
    /// several of them.
    newest_epoch: HashMap<ProducerId, i16>,
}

fn life(steps: &[Step]) -> TestCaseResult {
    let mut m = Machine::new();
    let mut world = World::default();
    for step in steps {
        m.now += 1;
        let before: Vec<(Str, Transaction)> = m
            .txns
            .iter()
            .map(|(id, txn)| (id.clone(), txn.clone()))
            .collect();
        let crashed = apply(&mut m, &mut world, step)?;
        // Nothing is in memory that is not in the log.
        let read = replayed(&m.log);
        let all = |txns: &Transactions| -> Vec<(Str, Transaction)> {
            txns.iter()
                .map(|(id, txn)| (id.clone(), recorded(txn)))
                .collect()
        };
        prop_assert_eq!(all(&m.txns), all(&read), "after {:?}", step);
        // A snapshot can take the log's place.
        let snapshot: Vec<TxnRecord> = m.txns.snapshot().collect();
        prop_assert_eq!(all(&replayed(&snapshot)), all(&read));
        if crashed {
            continue;
        }
        for (id, was) in before {
            let Some(is) = m.txns.get(&id) else { continue };
            let decided = match was.state {
                TxnState::PrepareCommit => Some(TxnState::CompleteCommit),
                TxnState::PrepareAbort => Some(TxnState::CompleteAbort),
                _ => None,
            };
            if let Some(end) = decided {
                prop_assert!(
                    is.state == was.state || is.state == end,
                    "{:?} became {:?}",
                    was,
                    is
                );
            }
            if is.producer.id == was.producer.id {
                prop_assert!(
                    is.producer.epoch >= was.producer.epoch,
                    "{:?} became {:?}",
                    was,
                    is
                );
            }
        }
    }
    Ok(())
}

fn apply(m: &mut Machine, world: &mut World, step: &Step) -> Result<bool, TestCaseError> {
    match *step {
        Step::Init {
            id,
            client,
            recovers,
        } => {
            let id = IDS[id];
            if m.txns.ending(id).is_some() {
                return Ok(false);
            }
            let expected = world
                .clients
                .get(&client)
                .filter(|known| recovers && known.id == id)
                .map(|known| known.producer);
            if let Ok(producer) = m.init(id, expected) {
                world.clients.insert(client, Client { id, producer });
                let newest = world.newest_epoch.entry(producer.id).or_insert(-1);
                prop_assert!(*newest <= producer.epoch.0, "{producer:?} after {newest}");
                *newest = producer.epoch.0;
            }
        }
        Step::Add { client, partition } => {
            if let Some(known) = world.clients.get(&client).copied() {
                let added = m.add(known.id, known.producer, version(client), partition);
                let current = m.txns.get(known.id).map(|txn| txn.producer);
                prop_assert!(added.is_err() || current == Some(known.producer));
            }
        }
        Step::Prepare { client, commit } => {
            if let Some(known) = world.clients.get_mut(&client) {
                let was = m.txns.get(known.id).cloned();
                match m.prepare(known.id, known.producer, commit, version(client)) {
                    Ok(Ended::Prepared(after)) => {
                        prop_assert_eq!(was.map(|was| was.producer), Some(known.producer));
                        let ending = m.txns.ending(known.id);
                        prop_assert_eq!(ending.map(|ending| ending.commit), Some(commit));
                        known.producer = after;
                    }
                    Ok(Ended::Before(after)) => known.producer = after,
                    Ok(Ended::NeedsId) | Err(_) => {}
                }
            }
        }
        Step::Complete { id } => m.complete(IDS[id]),
        Step::TimeOut { id } => {
            let id = Str::from(IDS[id]);
            if let Some(producer) = m.txns.get(&id).map(|txn| txn.producer) {
                let fresh = Some(m.fresh());
                let _ = m.run(|txns, now, fx| txns.fence(&id, producer, fresh, now, fx));
            }
        }
        Step::Expire { ms } => {
            m.now += ms;
            m.run(|txns, now, fx| txns.expire(now, fx));
        }
        Step::Crash { lost } => {
            // What was not durable was answered to nobody: those who have heard of it don't know it.
            let kept = m.log.len().saturating_sub(lost);
            m.crash(kept);
            world.newest_epoch.clear();
            world.clients.retain(|_, known| {
                let txn = m.txns.get(known.id);
                txn.is_some_and(|txn| txn.producer >= known.producer)
            });
            return Ok(true);
        }
    }
    Ok(false)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn ids_live_as_their_records_say(steps in steps()) {
        life(&steps)?;
    }
}
