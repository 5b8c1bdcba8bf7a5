//! Random calls, crashes included, against the model.
//!
//! The harness checks after every call that a replay gives the state. Here every message is compared
//! with the model after every step, and the promises are checked that no model is needed for: no
//! message in two hands, none too early, none out of the order of its key, every message ends, and
//! ends once; whoever sleeps is woken, and no timer comes too late.

use proptest::prelude::*;

use super::world::{QUEUES, WORKERS, World};
use super::*;

#[derive(Clone, Debug)]
pub enum Step {
    /// Reads on from where the plan says, or a little before.
    Scan {
        q: usize,
        more: usize,
        back: i64,
    },
    Acquire {
        q: usize,
        worker: usize,
        first: i64,
        more: i64,
        max: usize,
        lock_ms: Option<u64>,
    },
    /// Of a stretch that the worker holds, or of any.
    Acknowledge {
        q: usize,
        worker: usize,
        at: usize,
        more: i64,
        verb: Verb,
        held: bool,
    },
    WorkerDies {
        worker: usize,
    },
    Bury {
        q: usize,
        first: i64,
        more: i64,
    },
    Settle {
        q: usize,
        first: i64,
        more: i64,
    },
    LogStart {
        q: usize,
        to: i64,
    },
    Reset {
        q: usize,
        to: usize,
    },
    Pass {
        ms: i64,
    },
    TurnOrder,
    DeliveryLimit {
        limit: u16,
    },
    Rewrite,
    /// What the last call wrote may be lost, if nobody heard of it.
    Crash {
        unheard: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let q = || 0..QUEUES;
    let worker = || 0..WORKERS;
    let first = || 0..LOG as i64;
    prop_oneof![
        6 => (q(), 1..12usize, 0..3i64).prop_map(|(q, more, back)| Step::Scan { q, more, back }),
        8 => (q(), worker(), first(), 0..LOG as i64, 0..8usize, prop::option::of(1..4_000u64))
            .prop_map(|(q, worker, first, more, max, lock_ms)| {
                Step::Acquire { q, worker, first: first / 4, more, max, lock_ms }
            }),
        10 => (q(), worker(), 0..8usize, 0..4i64, verb(), prop::bool::weighted(0.9)).prop_map(
            |(q, worker, at, more, verb, held)| Step::Acknowledge { q, worker, at, more, verb, held }
        ),
        1 => worker().prop_map(|worker| Step::WorkerDies { worker }),
        2 => (q(), first(), 0..LOG as i64).prop_map(|(q, first, more)| Step::Bury { q, first, more }),
        1 => (q(), first(), 0..4i64).prop_map(|(q, first, more)| Step::Settle { q, first, more }),
        1 => (q(), 0..6i64).prop_map(|(q, to)| Step::LogStart { q, to }),
        1 => (q(), 0..LOG / 2).prop_map(|(q, to)| Step::Reset { q, to }),
        6 => prop_oneof![Just(0), Just(1), Just(49), Just(1_000), Just(5_000), Just(40_000)]
            .prop_map(|ms| Step::Pass { ms }),
        1 => Just(Step::TurnOrder),
        1 => (1..4u16).prop_map(|limit| Step::DeliveryLimit { limit }),
        1 => Just(Step::Rewrite),
        2 => any::<bool>().prop_map(|unheard| Step::Crash { unheard }),
    ]
}

fn verb() -> impl Strategy<Value = Verb> {
    let delay = || prop::option::of((0..3_000u64).prop_map(Duration::from_millis));
    prop_oneof![
        4 => Just(Verb::Accept),
        3 => (delay(), prop::bool::weighted(0.7))
            .prop_map(|(delay, counts)| Verb::Release { delay, counts }),
        1 => Just(Verb::Reject),
        1 => Just(Verb::Gap),
        2 => delay().prop_map(|lock| Verb::Renew { lock }),
    ]
}

/// How many offsets each log has.
pub const LOG: usize = 24;

fn message() -> impl Strategy<Value = Option<Scanned>> {
    let at = |steps: &'static [i64]| {
        prop::option::weighted(
            0.25,
            prop::sample::select(steps).prop_map(|ms| Timestamp(T0 + ms)),
        )
    };
    let scanned = (
        prop::option::of(0..3u64),
        at(&[-1, 0, 50, 1_000, 5_000]),
        at(&[-1, 100, 3_000, 6_000, 50_000]),
        prop::option::weighted(0.6, 1..8u128),
        prop::bool::weighted(0.05),
        prop::bool::weighted(0.05),
    );
    let scanned = scanned.prop_map(|(lane, due, expires, id, skip, undecodable)| Scanned {
        offset: Offset(0),
        lane,
        due,
        expires,
        id,
        skip,
        undecodable,
    });
    prop::option::weighted(0.9, scanned)
}

fn log() -> impl Strategy<Value = Vec<Option<Scanned>>> {
    prop::collection::vec(message(), LOG).prop_map(|mut log| {
        for (offset, message) in log.iter_mut().enumerate() {
            if let Some(message) = message {
                message.offset = Offset(offset as i64);
            }
        }
        log
    })
}

fn settings() -> impl Strategy<Value = QueueSettings> {
    let kind = prop::sample::select(vec![
        RetryKind::Fixed,
        RetryKind::Random,
        RetryKind::Exponential,
    ]);
    let retry = (kind, 0..1_500u64, prop::sample::select(vec![0.0, 0.5, 1.0]));
    let retry = retry.prop_map(|(kind, initial, jitter)| RetryPolicy {
        kind,
        initial: Duration::from_millis(initial),
        max: Duration::from_millis(4_000),
        multiplier: 2.0,
        jitter,
    });
    let dedupe = (prop::sample::select(vec![2_000u64, 60_000]), 0..6usize);
    let dedupe = dedupe.prop_map(|(window, max_ids)| ConsumeDedupe {
        header: "id".into(),
        window: Duration::from_millis(window),
        max_ids,
    });
    let order = prop::sample::select(vec![QueueOrder::None, QueueOrder::Key]);
    let expired = prop::sample::select(vec![ExpiredAction::DeadLetter, ExpiredAction::Drop]);
    (
        retry,
        order,
        prop::option::of(dedupe),
        expired,
        1..4u16,
        prop::sample::select(vec![2usize, 5, 100]),
        prop::bool::weighted(0.9),
    )
        .prop_map(
            |(retry, order, dedupe, expired, delivery_limit, max_locks, dead_letters)| {
                QueueSettings {
                    lock: Duration::from_millis(1_000),
                    delivery_limit,
                    max_locks,
                    retry,
                    order,
                    dedupe,
                    expired,
                    dead_letters,
                }
            },
        )
}
/// A few seconds' worth, unless PROPTEST_CASES says more.
fn cases() -> u32 {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default().cases,
        None => 96,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens(
        settings in settings(),
        logs in prop::collection::vec(log(), QUEUES),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new(settings, logs);
        for step in &steps {
            world.step(step);
        }
        world.come_to_rest();
    }
}
