//! Compares what was observed with what had to come of every message, by its fate.
//!
//! A pure function of the facts: the same facts with one of them falsified must give another
//! result, which `fault` makes use of. Where a crash leaves it open what happened (an answer that
//! never came), both outcomes are allowed; nothing else is.

use std::collections::HashMap;

use super::Report;
use super::facts::{DeadLetter, Delivery, Facts, Stored, Verb};
use super::fate::{Fate, Letter, Number};
use super::promise::Promise;

/// How far the clock that workers read may lag behind the one that the broker reads, in ms: both
/// are the machine's, rounded.
const CLOCK_STEP_MS: u64 = 2;

pub fn check(facts: &Facts) -> Report {
    let mut report = Report::default();
    for complaint in &facts.complaints {
        report.broken(Promise::WorkersGoOn, complaint.clone());
    }
    if facts.left > 0 {
        let what = format!("{} messages are left", facts.left);
        report.broken(Promise::QueueEndsEmpty, what);
    }
    let stored = check_stored(facts, &mut report);
    let mut dead: HashMap<Number, Vec<&DeadLetter>> = HashMap::new();
    for letter in &facts.dead {
        match letter.letter {
            Some(of) => dead.entry(of.number).or_default().push(letter),
            None => report.broken(
                Promise::DeadTellsItsStory,
                format!("{:?} holds a damaged message", letter.place),
            ),
        }
    }
    let mut deliveries: HashMap<Number, Vec<&Delivery>> = HashMap::new();
    for delivery in &facts.deliveries {
        let of_number = deliveries.entry(delivery.number).or_default();
        of_number.push(delivery);
    }
    for number in deliveries.keys().chain(dead.keys()) {
        if !facts.letters.contains_key(number) {
            let what = format!("message {number} was never sent");
            report.broken(Promise::StoredOnce, what);
        }
    }
    for letter in facts.letters.values() {
        let mut taken = deliveries.remove(&letter.number).unwrap_or_default();
        taken.sort_by_key(|delivery| delivery.got);
        let story = Story {
            facts,
            letter,
            stored: stored.get(&letter.number).copied(),
            dead: dead.remove(&letter.number).unwrap_or_default(),
            taken,
        };
        story.check(&mut report);
    }
    report
}

fn check_stored<'a>(facts: &'a Facts, report: &mut Report) -> HashMap<Number, &'a Stored> {
    let mut found: HashMap<Number, &Stored> = HashMap::new();
    for stored in &facts.stored {
        let place = (stored.partition, stored.offset);
        let Some(letter) = stored.letter else {
            report.broken(
                Promise::StoredOnce,
                format!("{place:?} holds a damaged message"),
            );
            continue;
        };
        if let Some(first) = found.insert(letter.number, stored) {
            let what = format!(
                "message {} lies at {:?} and at {place:?}",
                letter.number,
                (first.partition, first.offset)
            );
            report.broken(Promise::StoredOnce, what);
        }
    }
    for number in &facts.published {
        if !found.contains_key(number) {
            let what = format!("message {number} was acknowledged and is gone");
            report.broken(Promise::StoredOnce, what);
        }
    }
    found
}

/// All that is known of one message.
struct Story<'a> {
    facts: &'a Facts,
    letter: &'a Letter,
    stored: Option<&'a Stored>,
    dead: Vec<&'a DeadLetter>,
    /// In the order in which the workers had them.
    taken: Vec<&'a Delivery>,
}

impl Story<'_> {
    fn check(&self, report: &mut Report) {
        let mut broken = |promise: Promise, what: String| {
            let Letter { number, fate, .. } = self.letter;
            report.broken(promise, format!("message {number} ({fate}) {what}"));
        };
        self.check_end(&mut broken);
        self.check_dead(&mut broken);
        self.check_hands(&mut broken);
        self.check_counts(&mut broken);
        let may_miss = matches!(self.letter.fate, Fate::Undecodable | Fate::Expire { .. });
        if self.taken.is_empty() && !may_miss {
            broken(Promise::ReachesAWorker, "was never delivered".to_owned());
        }
        for delivery in &self.taken {
            let due = self.letter.due_ms();
            if delivery.wall_ms + CLOCK_STEP_MS < due {
                let early = due - delivery.wall_ms;
                broken(
                    Promise::NeverEarly,
                    format!("came {early} ms early to {}", self.name(delivery)),
                );
            }
        }
    }

    fn name(&self, delivery: &Delivery) -> &str {
        &self.facts.workers[delivery.worker].name
    }

    fn check_end(&self, broken: &mut impl FnMut(Promise, String)) {
        let ended = |delivery: &&&Delivery| match delivery.tried {
            Some((verb, _)) => verb.is_terminal() && delivery.confirmed.is_some(),
            None => false,
        };
        let confirmed: Vec<&&Delivery> = self.taken.iter().filter(ended).collect();
        if let [first, second, ..] = confirmed[..] {
            let what = format!(
                "was done with twice, by {} and by {}",
                self.name(first),
                self.name(second)
            );
            broken(Promise::EndsOnce, what);
        }
        let is_accepted = |delivery: &&&Delivery| {
            delivery.tried.is_some_and(|(verb, _)| verb == Verb::Accept) && !delivery.refused
        };
        let accepted: Vec<&&Delivery> = self.taken.iter().filter(is_accepted).collect();
        let is_certain = accepted.iter().any(|delivery| delivery.confirmed.is_some());
        if is_certain && !self.dead.is_empty() {
            broken(
                Promise::EndsOnce,
                "was accepted and is a dead letter".to_owned(),
            );
        }
        if accepted.is_empty() && self.dead.is_empty() {
            broken(Promise::EndsOnce, "has no end".to_owned());
        }
        for done in confirmed {
            let at = done.confirmed.unwrap_or(0);
            let is_later = |delivery: &&&Delivery| {
                // An answer that lay in the network for as long as a lock lives says nothing.
                let is_fresh = delivery.asked + self.facts.lock > at;
                delivery.got > at && is_fresh && !self.may_be_stale(delivery)
            };
            if let Some(again) = self.taken.iter().find(is_later) {
                let what = format!("came back to {} after its end", self.name(again));
                broken(Promise::DoneIsDone, what);
            }
        }
    }

    /// A session's client may hand out what it had fetched before the broker died, and with the
    /// broker its session and its locks.
    fn may_be_stale(&self, delivery: &Delivery) -> bool {
        let window = delivery.asked..=delivery.got;
        let mut kills = self.facts.broker_kills.iter();
        self.facts.workers[delivery.worker].has_session && kills.any(|kill| window.contains(kill))
    }

    fn check_dead(&self, broken: &mut impl FnMut(Promise, String)) {
        let expected = self.letter.fate.death();
        if let [first, second, ..] = self.dead[..] {
            let what = format!("died twice, at {:?} and {:?}", first.place, second.place);
            broken(Promise::DeadOnce, what);
        }
        let Some(dead) = self.dead.first() else {
            if let Some(reason) = expected {
                let what = format!("is no dead letter for reason {reason}");
                broken(Promise::DeadAsExpected, what);
            }
            return;
        };
        if dead.reason != expected {
            let what = format!("died of {:?}, not of {expected:?}", dead.reason);
            broken(Promise::DeadAsExpected, what);
        }
        let place = self.stored.map(|stored| (stored.partition, stored.offset));
        if dead.letter != Some(*self.letter) {
            broken(Promise::DeadTellsItsStory, "died as another".to_owned());
        }
        if dead.origin.is_none() || dead.origin != place {
            let what = format!("lay at {place:?}; it says {:?}", dead.origin);
            broken(Promise::DeadTellsItsStory, what);
        }
        let seen = self.taken.iter().map(|delivery| delivery.count).max();
        let limit = self.facts.delivery_limit;
        let attempts = match self.letter.fate {
            Fate::Doomed => limit..=limit,
            Fate::Undecodable => 0..=0,
            _ => seen.unwrap_or(0)..=limit,
        };
        if !dead.attempts.is_some_and(|told| attempts.contains(&told)) {
            let what = format!("was tried {attempts:?} times; it says {:?}", dead.attempts);
            broken(Promise::DeadTellsItsStory, what);
        }
    }

    fn check_hands(&self, broken: &mut impl FnMut(Promise, String)) {
        let mut holder: Option<(&Delivery, u64)> = None;
        for delivery in &self.taken {
            let held = self.facts.held(delivery);
            if held.is_empty() {
                continue;
            }
            if let Some((other, until)) = holder
                && held.start < until
            {
                let what = format!(
                    "was with {} (delivery {}) when {} got it (delivery {}), {} ms before the lock's end",
                    self.name(other),
                    other.count,
                    self.name(delivery),
                    delivery.count,
                    (until - held.start) / 1_000_000,
                );
                broken(Promise::OneHandAtATime, what);
            }
            if holder.is_none_or(|(_, until)| held.end > until) {
                holder = Some((delivery, held.end));
            }
        }
    }

    fn check_counts(&self, broken: &mut impl FnMut(Promise, String)) {
        let limit = self.facts.delivery_limit;
        for delivery in &self.taken {
            if !(1..=limit).contains(&delivery.count) {
                let what = format!("came as delivery {} of {limit}", delivery.count);
                broken(Promise::CountsGrow, what);
            }
        }
        if matches!(self.letter.fate, Fate::NotNow { .. }) {
            // Its deliveries are taken back.
            return;
        }
        for pair in self.taken.windows(2) {
            let [first, second] = pair else { continue };
            // The earlier request may have been answered later: only certain orders count.
            if first.got < second.asked && second.count <= first.count {
                let what = format!(
                    "came as delivery {} to {} and then as {} to {}",
                    first.count,
                    self.name(first),
                    second.count,
                    self.name(second)
                );
                broken(Promise::CountsGrow, what);
            }
        }
    }
}

#[cfg(test)]
mod tests;
