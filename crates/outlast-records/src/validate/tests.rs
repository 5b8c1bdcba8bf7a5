use super::*;
use crate::{
    BatchBuilder, Compression, Corruption, LeaderEpoch, NewRecord, Offset, ProducerEpoch,
    ProducerId, Sequence,
};

const RULES: ProduceRules = ProduceRules {
    max_batch_bytes: 1_000,
    max_decompressed_bytes: 10_000,
    keys_required: false,
    log_append_time: false,
    now: Timestamp(1_000_000),
    timestamp_before_max_ms: i64::MAX,
    timestamp_after_max_ms: 3_600_000,
};

fn builder() -> BatchBuilder {
    BatchBuilder::new(Compression::None)
}

fn one(mut builder: BatchBuilder) -> CheckedBatch {
    builder.append(record(1_000_000));
    builder.build().unwrap()
}

fn record(timestamp: i64) -> NewRecord<'static> {
    NewRecord {
        timestamp: Timestamp(timestamp),
        key: Some(b"key"),
        value: Some(b"value"),
        headers: &[],
    }
}

fn produced(batch: &CheckedBatch, rules: &ProduceRules) -> Result<(), BatchError> {
    check_produced(BytesMut::from(batch.bytes()), rules).map(|checked| assert_eq!(&checked, batch))
}

#[test]
fn a_good_batch_passes_unchanged() {
    produced(&one(builder()), &RULES).unwrap();
    let producer = builder().producer(ProducerId(0), ProducerEpoch(0), Sequence(0));
    produced(&one(producer.clone()), &RULES).unwrap();
    produced(&one(producer.transactional()), &RULES).unwrap();
}

#[test]
fn what_a_client_may_not_write_is_refused() {
    let check = |batch: CheckedBatch, expect: InvalidRecord| {
        assert_eq!(produced(&batch, &RULES), Err(expect.into()));
    };
    check(one(builder().control()), InvalidRecord::Control);
    check(
        one(builder().transactional()),
        InvalidRecord::TransactionWithoutProducer,
    );
    check(
        one(builder().producer(ProducerId(1), ProducerEpoch(0), Sequence(-1))),
        InvalidRecord::Sequence(-1),
    );
    check(
        one(builder().producer(ProducerId(1), ProducerEpoch(-1), Sequence(0))),
        InvalidRecord::ProducerEpoch(-1),
    );
    let mut placed = one(builder());
    placed.assign(Offset(4), LeaderEpoch(0));
    check(placed, InvalidRecord::BaseOffset(4));
    let mut gap = builder();
    gap.append_at(1, record(1));
    check(
        gap.build().unwrap(),
        InvalidRecord::Count { count: 1, span: 2 },
    );
}

#[test]
fn exactly_one_batch() {
    let check = |bytes: Vec<u8>, expect: BatchError| {
        assert_eq!(
            check_produced(BytesMut::from(&bytes[..]), &RULES),
            Err(expect)
        );
    };
    let batch = one(builder()).bytes().to_vec();
    check(vec![], InvalidRecord::BatchCount(0).into());
    check(
        [&batch[..], &batch].concat(),
        InvalidRecord::BatchCount(2).into(),
    );
    check(
        [&batch[..], &[0; 5]].concat(),
        Corruption::Truncated {
            needed: 61,
            available: 5,
        }
        .into(),
    );
}

#[test]
fn size_is_the_batch_as_it_came() {
    let batch = one(builder());
    let rules = |max_batch_bytes| ProduceRules {
        max_batch_bytes,
        ..RULES
    };
    let size = batch.size();
    produced(&batch, &rules(size)).unwrap();
    assert_eq!(
        produced(&batch, &rules(size - 1)),
        Err(BatchError::TooLarge {
            size,
            limit: size - 1
        })
    );
}

#[test]
fn timestamps_are_held_to_the_topics_bounds() {
    let check = |timestamps: &[i64], rules: &ProduceRules, bad: Option<i64>| {
        let mut builder = builder();
        timestamps.iter().for_each(|&t| builder.append(record(t)));
        let result = produced(&builder.build().unwrap(), rules);
        match (result, bad) {
            (Ok(()), None) => {}
            (Err(BatchError::TimestampOutOfRange { timestamp, .. }), Some(bad)) => {
                assert_eq!(timestamp, Timestamp(bad));
            }
            (result, _) => panic!("{timestamps:?}: {result:?}"),
        }
    };
    let latest = 1_000_000 + 3_600_000;
    check(&[-1], &RULES, None);
    check(&[0, latest], &RULES, None);
    check(&[0, latest + 1, 0], &RULES, Some(latest + 1));

    let before = ProduceRules {
        timestamp_before_max_ms: 10,
        ..RULES
    };
    check(&[1_000_000, 999_990], &before, None);
    check(&[-1], &before, None); // no timestamp at all
    check(&[1_000_000, 999_989], &before, Some(999_989));

    let stamped = ProduceRules {
        log_append_time: true,
        ..before
    };
    check(&[0, i64::MAX], &stamped, None);

    assert_eq!(
        produced(&one(builder().log_append_time()), &RULES),
        Err(BatchError::LogAppendTimeFromClient)
    );
}

#[test]
fn compacted_topics_need_keys() {
    let compacted = ProduceRules {
        keys_required: true,
        ..RULES
    };
    produced(&one(builder()), &compacted).unwrap();
    for codec in Compression::ALL {
        let mut builder = BatchBuilder::new(codec);
        builder.append(record(1));
        for _ in 0..2 {
            builder.append(NewRecord {
                key: None,
                ..record(2)
            });
        }
        let batch = builder.build().unwrap();
        produced(&batch, &RULES).unwrap();
        assert_eq!(
            produced(&batch, &compacted),
            Err(InvalidRecord::KeysMissing {
                indexes: vec![1, 2]
            }
            .into())
        );
    }
}
