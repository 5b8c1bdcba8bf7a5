//! Where a queue begins that a share group has never read: `share.auto.offset.reset`.
//!
//! `earliest`, `latest`, or `by_duration:` with an ISO 8601 duration of days, hours, minutes and seconds (KIP-1106), which
//! means the first record not older than that.

use std::fmt;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetReset {
    Earliest,
    Latest,
    /// At the first record whose timestamp is at most this long ago.
    ByDuration(Duration),
}

impl OffsetReset {
    /// Names in any case, as Kafka takes them.
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.trim().to_ascii_lowercase();
        match lower.as_str() {
            "earliest" => Some(Self::Earliest),
            "latest" => Some(Self::Latest),
            other => iso_duration(other.strip_prefix("by_duration:")?).map(Self::ByDuration),
        }
    }
}

impl fmt::Display for OffsetReset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::ByDuration(duration) => write!(f, "by_duration:PT{}S", duration.as_secs_f64()),
        }
    }
}

/// `PnDTnHnMn.nS` in lower case; each part may be missing, but not all of them. A negative duration is none.
fn iso_duration(text: &str) -> Option<Duration> {
    let (date, time) = match text.strip_prefix('p')?.split_once('t') {
        Some((_, "")) => return None,
        Some((date, time)) => (date, time),
        None => (text.strip_prefix('p')?, ""),
    };
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    if !date.is_empty() {
        total = seconds(date.strip_suffix('d')?, 86_400)?;
    }
    let mut rest = time;
    for (unit, factor) in [('h', 3600), ('m', 60)] {
        if let Some((number, after)) = rest.split_once(unit) {
            total = total.checked_add(seconds(number, factor)?)?;
            rest = after;
        }
    }
    if !rest.is_empty() {
        total = total.checked_add(fraction(rest.strip_suffix('s')?)?)?;
    }
    Some(total)
}

fn seconds(number: &str, factor: u64) -> Option<Duration> {
    digits(number)?.checked_mul(factor).map(Duration::from_secs)
}

fn fraction(number: &str) -> Option<Duration> {
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    if part.is_empty() || part.len() > 9 {
        return None;
    }
    let nanos = digits(part)?.checked_mul(10_u64.pow(9 - part.len() as u32))?;
    Some(Duration::new(digits(whole)?, u32::try_from(nanos).ok()?))
}

/// A plain number without a sign, of no more than a billion days.
fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kafka_takes_is_taken_and_nothing_else() {
        let by = |millis| Some(OffsetReset::ByDuration(Duration::from_millis(millis)));
        for (text, expect) in [
            ("earliest", Some(OffsetReset::Earliest)),
            ("LATEST", Some(OffsetReset::Latest)),
            ("by_duration:P1D", by(86_400_000)),
            ("by_duration:PT1H30M", by(5_400_000)),
            ("by_duration:P2DT3H4M5.5S", by(183_845_500)),
            ("by_duration:PT0S", by(0)),
            ("by_duration:PT0.001S", by(1)),
            ("none", None),
            ("", None),
            ("by_duration:", None),
            ("by_duration:P", None),
            ("by_duration:PT", None),
            ("by_duration:P1DT", None),
            ("by_duration:-PT1S", None),
            ("by_duration:PT-1S", None),
            ("by_duration:PT1M1H", None),
            ("by_duration:P1Y", None),
            ("by_duration:PT1.S", None),
            ("by_duration:PT99999999999999999999S", None),
        ] {
            assert_eq!(OffsetReset::parse(text), expect, "{text:?}");
        }
    }
}
