//! When a connection is given up: nobody uses it, its request doesn't arrive, or its answers are not taken.
//!
//! Pure: it is shown the connection at regular moments and says whether to go on. One timer a connection, that fires
//! a few times a minute, costs less than deadlines that move with every byte.

use std::time::Duration;

use crate::config::Limits;
use crate::metrics::CloseReason;

/// A frame may take a second longer for each of these.
const BYTES_PER_EXTRA_SECOND: u64 = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Patience {
    max_idle: Duration,
    frame_deadline: Duration,
    write_stall: Duration,
    abandon_after: Duration,
    idle: Duration,
    frame_age: Duration,
    stalled: Duration,
    gone: Duration,
    last: Observation,
}

/// A connection at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Observation {
    /// Requests received so far.
    pub(crate) frames: u64,
    /// Answer bytes that the socket has taken so far.
    pub(crate) written: u64,
    /// The length of a request that has begun to arrive and waits for its sender.
    pub(crate) awaited_frame: Option<usize>,
    /// Requests are being worked on.
    pub(crate) working: bool,
    /// Answer bytes wait for the socket.
    pub(crate) unsent: bool,
    /// The client has left, and what it asked for is still being worked on.
    pub(crate) client_gone: bool,
}

impl Patience {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            max_idle: limits.max_idle,
            frame_deadline: limits.frame_deadline,
            write_stall: limits.write_stall,
            abandon_after: limits.abandon_after,
            idle: Duration::ZERO,
            frame_age: Duration::ZERO,
            stalled: Duration::ZERO,
            gone: Duration::ZERO,
            last: Observation::default(),
        }
    }

    /// How often to look: often enough for the shortest limit.
    pub(crate) fn period(&self) -> Duration {
        let shortest = self
            .max_idle
            .min(self.frame_deadline)
            .min(self.write_stall)
            .min(self.abandon_after);
        (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(5))
    }

    /// What a look after another `elapsed` says: None to go on, or why the connection ends.
    pub(crate) fn look(&mut self, elapsed: Duration, now: Observation) -> Option<CloseReason> {
        let before = std::mem::replace(&mut self.last, now);
        let quiet = before.frames == now.frames && before.written == now.written;
        let since = |counter: Duration, still: bool| {
            if still {
                counter + elapsed
            } else {
                Duration::ZERO
            }
        };
        self.idle = since(self.idle, quiet && !now.working && !now.unsent);
        self.stalled = since(
            self.stalled,
            before.unsent && now.unsent && before.written == now.written,
        );
        self.frame_age = since(
            self.frame_age,
            before.frames == now.frames
                && before.awaited_frame.is_some()
                && now.awaited_frame.is_some(),
        );
        self.gone = since(self.gone, now.client_gone);

        let allowance = |length: usize| {
            self.frame_deadline + Duration::from_secs(length as u64 / BYTES_PER_EXTRA_SECOND)
        };
        if self.gone >= self.abandon_after {
            Some(CloseReason::Client)
        } else if self.stalled >= self.write_stall {
            Some(CloseReason::SlowReader)
        } else if now
            .awaited_frame
            .is_some_and(|length| self.frame_age >= allowance(length))
        {
            Some(CloseReason::SlowRequest)
        } else if self.idle >= self.max_idle {
            Some(CloseReason::Idle)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows the same connection once a second, changed by `step`, and says when and why it was closed.
    fn check(name: &str, step: impl Fn(u64, &mut Observation), expect: Option<(u64, CloseReason)>) {
        let mut patience = Patience::new(&Limits {
            max_idle: Duration::from_secs(600),
            frame_deadline: Duration::from_secs(30),
            write_stall: Duration::from_secs(60),
            abandon_after: Duration::from_secs(20),
            ..Limits::default()
        });
        let mut now = Observation::default();
        let closed = (1..2_000).find_map(|second| {
            step(second, &mut now);
            let reason = patience.look(Duration::from_secs(1), now)?;
            Some((second, reason))
        });
        assert_eq!(closed, expect, "{name}");
    }

    #[test]
    fn connections_and_their_ends() {
        check("idle", |_, _| {}, Some((600, CloseReason::Idle)));
        check("a request a minute", |s, now| now.frames = s / 60, None);
        check("a long poll", |_, now| now.working = true, None);
        check(
            "one byte of a frame",
            |_, now| now.awaited_frame = Some(100),
            Some((31, CloseReason::SlowRequest)),
        );
        check(
            "a large frame gets longer",
            |_, now| now.awaited_frame = Some(10 * 1024 * 1024),
            Some((191, CloseReason::SlowRequest)),
        );
        check(
            "frame after frame",
            |s, now| (now.frames, now.awaited_frame) = (s / 20, Some(100)),
            None,
        );
        check(
            "a client that doesn't read",
            |_, now| now.unsent = true,
            Some((61, CloseReason::SlowReader)),
        );
        check(
            "a client that reads slowly",
            |s, now| (now.unsent, now.written) = (true, s / 50),
            None,
        );
        check(
            "a client that left during a long poll",
            |_, now| (now.working, now.client_gone) = (true, true),
            Some((20, CloseReason::Client)),
        );
    }
}
