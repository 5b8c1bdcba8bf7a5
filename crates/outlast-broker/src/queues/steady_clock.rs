//! The time that queues live by: the wall clock's at the start, and from then on what a monotonic clock has measured.
//!
//! Locks and delays are points in time in durable records, so that they need a calendar; but when somebody sets the wall
//! clock, no delay may be lost or hastened. So a jump is not followed at once: the steady time runs a little faster or
//! slower ([`SLEW_PER_MILLION`]) until it agrees with the wall clock again. It never runs backwards.

use std::sync::Arc;

use outlast_records::Timestamp;
use outlast_storage::Clock;
use parking_lot::Mutex;
use tokio::time::Instant;

/// As NTP slews a clock: a delay of a minute is off by at most 30 ms meanwhile, and a second is made up for in 33 minutes.
const SLEW_PER_MILLION: i64 = 500;

pub struct SteadyClock {
    wall: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    /// When the wall clock was last looked at, and the steady time of that moment, in microseconds.
    looked_at: Instant,
    micros: i64,
}

impl SteadyClock {
    pub fn new(wall: Arc<dyn Clock>) -> SteadyClock {
        let micros = wall.now().0.saturating_mul(1_000);
        SteadyClock {
            wall,
            state: Mutex::new(State {
                looked_at: Instant::now(),
                micros,
            }),
        }
    }

    fn advance(&self) -> i64 {
        let wall = self.wall.now().0.saturating_mul(1_000);
        let mut state = self.state.lock();
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(state.looked_at).as_micros();
        let elapsed = i64::try_from(elapsed).unwrap_or(i64::MAX);
        let steady = state.micros.saturating_add(elapsed);
        let slew = elapsed / (1_000_000 / SLEW_PER_MILLION);
        // The wall clock shows whole milliseconds: what is less is not a difference.
        let off = wall.saturating_sub(steady);
        let agrees = off.abs() < 1_000;
        let correction = if agrees { 0 } else { off.clamp(-slew, slew) };
        // Many calls come within the time that one microsecond of slew takes: the time since stays on the account.
        if agrees || slew > 0 {
            state.looked_at = now;
            state.micros = steady.saturating_add(correction);
        }
        steady.saturating_add(correction)
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.advance().div_euclid(1_000))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use super::*;

    #[derive(Clone)]
    struct Wall(Arc<AtomicI64>);

    impl Clock for Wall {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(Ordering::Relaxed))
        }
    }

    const START: i64 = 1_800_000_000_000;
    const HOUR: i64 = 3_600_000;

    async fn pass(wall: &Wall, ms: u64) {
        tokio::time::advance(Duration::from_millis(ms)).await;
        wall.0.fetch_add(ms as i64, Ordering::Relaxed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_neither_loses_nor_hastens_time() {
        for jump in [HOUR, -HOUR] {
            let wall = Wall(Arc::new(AtomicI64::new(START)));
            let clock = SteadyClock::new(Arc::new(wall.clone()));
            pass(&wall, 1_000).await;
            assert_eq!(clock.now(), Timestamp(START + 1_000));
            wall.0.fetch_add(jump, Ordering::Relaxed);
            let mut before = clock.now();
            assert_eq!(before, Timestamp(START + 1_000));
            for minute in 1..=10 {
                pass(&wall, 60_000).await;
                let now = clock.now();
                let passed = now.0 - before.0;
                assert!((59_970..=60_030).contains(&passed), "{minute}: {passed} ms");
                assert_eq!((passed - 60_000).signum(), jump.signum());
                before = now;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_difference_is_made_up_for() {
        let wall = Wall(Arc::new(AtomicI64::new(START)));
        let clock = SteadyClock::new(Arc::new(wall.clone()));
        wall.0.fetch_sub(100, Ordering::Relaxed);
        let mut before = clock.now();
        for _ in 0..4_000 {
            pass(&wall, 100).await;
            let now = clock.now();
            assert!(now >= before, "it ran backwards");
            before = now;
        }
        let off = clock.now().0 - wall.now().0;
        assert!((-1..=1).contains(&off), "still off by {off} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_made_up_for_however_often_somebody_asks() {
        let wall = Wall(Arc::new(AtomicI64::new(START)));
        let clock = SteadyClock::new(Arc::new(wall.clone()));
        wall.0.fetch_add(10, Ordering::Relaxed);
        for tenth in 0..400_000 {
            tokio::time::advance(Duration::from_micros(100)).await;
            wall.0
                .fetch_add(i64::from(tenth % 10 == 9), Ordering::Relaxed);
            clock.now();
        }
        let off = clock.now().0 - wall.now().0;
        // The wall clock's milliseconds are steps, which look like agreement now and then.
        assert!((-2..=2).contains(&off), "still off by {off} ms");
    }
}
