//! Falsified observations: a check that can't fail proves nothing.
//!
//! Every run ends with one copy of its facts for each way to falsify them, and the check must
//! notice every one, for what it is.

use super::Report;
use super::check::check;
use super::facts::{DeadLetter, Delivery, Facts, Verb};
use super::fate::{Fate, Reason};
use super::promise::Promise;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Falsification {
    MessageLost,
    MessageStoredTwice,
    DeliveriesForgotten,
    DeadLetterLost,
    DeadLetterTwice,
    DeadForAnotherReason,
    AttemptForgotten,
    OriginMoved,
    AcceptedAndDead,
    AcceptedTwice,
    BackFromTheEnd,
    InTwoHands,
    Early,
    CountFell,
    OneLeft,
}

impl Falsification {
    pub const ALL: [Falsification; 15] = [
        Falsification::MessageLost,
        Falsification::MessageStoredTwice,
        Falsification::DeliveriesForgotten,
        Falsification::DeadLetterLost,
        Falsification::DeadLetterTwice,
        Falsification::DeadForAnotherReason,
        Falsification::AttemptForgotten,
        Falsification::OriginMoved,
        Falsification::AcceptedAndDead,
        Falsification::AcceptedTwice,
        Falsification::BackFromTheEnd,
        Falsification::InTwoHands,
        Falsification::Early,
        Falsification::CountFell,
        Falsification::OneLeft,
    ];

    /// What the check must say of it.
    pub fn breaks(self) -> Promise {
        match self {
            Falsification::MessageLost | Falsification::MessageStoredTwice => Promise::StoredOnce,
            Falsification::DeliveriesForgotten => Promise::ReachesAWorker,
            Falsification::DeadLetterLost | Falsification::DeadForAnotherReason => {
                Promise::DeadAsExpected
            }
            Falsification::DeadLetterTwice => Promise::DeadOnce,
            Falsification::AttemptForgotten | Falsification::OriginMoved => {
                Promise::DeadTellsItsStory
            }
            Falsification::AcceptedAndDead | Falsification::AcceptedTwice => Promise::EndsOnce,
            Falsification::BackFromTheEnd => Promise::DoneIsDone,
            Falsification::InTwoHands => Promise::OneHandAtATime,
            Falsification::Early => Promise::NeverEarly,
            Falsification::CountFell => Promise::CountsGrow,
            Falsification::OneLeft => Promise::QueueEndsEmpty,
        }
    }

    /// Falsifies one observation; nothing when the run made none of that kind.
    pub fn falsify(self, facts: &mut Facts, rng: &mut fastrand::Rng) -> Option<()> {
        match self {
            Falsification::MessageLost => lose(&mut facts.stored, rng)?,
            Falsification::MessageStoredTwice => {
                let mut again = facts.stored.get(index(facts.stored.len(), rng)?)?.clone();
                again.offset += 1_000_000;
                facts.stored.push(again);
            }
            Falsification::DeliveriesForgotten => {
                let of = pick(facts, rng, is_accepted)?;
                facts
                    .deliveries
                    .retain(|delivery| delivery.number != of.number);
            }
            Falsification::DeadLetterLost => lose(&mut facts.dead, rng)?,
            Falsification::DeadLetterTwice => {
                let again = facts.dead.get(index(facts.dead.len(), rng)?)?.clone();
                facts.dead.push(again);
            }
            Falsification::DeadForAnotherReason => {
                let dead = pick_dead(facts, rng, |_| true)?;
                dead.reason = match dead.reason {
                    Some(Reason::Limit) => Some(Reason::Rejected),
                    _ => Some(Reason::Limit),
                };
            }
            Falsification::AttemptForgotten => {
                let is_doomed = |dead: &DeadLetter| {
                    dead.letter
                        .is_some_and(|letter| letter.fate == Fate::Doomed)
                };
                let dead = pick_dead(facts, rng, is_doomed)?;
                dead.attempts = dead.attempts?.checked_sub(1);
            }
            Falsification::OriginMoved => {
                let dead = pick_dead(facts, rng, |_| true)?;
                let (partition, offset) = dead.origin?;
                dead.origin = Some((partition, offset + 1));
            }
            Falsification::AcceptedAndDead => {
                let of = pick(facts, rng, is_accepted)?;
                let letter = facts.letters.get(&of.number).copied();
                let mut dead = facts.dead.first()?.clone();
                dead.letter = letter;
                facts.dead.push(dead);
            }
            Falsification::AcceptedTwice => {
                let again = pick(facts, rng, is_accepted)?;
                facts.deliveries.push(again);
            }
            Falsification::BackFromTheEnd => {
                let mut again = pick(facts, rng, is_accepted)?;
                let end = again.confirmed?;
                (again.asked, again.got) = (end + 1, end + 2);
                (again.tried, again.confirmed) = (None, None);
                again.count += 1;
                facts.deliveries.push(again);
            }
            Falsification::InTwoHands => {
                let is_held = |delivery: &Delivery, facts: &Facts| !facts.held(delivery).is_empty();
                let mut again = pick(facts, rng, is_held)?;
                again.worker = (again.worker + 1) % facts.workers.len();
                // Another worker's death must not end it.
                let is_alive = facts.workers[again.worker].killed.is_none();
                if !is_alive || facts.workers[again.worker].has_session {
                    facts.workers.push(facts.workers[again.worker].clone());
                    again.worker = facts.workers.len() - 1;
                    facts.workers[again.worker].killed = None;
                    facts.workers[again.worker].has_session = false;
                }
                facts.deliveries.push(again);
            }
            Falsification::Early => {
                let letters = facts.letters.clone();
                let due = |delivery: &Delivery| letters.get(&delivery.number).map(|of| of.due_ms());
                let is_due = |delivery: &&mut Delivery| due(delivery).is_some_and(|due| due > 0);
                let delivery = facts.deliveries.iter_mut().find(is_due)?;
                delivery.wall_ms = due(delivery)? - 50;
            }
            Falsification::CountFell => {
                let mut again = pick(facts, rng, |delivery, facts| {
                    let fate = facts.letters.get(&delivery.number).map(|of| of.fate);
                    delivery.count > 1 && !matches!(fate, Some(Fate::NotNow { .. }) | None)
                })?;
                // One more before it, whose count was no smaller.
                (again.got, again.asked) = (again.asked - 1, again.asked - 2);
                facts.deliveries.push(again);
            }
            Falsification::OneLeft => facts.left += 1,
        }
        Some(())
    }
}

/// Falsifies copies of the facts, one after the other; the report says which were not noticed.
pub fn check_the_check(facts: &Facts, seed: u64, report: &mut Report) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let before = check(facts);
    for falsification in Falsification::ALL {
        if before.broken_promises().contains(&falsification.breaks()) {
            // It is broken already: nothing could be told apart.
            continue;
        }
        let mut falsified = facts.clone();
        let what = match falsification.falsify(&mut falsified, &mut rng) {
            None => "had nothing to falsify",
            Some(()) => {
                let noticed = check(&falsified).broken_promises();
                if noticed.contains(&falsification.breaks()) {
                    continue;
                }
                "was not noticed"
            }
        };
        report.broken(Promise::FaultsNoticed, format!("{falsification:?} {what}"));
    }
}

fn is_accepted(delivery: &Delivery, _: &Facts) -> bool {
    matches!(delivery.tried, Some((Verb::Accept, _))) && delivery.confirmed.is_some()
}

fn index(length: usize, rng: &mut fastrand::Rng) -> Option<usize> {
    (length > 0).then(|| rng.usize(..length))
}

fn lose<T>(from: &mut Vec<T>, rng: &mut fastrand::Rng) -> Option<()> {
    let at = index(from.len(), rng)?;
    from.swap_remove(at);
    Some(())
}

fn pick(
    facts: &Facts,
    rng: &mut fastrand::Rng,
    is_wanted: impl Fn(&Delivery, &Facts) -> bool,
) -> Option<Delivery> {
    let wanted = facts.deliveries.iter().filter(|it| is_wanted(it, facts));
    let wanted: Vec<&Delivery> = wanted.collect();
    wanted.get(index(wanted.len(), rng)?).map(|&it| it.clone())
}

fn pick_dead<'a>(
    facts: &'a mut Facts,
    rng: &mut fastrand::Rng,
    is_wanted: impl Fn(&DeadLetter) -> bool,
) -> Option<&'a mut DeadLetter> {
    let mut wanted: Vec<&mut DeadLetter> =
        facts.dead.iter_mut().filter(|it| is_wanted(it)).collect();
    let at = index(wanted.len(), rng)?;
    Some(wanted.swap_remove(at))
}
