//! How transactions begin and end.

use super::*;

const V0: TxnVersion = TxnVersion::V0;
const V2: TxnVersion = TxnVersion::V2;

/// What an id looks like before the EndTxn of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    Empty,
    Ongoing,
    PrepareCommit,
    PrepareAbort,
    CompleteCommit,
    CompleteAbort,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Sent {
    Retry,
    Current,
}

#[derive(Debug, PartialEq)]
enum Got {
    /// The epoch is one higher.
    Bumped,
    /// It stays.
    Kept,
    Fenced,
    Invalid,
    Concurrent,
}

fn brought_to(before: Before, version: TxnVersion) -> (Machine, Producer) {
    let mut m = Machine::new();
    let producer = m.init(ID, None).expect("init");
    if before == Before::Empty {
        return (m, producer);
    }
    m.add(ID, producer, version, 0).expect("add");
    match before {
        Before::Empty | Before::Ongoing => {}
        Before::PrepareCommit => drop(m.prepare(ID, producer, true, version)),
        Before::PrepareAbort => drop(m.prepare(ID, producer, false, version)),
        Before::CompleteCommit => drop(m.end(ID, producer, true, version)),
        Before::CompleteAbort => drop(m.end(ID, producer, false, version)),
    }
    (m, producer)
}

#[test]
fn ends_are_taken_or_refused_as_kafka_does() {
    use Before::*;
    use Got::*;
    use Sent::*;
    let check = |version: TxnVersion, before: Before, sent: Sent, commit: bool, expect: Got| {
        // After a crash the answers are the same.
        for crash in [false, true] {
            let (mut m, first) = brought_to(before, version);
            if crash {
                m.crash(usize::MAX);
            }
            let now = m.txns.get(ID).expect("known").producer;
            let producer = match sent {
                Current => now,
                Retry => Producer::new(now.id.0, now.epoch.0 - 1),
            };
            let got = match m.prepare(ID, producer, commit, version) {
                Ok(Ended::Prepared(after) | Ended::Before(after)) if after == now => Kept,
                Ok(Ended::Prepared(after)) => {
                    assert_eq!(after.epoch.0, now.epoch.0 + 1);
                    Bumped
                }
                Ok(other) => panic!("{other:?}"),
                Err(ErrorCode::ProducerFenced) => Fenced,
                Err(ErrorCode::InvalidTxnState) => Invalid,
                Err(ErrorCode::ConcurrentTransactions) => Concurrent,
                Err(other) => panic!("{other}"),
            };
            assert_eq!(
                got, expect,
                "{version:?} {before:?} {sent:?} commit {commit} crash {crash} first {first:?}"
            );
        }
    };
    for (before, sent, abort, commit) in [
        (Empty, Retry, Fenced, Fenced),
        (Empty, Current, Bumped, Invalid),
        (Ongoing, Retry, Fenced, Fenced),
        (Ongoing, Current, Bumped, Bumped),
        (PrepareCommit, Retry, Invalid, Concurrent),
        (PrepareCommit, Current, Fenced, Fenced),
        (PrepareAbort, Retry, Concurrent, Invalid),
        (PrepareAbort, Current, Fenced, Fenced),
        (CompleteCommit, Retry, Invalid, Kept),
        (CompleteCommit, Current, Bumped, Invalid),
        (CompleteAbort, Retry, Kept, Invalid),
        (CompleteAbort, Current, Bumped, Invalid),
    ] {
        check(V2, before, sent, false, abort);
        check(V2, before, sent, true, commit);
    }
    for (before, abort, commit) in [
        (Empty, Invalid, Invalid),
        (Ongoing, Kept, Kept),
        (PrepareCommit, Invalid, Concurrent),
        (PrepareAbort, Concurrent, Invalid),
        (CompleteCommit, Invalid, Kept),
        (CompleteAbort, Kept, Invalid),
    ] {
        check(V0, before, Current, false, abort);
        check(V0, before, Current, true, commit);
        check(V0, before, Retry, true, Fenced);
    }
}

#[test]
fn a_late_end_does_not_hit_the_next_transaction() {
    // KAFKA-17754
    let mut m = Machine::new();
    let first = m.init(ID, None).expect("init");
    m.add(ID, first, V2, 0).expect("add");
    let second = m.end(ID, first, true, V2).expect("end");
    assert_eq!(m.end(ID, first, true, V2), Ok(second), "a retry");
    m.add(ID, second, V2, 1).expect("add");
    for commit in [true, false] {
        assert_eq!(m.end(ID, first, commit, V2), Err(ErrorCode::ProducerFenced));
    }
    assert_eq!(m.state(ID), Some(TxnState::Ongoing));
}

#[test]
fn partitions_join_once_and_only_a_transaction_that_is_open() {
    let mut m = Machine::new();
    let producer = m.init(ID, None).expect("init");
    let verify = |m: &Machine, partition| m.txns.verify(ID, producer, "t", partition);
    assert_eq!(verify(&m, 0), Err(ErrorCode::TransactionAbortable));
    m.add(ID, producer, V0, 0).expect("add");
    let records = m.log.len();
    m.add(ID, producer, V0, 0).expect("again");
    assert_eq!(m.log.len(), records, "nothing to say");
    m.add(ID, producer, V0, 1).expect("another");
    assert_eq!((verify(&m, 0), verify(&m, 1)), (Ok(()), Ok(())));
    assert_eq!(verify(&m, 2), Err(ErrorCode::TransactionAbortable));
    assert_eq!(
        m.txns.verify(ID, Producer::new(100, 1), "t", 0),
        Err(ErrorCode::ProducerFenced)
    );
    m.prepare(ID, producer, true, V0).expect("prepare");
    assert_eq!(verify(&m, 0), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(
        m.add(ID, producer, V0, 2),
        Err(ErrorCode::ConcurrentTransactions)
    );
    let ending = m.txns.ending(ID).expect("ending");
    assert_eq!(ending.partitions.iter().count(), 2);
    m.complete(ID);
    assert_eq!(verify(&m, 0), Err(ErrorCode::TransactionAbortable));
    m.add(ID, producer, V0, 2).expect("the next one");
    assert_eq!(verify(&m, 0), Err(ErrorCode::TransactionAbortable));
}

#[test]
fn what_is_open_for_too_long_is_aborted_by_time() {
    let mut m = Machine::new();
    let producer = m.init(ID, None).expect("init");
    m.add(ID, producer, V2, 0).expect("add");
    let after = |m: &Machine| match m.timers.last() {
        Some(TimerChange::Start { after, event, .. }) => Some((after.as_millis(), *event)),
        _ => None,
    };
    assert_eq!(after(&m), Some((60_000, producer)));
    m.now += 20_000;
    m.add(ID, producer, V2, 1).expect("add");
    m.crash(usize::MAX);
    assert_eq!(
        after(&m),
        Some((40_000, producer)),
        "it counts over restarts"
    );
    m.now += 40_000;
    m.news.clear();
    let id = Str::from(ID);
    m.run(|txns, _, fx| txns.timer_fired(&id, producer, fx));
    assert_eq!(m.news, [News::TimedOut(id.clone(), producer)]);
    let fenced = m.run(|txns, now, fx| txns.fence(&id, producer, None, now, fx));
    assert_eq!(fenced, Ok(true));
    assert_eq!(
        m.txns.ending(ID).map(|e| e.producer),
        Some(Producer::new(100, 1))
    );
    m.complete(ID);
    assert_eq!(
        m.end(ID, producer, true, V2),
        Err(ErrorCode::InvalidTxnState),
        "it was aborted, and looks like a retry"
    );
    assert_eq!(m.end(ID, producer, false, V2), Ok(Producer::new(100, 1)));
    m.news.clear();
    m.run(|txns, _, fx| txns.timer_fired(&id, producer, fx));
    assert_eq!(m.news, [], "a timer that fires late does nothing");
}

#[test]
fn what_was_ending_is_heard_of_after_a_restart() {
    let mut m = Machine::new();
    let producer = m.init(ID, None).expect("init");
    m.add(ID, producer, V2, 3).expect("add");
    m.prepare(ID, producer, true, V2).expect("prepare");
    let before = m.txns.ending(ID);
    m.news.clear();
    m.crash(usize::MAX);
    assert_eq!(m.news, [News::Ending(Str::from(ID))]);
    assert_eq!(m.txns.ending(ID), before);
}
