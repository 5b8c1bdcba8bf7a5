//! What the queues' state machine costs: time a call, and bytes a message that it must remember.
//! `cargo bench -p outlast-broker --bench queues`

use std::time::Duration;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use outlast_broker::queue::{
    ConsumeDedupe, Effects, OffsetRange, QueueId, QueueOrder, QueueSettings, Queues, Scanned, Turn,
    Verb, Worker,
};
use outlast_records::{Offset, PartitionId, Timestamp};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const MILLION: i64 = 1_000_000;
const NOW: Timestamp = Timestamp(1_000_000);
/// Messages between a scan and the next.
const SCAN: i64 = 10_000;

fn main() {
    divan::main();
}

struct Bench {
    queues: Queues,
    settings: QueueSettings,
    id: QueueId,
    worker: Worker,
    next: i64,
}

impl Bench {
    fn new(settings: QueueSettings) -> Bench {
        let mut bench = Bench {
            queues: Queues::new(),
            settings,
            id: QueueId::new("billing", PartitionId::default()),
            worker: Worker::from("dQw4w9WgXcQ-member-1"),
            next: 0,
        };
        bench.run(|queues, id, turn| queues.open(id, Offset(0), turn));
        bench
    }

    fn run<R>(&mut self, call: impl FnOnce(&mut Queues, &QueueId, &mut Turn<'_>) -> R) -> R {
        let mut fx = Effects::default();
        let reply = call(
            &mut self.queues,
            &self.id,
            &mut Turn {
                settings: &self.settings,
                now: NOW,
                fx: &mut fx,
            },
        );
        divan::black_box(fx);
        reply
    }

    fn scan(&mut self, from: i64, to: i64, message: impl Fn(i64) -> Scanned) {
        for first in (from..to).step_by(SCAN as usize) {
            let last = (first + SCAN).min(to);
            let messages: Vec<Scanned> = (first..last).map(&message).collect();
            let (first, last) = (Offset(first), Offset(last));
            self.run(|queues, id, turn| queues.scanned(id, first, last, &messages, turn));
        }
    }

    /// Hands out the next messages and says what became of them.
    fn work(&mut self, count: i64, verb: Verb) {
        let range = OffsetRange {
            first: Offset(self.next),
            last: Offset(self.next + count - 1),
        };
        self.next += count;
        let worker = self.worker.clone();
        let acquired = self.run(|queues, id, turn| {
            queues.acquire(id, &worker, &[range], count as usize, None, turn)
        });
        assert_eq!(acquired.len(), 1);
        let done = self.run(|queues, id, turn| queues.acknowledge(id, &worker, range, verb, turn));
        done.expect("the worker holds them");
    }
}

fn plain(offset: i64) -> Scanned {
    Scanned::plain(Offset(offset))
}

fn scanned(settings: QueueSettings, count: i64, message: impl Fn(i64) -> Scanned) -> Bench {
    let mut bench = Bench::new(settings);
    bench.scan(0, count, message);
    bench
}

/// Acquire and accept.
#[divan::bench(args = [1, 10, 500])]
fn deliver(bencher: Bencher, count: i64) {
    bencher
        .counter(ItemsCount::new(count as usize))
        .with_inputs(|| scanned(QueueSettings::default(), 10_000, plain))
        .bench_local_refs(|bench| bench.work(count, Verb::Accept));
}

/// The same, and each message by itself.
#[divan::bench(args = [1, 10, 500])]
fn deliver_in_key_order(bencher: Bencher, count: i64) {
    let settings = QueueSettings {
        order: QueueOrder::Key,
        ..QueueSettings::default()
    };
    bencher
        .counter(ItemsCount::new(count as usize))
        .with_inputs(|| {
            scanned(settings.clone(), 10_000, |offset| Scanned {
                lane: Some(offset as u64 % 1_000),
                ..plain(offset)
            })
        })
        .bench_local_refs(|bench| bench.work(count, Verb::Accept));
}

/// Each message gets a delay of its own.
#[divan::bench(args = [1, 500])]
fn fail_with_jitter(bencher: Bencher, count: i64) {
    bencher
        .counter(ItemsCount::new(count as usize))
        .with_inputs(|| scanned(QueueSettings::default(), 10_000, plain))
        .bench_local_refs(|bench| {
            bench.work(
                count,
                Verb::Release {
                    delay: None,
                    counts: true,
                },
            )
        });
}

#[divan::bench]
fn scan_plain_messages(bencher: Bencher) {
    let messages: Vec<Scanned> = (0..SCAN).map(plain).collect();
    bencher
        .counter(ItemsCount::new(SCAN as usize))
        .with_inputs(|| Bench::new(QueueSettings::default()))
        .bench_local_refs(|bench| {
            bench.run(|queues, id, turn| {
                queues.scanned(id, Offset(0), Offset(SCAN), &messages, turn)
            })
        });
}

/// The most bytes at once are what a queue needs for a million scheduled messages.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn a_million_scheduled() -> Bench {
    scanned(QueueSettings::default(), MILLION, |offset| Scanned {
        due: Some(Timestamp(NOW.0 + 1 + offset * 7_919 % 86_400_000)),
        ..plain(offset)
    })
}

/// Of which every other one is in a state of its own.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn a_million_runs() -> Bench {
    scanned(QueueSettings::default(), 2 * MILLION, |offset| Scanned {
        skip: offset % 2 == 1,
        ..plain(offset)
    })
}

/// The most that a queue in key order looks ahead.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn a_quarter_million_in_lanes() -> Bench {
    let settings = QueueSettings {
        order: QueueOrder::Key,
        ..QueueSettings::default()
    };
    scanned(settings, MILLION / 4, |offset| Scanned {
        lane: Some(offset as u64 * 7_919 % 50_000),
        ..plain(offset)
    })
}

/// Processed ids that a group remembers.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn a_million_processed_ids() -> Bench {
    let dedupe = ConsumeDedupe {
        header: "id".into(),
        window: Duration::from_secs(300),
        max_ids: MILLION as usize,
    };
    let settings = QueueSettings {
        dedupe: Some(dedupe),
        ..QueueSettings::default()
    };
    let mut bench = Bench::new(settings);
    for first in (0..MILLION).step_by(500) {
        bench.scan(first, first + 500, |offset| Scanned {
            // Spread as hashes are.
            id: Some((offset as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
            ..plain(offset)
        });
        bench.work(500, Verb::Accept);
    }
    bench
}
