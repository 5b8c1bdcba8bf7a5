use std::sync::Arc;

use outlast_records::{BatchBuilder, Compression, NewRecord, check_at};
use tokio::time::Instant;

use super::*;

const ME: Identity = Identity {
    id: ProducerId(7),
    epoch: ProducerEpoch(0),
};

fn open_batch(records: usize) -> OpenBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    for _ in 0..records {
        builder.append(NewRecord {
            value: Some(b"v"),
            ..NewRecord::default()
        });
    }
    OpenBatch::new(0, builder, Instant::now(), Arc::default())
}

fn error(code: ErrorCode) -> ClientError {
    ClientError::broker(code, "test", None)
}

/// A flow with the steps of a test.
struct Script {
    flow: Flow,
    identity: Option<Identity>,
}

impl Script {
    fn new() -> Self {
        Self {
            flow: Flow::new(true),
            identity: Some(ME),
        }
    }

    /// A partition to which something was acknowledged before.
    fn established() -> Self {
        let mut script = Self::new();
        let first = script.send(1);
        script.flow.acknowledged(first.serial);
        script
    }

    fn send(&mut self, records: usize) -> Batch {
        assert_eq!(self.flow.gate(self.identity), Gate::Open);
        assert!(!self.flow.has_retries());
        self.flow.next_new(open_batch(records)).unwrap()
    }

    fn resend(&mut self) -> Batch {
        assert_eq!(self.flow.gate(self.identity), Gate::Open);
        self.flow.next_retry().unwrap()
    }

    fn fail(&mut self, batch: Batch, code: ErrorCode) -> &'static str {
        match self.flow.failed(batch, &error(code)) {
            Verdict::Retry => "retry",
            Verdict::Fail(_) => "fail",
            Verdict::Duplicate(_) => "duplicate",
        }
    }
}

/// What the broker sees: epoch and first sequence. The batch must still be whole.
fn stamp(batch: &Batch) -> (i16, i32) {
    let header = check_at(&batch.bytes).unwrap();
    assert_eq!(header.producer_id, ME.id);
    (header.producer_epoch.0, header.base_sequence.0)
}

#[test]
fn sequences_count_records() {
    let mut script = Script::established();
    let a = script.send(3);
    let b = script.send(2);
    let c = script.send(1);
    assert_eq!([stamp(&a), stamp(&b), stamp(&c)], [(0, 1), (0, 4), (0, 6)]);
}

#[test]
fn nothing_follows_the_first_batch_until_the_broker_knows_us() {
    let mut script = Script::new();
    let first = script.send(1);
    assert_eq!(script.flow.gate(script.identity), Gate::Shut);
    script.flow.acknowledged(first.serial);
    assert_eq!(script.flow.gate(script.identity), Gate::Open);
}

#[test]
fn a_producer_id_comes_first() {
    let mut flow = Flow::new(true);
    assert_eq!(flow.gate(None), Gate::NeedsIdentity);
    assert_eq!(flow.gate(Some(ME)), Gate::Open);
    assert_eq!(Flow::new(false).gate(None), Gate::Open);
}

#[test]
fn retries_go_in_order_and_before_anything_new() {
    let mut script = Script::established();
    let a = script.send(1);
    let b = script.send(1);
    let c = script.send(1);
    let numbers = [stamp(&a), stamp(&b)];
    // The second and third came back before the first.
    assert_eq!(script.fail(b, ErrorCode::NotLeaderOrFollower), "retry");
    assert_eq!(
        script.flow.gate(script.identity),
        Gate::Shut,
        "c is younger and out"
    );
    assert_eq!(script.fail(c, ErrorCode::OutOfOrderSequenceNumber), "retry");
    assert_eq!(script.fail(a, ErrorCode::NotLeaderOrFollower), "retry");
    let a = script.resend();
    let b = script.resend();
    assert_eq!(
        [stamp(&a), stamp(&b)],
        numbers,
        "the same numbers as before"
    );
    assert!(script.flow.has_retries());
    let c = script.resend();
    for batch in [a, b, c] {
        script.flow.acknowledged(batch.serial);
    }
    assert_eq!(stamp(&script.send(1)), (0, 4));
}

#[test]
fn out_of_order_with_everything_before_acknowledged_is_a_loss() {
    let mut script = Script::established();
    let a = script.send(1);
    assert_eq!(script.fail(a, ErrorCode::OutOfOrderSequenceNumber), "fail");
    // And the partition goes on under a new epoch.
    assert_eq!(stamp(&script.send(1)), (1, 0));
}

#[test]
fn a_refused_batch_leaves_no_hole() {
    let mut script = Script::established();
    let a = script.send(2);
    let b = script.send(2);
    assert_eq!(script.fail(a, ErrorCode::MessageTooLarge), "fail");
    assert_eq!(script.flow.gate(script.identity), Gate::Shut, "b is out");
    assert_eq!(script.fail(b, ErrorCode::OutOfOrderSequenceNumber), "retry");
    let b = script.resend();
    assert_eq!(stamp(&b), (1, 0));
    script.flow.acknowledged(b.serial);
    assert_eq!(stamp(&script.send(1)), (1, 2));
}

#[test]
fn an_expired_retry_leaves_no_hole() {
    let mut script = Script::established();
    let a = script.send(2);
    let b = script.send(2);
    assert_eq!(script.fail(a, ErrorCode::NotLeaderOrFollower), "retry");
    assert_eq!(script.fail(b, ErrorCode::NotLeaderOrFollower), "retry");
    let expired = script.flow.expire(|batch| batch.serial == 1);
    assert_eq!(expired.len(), 1);
    assert_eq!(stamp(&script.resend()), (1, 0));
}

#[test]
fn a_forgotten_producer_starts_again() {
    let mut script = Script::established();
    let a = script.send(2);
    assert_eq!(script.fail(a, ErrorCode::UnknownProducerId), "retry");
    assert_eq!(stamp(&script.resend()), (1, 0));
}

#[test]
fn a_duplicate_was_there_all_along() {
    let mut script = Script::established();
    let a = script.send(1);
    assert_eq!(
        script.fail(a, ErrorCode::DuplicateSequenceNumber),
        "duplicate"
    );
    assert_eq!(stamp(&script.send(1)), (0, 2));
}

#[test]
fn when_the_epochs_run_out_another_id_is_asked_for() {
    let mut script = Script::new();
    script.identity = Some(Identity {
        epoch: ProducerEpoch(i16::MAX - 1),
        ..ME
    });
    let first = script.send(1);
    script.flow.acknowledged(first.serial);
    let a = script.send(1);
    assert_eq!(script.fail(a, ErrorCode::UnknownProducerId), "retry");
    assert_eq!(script.flow.gate(script.identity), Gate::NeedsIdentity);
    let other = Identity {
        id: ProducerId(8),
        epoch: ProducerEpoch(0),
    };
    assert_eq!(script.flow.gate(Some(other)), Gate::Open);
    let a = script.flow.next_retry().unwrap();
    let header = check_at(&a.bytes).unwrap();
    assert_eq!((header.producer_id, header.base_sequence.0), (other.id, 0));
}

#[test]
fn without_idempotence_order_is_kept_and_nothing_is_numbered() {
    let mut flow = Flow::new(false);
    let a = flow.next_new(open_batch(1)).unwrap();
    let b = flow.next_new(open_batch(1)).unwrap();
    assert_eq!(check_at(&a.bytes).unwrap().producer_id, ProducerId::NONE);
    let gone = error(ErrorCode::NotLeaderOrFollower);
    assert!(matches!(flow.failed(a, &gone), Verdict::Retry));
    assert_eq!(flow.gate(None), Gate::Shut);
    flow.acknowledged(b.serial);
    assert_eq!(flow.gate(None), Gate::Open);
    let refused = error(ErrorCode::MessageTooLarge);
    let a = flow.next_retry().unwrap();
    assert!(matches!(flow.failed(a, &refused), Verdict::Fail(_)));
}

#[test]
fn sequences_wrap_to_zero() {
    let mut script = Script::established();
    script.flow.next_sequence = Sequence(i32::MAX);
    let a = script.send(2);
    assert_eq!(stamp(&a), (0, i32::MAX));
    assert_eq!(stamp(&script.send(1)), (0, 1));
}
