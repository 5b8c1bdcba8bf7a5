use super::super::facts::Worker;
use super::super::fate::Reason;
use super::super::fault::check_the_check;
use super::*;

const LOCK: u64 = 1_000_000;
const LIMIT: u32 = 4;

/// A run in which everything went as it should: message n lies at offset n.
fn flawless() -> Facts {
    let fates = [
        Fate::Accept,
        Fate::Fail { times: 2 },
        Fate::Doomed,
        Fate::Reject { delivery: 1 },
        Fate::Expire { ttl_ms: 600 },
        Fate::Undecodable,
        Fate::Delay { delay_ms: 100 },
        Fate::NotNow { until_ms: 100 },
        Fate::Slow,
    ];
    let mut facts = Facts {
        lock: LOCK,
        delivery_limit: LIMIT,
        ..Facts::default()
    };
    for name in ["one", "two"] {
        facts.workers.push(Worker {
            name: name.to_owned(),
            has_session: false,
            killed: None,
        });
    }
    for (number, fate) in (0..).zip(fates) {
        let letter = Letter {
            number,
            sent_ms: 1000,
            fate,
        };
        facts.letters.insert(number, letter);
        facts.published.insert(number);
        facts.stored.push(Stored {
            partition: 0,
            offset: i64::from(number),
            letter: Some(letter),
        });
        let (verbs, attempts): (&[Verb], u32) = match fate {
            Fate::Fail { .. } => (&[Verb::Release, Verb::Forget, Verb::Accept], 3),
            Fate::Doomed => (&[Verb::Release; LIMIT as usize], LIMIT),
            Fate::Reject { .. } => (&[Verb::Reject], 1),
            Fate::Expire { .. } => (&[Verb::Release], 1),
            Fate::Undecodable => (&[], 0),
            _ => (&[Verb::Accept], 1),
        };
        for (turn, &verb) in (0..).zip(verbs) {
            facts.deliveries.push(delivery(letter, turn, verb));
        }
        if let Some(reason) = fate.death() {
            facts.dead.push(DeadLetter {
                place: (0, i64::from(number)),
                letter: Some(letter),
                reason: Some(reason),
                attempts: Some(attempts),
                origin: Some((0, i64::from(number))),
            });
        }
    }
    facts
}

fn delivery(letter: Letter, turn: u32, verb: Verb) -> Delivery {
    let asked = u64::from(turn + 1) * 3 * LOCK;
    let is_settled = verb != Verb::Forget;
    Delivery {
        number: letter.number,
        worker: turn as usize % 2,
        count: turn + 1,
        asked,
        got: asked + 10,
        wall_ms: 1100,
        renewed: None,
        tried: is_settled.then_some((verb, asked + 20)),
        confirmed: is_settled.then_some(asked + 30),
        refused: false,
    }
}

#[test]
fn a_flawless_run_keeps_every_promise_and_every_falsification_is_noticed() {
    let facts = flawless();
    for seed in 0..20 {
        let mut report = check(&facts);
        check_the_check(&facts, seed, &mut report);
        assert!(report.all_kept(), "{report}");
    }
}

/// Changes the flawless run and names what that breaks.
fn breaks(change: impl Fn(&mut Facts), expect: &[Promise]) {
    let mut facts = flawless();
    change(&mut facts);
    let report = check(&facts);
    assert_eq!(report.broken_promises(), expect, "{report}");
}

fn of(facts: &mut Facts, number: Number) -> &mut Delivery {
    let found = facts.deliveries.iter_mut().find(|it| it.number == number);
    found.unwrap()
}

#[test]
fn what_a_crash_leaves_open_is_allowed() {
    // The answer to the acknowledgement never came.
    breaks(|facts| of(facts, 0).confirmed = None, &[]);
    // A lost answer cost a delivery that no worker saw: the counts skip one.
    breaks(|facts| of(facts, 1).count = 1, &[]);
    breaks(|facts| facts.deliveries.retain(|it| it.number != 4), &[]);
}

#[test]
fn what_no_crash_excuses_is_told() {
    breaks(|facts| of(facts, 0).tried = None, &[Promise::EndsOnce]);
    breaks(|facts| of(facts, 0).refused = true, &[Promise::EndsOnce]);
    breaks(
        |facts| facts.dead[0].reason = Some(Reason::Expired),
        &[Promise::DeadAsExpected],
    );
    breaks(
        |facts| facts.dead[0].attempts = None,
        &[Promise::DeadTellsItsStory],
    );
    breaks(
        |facts| facts.stored[2].offset = 77,
        &[Promise::DeadTellsItsStory],
    );
    breaks(
        |facts| facts.complaints.push("a worker gave up".to_owned()),
        &[Promise::WorkersGoOn],
    );
    breaks(|facts| of(facts, 6).wall_ms = 1097, &[Promise::NeverEarly]);
    breaks(|facts| of(facts, 6).wall_ms = 1098, &[]);
}
