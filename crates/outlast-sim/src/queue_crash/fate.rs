//! What is to become of a message, written into the message itself.
//!
//! Workers die without notice, so none of them remembers anything: what a worker does with a
//! message follows from the message and the delivery count that the broker reports. The model
//! knows from the same fate what must have come of it in the end.

use std::fmt;

/// Numbers the messages of one run, from 0.
pub type Number = u32;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Accepted by the first worker that lives to do so
    Accept,
    /// Fails so many deliveries, then is accepted
    Fail { times: u32 },
    /// Fails every delivery: dead by the delivery limit
    Doomed,
    /// Rejected at this delivery or a later one: dead at once
    Reject { delivery: u32 },
    /// Never accepted, and its time to live ends before its deliveries do: dead as expired
    Expire { ttl_ms: u32 },
    /// Delivered this long after it was sent, not earlier
    Delay { delay_ms: u32 },
    /// Released without counting until this long after it was sent, then accepted
    NotNow { until_ms: u32 },
    /// Worked on longer than a lock lives, which is renewed meanwhile
    Slow,
    /// Carries a header that can't be understood: dead without a delivery
    Undecodable,
}

/// Why a message is dead.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Reason {
    Limit,
    Rejected,
    Expired,
    Undecodable,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Limit => "limit",
            Reason::Rejected => "rejected",
            Reason::Expired => "expired",
            Reason::Undecodable => "undecodable",
        })
    }
}

impl Fate {
    /// The dead letter that it must end as, if any.
    pub fn death(self) -> Option<Reason> {
        match self {
            Fate::Doomed => Some(Reason::Limit),
            Fate::Reject { .. } => Some(Reason::Rejected),
            Fate::Expire { .. } => Some(Reason::Expired),
            Fate::Undecodable => Some(Reason::Undecodable),
            Fate::Accept
            | Fate::Fail { .. }
            | Fate::Delay { .. }
            | Fate::NotNow { .. }
            | Fate::Slow => None,
        }
    }

    /// The fate of a message, the same for the same seed. Every kind is among the first thirty.
    pub fn of(seed: u64, number: Number, ttl_ms: u32) -> Self {
        let dice = mix(seed ^ mix(u64::from(number)));
        // The first few are dealt out, so that a short run has them all.
        let percent = match number {
            0..30 => [1, 71, 78, 81, 84, 86, 95, 98, 99, 85][number as usize % 10],
            _ => dice % 100,
        };
        let more = u32::try_from((dice >> 32) & 0xffff).unwrap_or(0);
        match percent {
            0..70 => Fate::Accept,
            70..77 => Fate::Fail {
                times: 1 + more % 3,
            },
            77..80 => Fate::Doomed,
            80..83 => Fate::Reject {
                delivery: 1 + more % 2,
            },
            83..85 => Fate::Expire { ttl_ms },
            85 => Fate::Undecodable,
            86..95 => Fate::Delay {
                delay_ms: 100 + more % 2900,
            },
            95..98 => Fate::NotNow {
                until_ms: 200 + more % 500,
            },
            _ => Fate::Slow,
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Accept => f.write_str("accept 0"),
            Fate::Fail { times } => write!(f, "fail {times}"),
            Fate::Doomed => f.write_str("doomed 0"),
            Fate::Reject { delivery } => write!(f, "reject {delivery}"),
            Fate::Expire { ttl_ms } => write!(f, "expire {ttl_ms}"),
            Fate::Delay { delay_ms } => write!(f, "delay {delay_ms}"),
            Fate::NotNow { until_ms } => write!(f, "not-now {until_ms}"),
            Fate::Slow => f.write_str("slow 0"),
            Fate::Undecodable => f.write_str("undecodable 0"),
        }
    }
}

fn fate(word: &str, number: u32) -> Option<Fate> {
    Some(match word {
        "accept" => Fate::Accept,
        "fail" => Fate::Fail { times: number },
        "doomed" => Fate::Doomed,
        "reject" => Fate::Reject { delivery: number },
        "expire" => Fate::Expire { ttl_ms: number },
        "delay" => Fate::Delay { delay_ms: number },
        "not-now" => Fate::NotNow { until_ms: number },
        "slow" => Fate::Slow,
        "undecodable" => Fate::Undecodable,
        _ => return None,
    })
}

/// A message: `<number> <sent, ms since the epoch> <fate> <its number> ` and a filler that follows
/// from the number, so that a reader can tell one that came whole from one that did not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Letter {
    pub number: Number,
    pub sent_ms: u64,
    pub fate: Fate,
}

impl Letter {
    pub fn encode(&self) -> Vec<u8> {
        let mut value = format!("{} {} {} ", self.number, self.sent_ms, self.fate).into_bytes();
        let filler = b'a' + (self.number % 26) as u8;
        value.resize(value.len() + filler_length(self.number), filler);
        value
    }

    /// The message whose bytes these are exactly, or nothing.
    pub fn decode(value: &[u8]) -> Option<Self> {
        let mut words = value.splitn(5, |&byte| byte == b' ');
        let mut word = || std::str::from_utf8(words.next()?).ok();
        let (number, sent_ms) = (word()?.parse().ok()?, word()?.parse().ok()?);
        let (kind, of_kind) = (word()?, word()?.parse().ok()?);
        let fate = fate(kind, of_kind)?;
        let letter = Self {
            number,
            sent_ms,
            fate,
        };
        (letter.encode() == value).then_some(letter)
    }

    /// Before this time, in ms since the epoch, no worker may see the message.
    pub fn due_ms(&self) -> u64 {
        match self.fate {
            Fate::Delay { delay_ms } => self.sent_ms + u64::from(delay_ms),
            _ => 0,
        }
    }
}

/// Mostly small; one in five hundred is large enough to fill an answer.
fn filler_length(number: Number) -> usize {
    match number % 500 {
        499 => 50_000,
        _ => (number as usize).wrapping_mul(7919) % 400,
    }
}

/// SplitMix64: neighbouring inputs give unrelated outputs.
pub fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fate_is_dealt_and_survives_the_wire() {
        let mut kinds = Vec::new();
        for number in 0..30 {
            let letter = Letter {
                number,
                sent_ms: 1_700_000_000_000,
                fate: Fate::of(7, number, 600),
            };
            let value = letter.encode();
            assert_eq!(Letter::decode(&value), Some(letter));
            assert_eq!(Letter::decode(&value[..value.len() - 1]), None);
            kinds.push(std::mem::discriminant(&letter.fate));
        }
        kinds.sort_by_key(|kind| format!("{kind:?}"));
        kinds.dedup();
        assert_eq!(kinds.len(), 9);
    }

    #[test]
    fn a_damaged_message_is_none() {
        let letter = Letter {
            number: 301,
            sent_ms: 5,
            fate: Fate::Slow,
        };
        let mut value = letter.encode();
        *value.last_mut().unwrap() ^= 1;
        assert_eq!(Letter::decode(&value), None);
        assert_eq!(Letter::decode(b"1 2 accept"), None);
    }
}
