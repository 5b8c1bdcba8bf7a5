//! Places in a log as people say them: `beginning`, `end`, an offset, the last few records, or a time.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

/// A place to begin reading, or to move a group to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Beginning,
    End,
    Offset(i64),
    /// This many records before the end.
    Last(i64),
    /// Milliseconds since the Unix epoch.
    Time(i64),
}

pub const PLACE_HELP: &str = "beginning, end, an offset (42), the last records (-10), a time \
    (2026-01-31T12:00:00Z, @1769860800 in seconds) or how long ago (15m, 2h, 3d)";

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "beginning" | "earliest" => return Ok(Self::Beginning),
            "end" | "latest" => return Ok(Self::End),
            _ => {}
        }
        if let Ok(number) = text.parse::<i64>() {
            return Ok(if number < 0 {
                Self::Last(number.saturating_neg())
            } else {
                Self::Offset(number)
            });
        }
        if let Some(seconds) = text.strip_prefix('@') {
            return seconds
                .parse::<f64>()
                .ok()
                .filter(|seconds| seconds.is_finite() && *seconds >= 0.0)
                .map(|seconds| Self::Time((seconds * 1000.0) as i64))
                .ok_or_else(|| format!("'{seconds}' is not a number of seconds"));
        }
        if let Ok(ago) = humantime::parse_duration(text) {
            let then = SystemTime::now().checked_sub(ago);
            return then
                .map(|then| Self::Time(millis(then)))
                .ok_or_else(|| "that is before time began".to_owned());
        }
        // A date alone is its first moment.
        let midnight = format!("{text}T00:00:00Z");
        humantime::parse_rfc3339_weak(text)
            .or_else(|_| humantime::parse_rfc3339(&midnight))
            .map(|time| Self::Time(millis(time)))
            .map_err(|_| format!("expected {PLACE_HELP}"))
    }
}

/// A time as [`Place`] reads it, in milliseconds since the epoch.
pub fn moment(text: &str) -> Result<i64, String> {
    match text.parse() {
        Ok(Place::Time(ms)) => Ok(ms),
        _ => Err("expected a time (2026-01-31T12:00:00Z, @1769860800 in seconds) or how long ago (15m, 2h, 3d)".to_owned()),
    }
}

pub fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// A timestamp for people and JSON: RFC 3339 in UTC with milliseconds.
pub fn rfc3339(ms: i64) -> String {
    // The year 9999 is where the format ends.
    const LAST: u64 = 253_402_300_799_999;
    let ms = u64::try_from(ms).unwrap_or(0).min(LAST);
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
    humantime::format_rfc3339_millis(time).to_string()
}

/// `1000/s`, `1000`, `60/m`: events a second.
pub fn rate(text: &str) -> Result<f64, String> {
    let (number, per) = match text.split_once('/') {
        None => (text, 1.0),
        Some((number, "s")) => (number, 1.0),
        Some((number, "m" | "min")) => (number, 60.0),
        Some((number, "h")) => (number, 3600.0),
        Some((_, unit)) => return Err(format!("unknown unit '{unit}'; use /s, /m or /h")),
    };
    number
        .trim()
        .parse::<f64>()
        .ok()
        .filter(|rate| rate.is_finite() && *rate > 0.0)
        .map(|rate| rate / per)
        .ok_or_else(|| "expected a positive number, such as 1000/s".to_owned())
}

pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "expected a duration such as 5ms, 30s or 2m".into())
}

/// `512`, `64KiB`, `1MiB`, `1MB`.
pub fn size(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "B" => 1,
        "k" | "kB" | "KB" => 1000,
        "K" | "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "M" | "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "G" | "GiB" => 1 << 30,
        other => return Err(format!("unknown unit '{other}'; use B, KiB, MiB or GiB")),
    };
    digits
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| "expected a size such as 100, 1KiB or 16MiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_people_say_them() {
        let check = |given: &str, expect: Place| {
            assert_eq!(given.parse::<Place>(), Ok(expect), "{given}");
        };
        check("beginning", Place::Beginning);
        check("earliest", Place::Beginning);
        check("end", Place::End);
        check("0", Place::Offset(0));
        check("42", Place::Offset(42));
        check("-10", Place::Last(10));
        check("@1769860800", Place::Time(1_769_860_800_000));
        check("@1769860800.5", Place::Time(1_769_860_800_500));
        check("2026-01-31T12:00:00Z", Place::Time(1_769_860_800_000));
        check("2026-01-31 12:00:00", Place::Time(1_769_860_800_000));
        check("2026-01-31", Place::Time(1_769_817_600_000));
        assert!("yesterday".parse::<Place>().is_err());
        let hour_ago = millis(SystemTime::now()) - 3_600_000;
        match "1h".parse::<Place>() {
            Ok(Place::Time(ms)) => assert!((ms - hour_ago).abs() < 10_000),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rates_and_sizes_have_units() {
        assert_eq!(rate("1000/s"), Ok(1000.0));
        assert_eq!(rate("60/m"), Ok(1.0));
        assert_eq!(rate("5"), Ok(5.0));
        assert!(rate("0").is_err());
        assert!(rate("5/fortnight").is_err());
        assert_eq!(size("100"), Ok(100));
        assert_eq!(size("1KiB"), Ok(1024));
        assert_eq!(size("2M"), Ok(2 << 20));
        assert!(size("1.5M").is_err());
        assert!(size("12parsecs").is_err());
    }

    #[test]
    fn times_are_shown_in_utc() {
        assert_eq!(rfc3339(1_769_860_800_500), "2026-01-31T12:00:00.500Z");
        assert_eq!(rfc3339(-1), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(i64::MAX), "9999-12-31T23:59:59.999Z");
    }
}
