//! Checks a text against its key and turns it into a value.
//!
//! A number with a unit may be written plainly, in the unit that the key's name says, or with a unit of its own:
//! `65536` or `64KiB`, `10000` or `10s`.

use outlast_broker::ConfigError;
use outlast_server::{HostPort, parse_address};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::key::{Key, Kind, Unit};

/// A value that its key allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Addresses(Vec<HostPort>),
    Number(i64),
    Numbers(Vec<u64>),
    Text(String),
}

impl Key {
    /// The value of `text`, or what is wrong with it.
    pub fn check(&self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        match self.kind {
            Kind::Addresses { may_be_off } => addresses(text, may_be_off),
            Kind::Path if text.is_empty() => Err("a path is missing".to_owned()),
            Kind::Path => Ok(Value::Text(text.to_owned())),
            Kind::Numbers => {
                let numbers = text.split(',').map(str::trim).filter(|one| !one.is_empty());
                let parsed: Result<Vec<u64>, _> = numbers.map(str::parse).collect();
                parsed
                    .map(Value::Numbers)
                    .map_err(|_| format!("allowed is {}", self.allowed()))
            }
            Kind::LogFilter if is_log_filter(text) => Ok(Value::Text(text.to_owned())),
            Kind::LogFilter => Err(format!("allowed is {}", self.allowed())),
            Kind::Number { min, max, unit } => number(text, unit)
                .filter(|value| (min..=max).contains(value))
                .map(Value::Number)
                .ok_or_else(|| format!("allowed is {}", self.allowed())),
            Kind::Broker(key) => {
                let plain = number(text, self.unit()).map(|value| value.to_string());
                let text = plain.as_deref().unwrap_or(text);
                key.check(text)
                    .map(Value::Text)
                    .map_err(|error| match error {
                        ConfigError::Refused { reason, .. } => {
                            format!("only {:?} is accepted: {reason}", self.default)
                        }
                        _ => format!("allowed is {}", self.allowed()),
                    })
            }
        }
    }
}

fn addresses(text: &str, may_be_off: bool) -> Result<Value, String> {
    if may_be_off && matches!(text, "" | "off") {
        return Ok(Value::Addresses(Vec::new()));
    }
    let parse = |one: &str| {
        let one = one.trim();
        parse_address(one).map_err(|error| {
            if one.contains("://") {
                format!("{one:?} has a protocol in front; write HOST:PORT, such as localhost:9092")
            } else {
                format!("{one:?}: {error}")
            }
        })
    };
    let parsed: Result<Vec<HostPort>, String> = text.split(',').map(parse).collect();
    parsed.map(Value::Addresses)
}

/// Stricter than `EnvFilter`, which takes a level it doesn't know for the name of a module.
fn is_log_filter(text: &str) -> bool {
    let level = |word: &str| word.parse::<LevelFilter>().is_ok() && word.parse::<u8>().is_err();
    let levels_are_known = text
        .split(',')
        .all(|directive| level(directive.rsplit('=').next().unwrap_or(directive).trim()));
    levels_are_known && EnvFilter::try_new(text).is_ok()
}

/// A whole number in `unit`; None for anything else, and for what is no whole number of that unit.
fn number(text: &str, unit: Unit) -> Option<i64> {
    if let Ok(plain) = text.parse() {
        return Some(plain);
    }
    let suffix_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, suffix) = text.split_at(suffix_at);
    let (factor, in_unit) = match unit {
        Unit::Count => return None,
        Unit::Bytes => (bytes_per(suffix.trim_start())?, 1),
        Unit::Milliseconds => (milliseconds_per(suffix.trim_start())?, 1),
        Unit::Minutes => (
            milliseconds_per(suffix.trim_start())?,
            milliseconds_per("m")?,
        ),
        Unit::Hours => (
            milliseconds_per(suffix.trim_start())?,
            milliseconds_per("h")?,
        ),
    };
    let total = digits.parse::<i64>().ok()?.checked_mul(factor)?;
    (total % in_unit == 0).then_some(total / in_unit)
}

fn bytes_per(suffix: &str) -> Option<i64> {
    Some(match suffix {
        "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    })
}

fn milliseconds_per(suffix: &str) -> Option<i64> {
    Some(match suffix {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::keys;
    use super::*;

    #[test]
    fn texts_become_values_or_say_what_is_allowed() {
        let check = |name: &str, text: &str, expect: Result<Value, &str>| {
            let got = keys::find(name).expect(name).check(text);
            match (got, expect) {
                (Ok(got), Ok(expect)) => assert_eq!(got, expect, "{name} = {text}"),
                (Err(got), Err(part)) => assert!(got.contains(part), "{name} = {text}: {got}"),
                (got, expect) => panic!("{name} = {text}: {got:?}, expected {expect:?}"),
            }
        };
        let number = |n| Ok(Value::Number(n));
        let text = |t: &str| Ok(Value::Text(t.to_owned()));
        check("connections.max.idle.ms", "10000", number(10_000));
        check("connections.max.idle.ms", "10s", number(10_000));
        check("connections.max.idle.ms", "2 h", number(7_200_000));
        check("connections.max.idle.ms", "-1", number(-1));
        check("connections.max.idle.ms", "-2", Err("from -1"));
        check("connections.max.idle.ms", "10 seconds", Err("such as 10s"));
        check("connections.max.idle.ms", "10MiB", Err("such as 10s"));
        check("wal.file.bytes", "64MiB", number(64 << 20));
        check("wal.file.bytes", "64MB", number(64_000_000));
        check("wal.file.bytes", "64M", Err("such as 64MiB"));
        check("wal.file.bytes", "3GiB", Err("to 2147483648"));
        check("wal.file.bytes", "99999999999TiB", Err("to 2147483648"));
        check("max.connections", "10s", Err("a whole number from 1"));
        check("num.partitions", "3", text("3"));
        check("num.partitions", "many", Err("a whole number from 1"));
        check("log.retention.ms", "7d", text("604800000"));
        check("log.retention.hours", "7d", text("168"));
        check("log.retention.hours", "90m", Err("such as 7d"));
        check("message.max.bytes", "1MiB", text("1048576"));
        check(
            "accept.lost.files",
            "7, 12",
            Ok(Value::Numbers(vec![7, 12])),
        );
        check("accept.lost.files", "all", Err("whole numbers"));
        check("auto.create.topics.enable", "yes", Err("true or false"));
        check(
            "logging",
            "info,outlast_storage=debug",
            text("info,outlast_storage=debug"),
        );
        check(
            "logging",
            "info,outlast_storage=loud",
            Err("off, error, warn"),
        );
        check("logging", "verbose", Err("off, error, warn"));
        check("http.listen", "off", Ok(Value::Addresses(Vec::new())));
        check("listen", "off", Err("a port is missing"));
        check(
            "listen",
            "PLAINTEXT://:9092",
            Err("has a protocol in front"),
        );
        check(
            "listen",
            "127.0.0.1:1, [::1]:2",
            Ok(Value::Addresses(vec![
                HostPort::new("127.0.0.1", 1),
                HostPort::new("::1", 2),
            ])),
        );
    }
}
