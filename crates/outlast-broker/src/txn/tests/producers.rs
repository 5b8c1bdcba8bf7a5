//! Who speaks for a transactional id.

use super::*;

const V0: TxnVersion = TxnVersion::V0;
const V2: TxnVersion = TxnVersion::V2;

fn p(id: i64, epoch: i16) -> Producer {
    Producer::new(id, epoch)
}

#[test]
fn every_new_producer_gets_the_next_epoch() {
    let mut m = Machine::new();
    assert_eq!(m.init(ID, None), Ok(p(100, 0)));
    assert_eq!(m.init(ID, None), Ok(p(100, 1)));
    assert_eq!(m.init("other", None), Ok(p(101, 0)));
    assert_eq!(m.add(ID, p(100, 0), V2, 0), Err(ErrorCode::ProducerFenced));
    assert_eq!(
        m.add(ID, p(101, 1), V2, 0),
        Err(ErrorCode::InvalidProducerIdMapping)
    );
    assert_eq!(
        m.add("unknown", p(100, 1), V2, 0),
        Err(ErrorCode::InvalidProducerIdMapping)
    );
    assert_eq!(m.add("", p(100, 1), V2, 0), Err(ErrorCode::InvalidRequest));
}

#[test]
fn what_can_not_be_is_refused() {
    let mut m = Machine::new();
    for (id, timeout_ms, expect) in [
        ("", 1, ErrorCode::InvalidRequest),
        (ID, 0, ErrorCode::InvalidTransactionTimeout),
        (ID, -1, ErrorCode::InvalidTransactionTimeout),
        (ID, 900_001, ErrorCode::InvalidTransactionTimeout),
    ] {
        let init = Init {
            id: Str::from(id),
            timeout_ms,
            expected: None,
        };
        let got = m.run(|txns, now, fx| txns.init(&init, Some(ProducerId(1)), now, fx));
        assert_eq!(got, Err(expect), "{id:?} {timeout_ms}");
    }
    assert!(m.log.is_empty());
}

#[test]
fn a_successor_aborts_what_its_predecessor_left_open() {
    for version in [V0, V2] {
        let mut m = Machine::new();
        let old = m.init(ID, None).expect("init");
        m.add(ID, old, version, 0).expect("add");
        let init = Init {
            id: Str::from(ID),
            timeout_ms: 60_000,
            expected: None,
        };
        let first = m.run(|txns, now, fx| txns.init(&init, None, now, fx));
        assert_eq!(first, Ok(Started::Aborting));
        let ending = m.txns.ending(ID).expect("ending");
        assert!(!ending.commit);
        assert_eq!(ending.producer, p(100, 1), "the markers fence");
        let early = m.run(|txns, now, fx| txns.init(&init, None, now, fx));
        assert_eq!(early, Err(ErrorCode::ConcurrentTransactions));
        m.complete(ID);
        assert_eq!(m.init(ID, None), Ok(p(100, 2)));
        assert_eq!(
            m.end(ID, old, true, version),
            Err(ErrorCode::ProducerFenced),
            "{version:?}"
        );
    }
}

#[test]
fn a_producer_that_recovers_says_who_it_was() {
    let mut m = Machine::new();
    let first = m.init(ID, None).expect("init");
    let second = m.init(ID, Some(first)).expect("bump");
    assert_eq!(second, p(100, 1));
    assert_eq!(m.init(ID, Some(first)), Ok(second), "it missed the answer");
    assert_eq!(m.init(ID, Some(second)), Ok(p(100, 2)));
    assert_eq!(m.init(ID, Some(first)), Err(ErrorCode::ProducerFenced));
    assert_eq!(m.init(ID, Some(p(7, 2))), Err(ErrorCode::ProducerFenced));
    assert_eq!(
        m.init("forgotten", Some(p(7, 2))),
        Ok(p(101, 0)),
        "nobody knows better"
    );
}

#[test]
fn used_up_epochs_give_a_new_id() {
    let mut m = Machine::new();
    let mut last = m.init(ID, None).expect("init");
    while last.id == ProducerId(100) && last.epoch.0 < i16::MAX - 1 {
        last = m.init(ID, None).expect("init");
    }
    assert_eq!(last, p(100, i16::MAX - 1));
    assert_eq!(m.init(ID, Some(last)), Ok(p(101, 0)));
    assert_eq!(
        m.init(ID, Some(last)),
        Ok(p(101, 0)),
        "it missed the answer"
    );

    // A transaction that ends with the last epoch moves on to a new id, too (TV2).
    let mut m = Machine::new();
    let mut at = m.init(ID, None).expect("init");
    for _ in 0..i16::MAX - 1 {
        m.add(ID, at, V2, 0).expect("add");
        at = m.end(ID, at, true, V2).expect("end");
    }
    assert_eq!(at, p(100, i16::MAX - 1));
    m.add(ID, at, V2, 0).expect("add");
    assert_eq!(m.prepare(ID, at, true, V2), Ok(Ended::Prepared(p(101, 0))));
    let ending = m.txns.ending(ID).expect("ending");
    assert_eq!(ending.producer, p(100, i16::MAX), "markers have the old id");
    m.complete(ID);
    assert_eq!(m.end(ID, at, true, V2), Ok(p(101, 0)), "answered as before");
    m.add(ID, p(101, 0), V2, 0).expect("the new id goes on");
    assert_eq!(
        m.end(ID, at, true, V2),
        Err(ErrorCode::InvalidProducerIdMapping)
    );
}

#[test]
fn an_id_that_nobody_uses_is_forgotten() {
    let mut m = Machine::new();
    let idle = m.init("idle", None).expect("init");
    let open = m.init("open", None).expect("init");
    m.add("open", open, V2, 0).expect("add");
    m.now += 604_800_000 - 1;
    m.run(|txns, now, fx| txns.expire(now, fx));
    assert_eq!(m.state("idle"), Some(TxnState::Empty));
    m.now += 1;
    m.run(|txns, now, fx| txns.expire(now, fx));
    assert_eq!(m.state("idle"), None);
    assert_eq!(m.state("open"), Some(TxnState::Ongoing));
    m.crash(usize::MAX);
    assert_eq!(m.state("idle"), None);
    assert_eq!(
        m.add("idle", idle, V2, 0),
        Err(ErrorCode::InvalidProducerIdMapping)
    );
}
