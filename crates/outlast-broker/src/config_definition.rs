//! What every configuration key has in common: a name, a type with its bounds, a default and a help text.
//!
//! Topic keys (`topic_config.rs`) and broker keys (`broker_config.rs`) are tables of [`ConfigDefinition`]s. A value is
//! checked here, once, at the edge; the message of a refusal names the key and what is allowed.

use std::fmt;

use thiserror::Error;

/// One configuration key.
#[derive(Debug)]
pub struct ConfigDefinition {
    pub name: &'static str,
    pub kind: ConfigKind,
    pub default: &'static str,
    pub effect: Effect,
    pub help: &'static str,
}

/// The type of a value, with its bounds (both inclusive) or its allowed words.
#[derive(Debug, Clone, Copy)]
pub enum ConfigKind {
    Boolean,
    Short {
        min: i16,
        max: i16,
    },
    Int {
        min: i32,
        max: i32,
    },
    Long {
        min: i64,
        max: i64,
    },
    Double {
        min: f64,
        max: f64,
    },
    String,
    Word(&'static [&'static str]),
    /// Comma-separated words, each at most once; the empty list is allowed.
    Words(&'static [&'static str]),
    /// `*`, or a comma-separated list of `partition:broker`.
    ThrottledReplicas,
    /// A text with a form of its own; `allowed` says which.
    Checked {
        allows: fn(&str) -> bool,
        allowed: &'static str,
    },
}

/// Whether setting the key changes what the broker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Acts,
    /// Every valid value is stored and shown, but nothing depends on it; the text says why.
    Ignored(&'static str),
    /// Only the default is accepted; the text says why.
    Refused(&'static str),
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    #[error("unknown {scope} config name: {name}")]
    UnknownName { scope: &'static str, name: String },
    #[error("invalid value {value:?} for {name}: allowed is {allowed}")]
    InvalidValue {
        name: String,
        value: String,
        allowed: String,
    },
    #[error("{name} cannot be set to {value:?}: {reason}")]
    Refused {
        name: String,
        value: String,
        reason: &'static str,
    },
    #[error("{0}")]
    Conflict(String),
}

impl ConfigDefinition {
    /// Checks one value and gives it back in the form in which it is stored (trimmed).
    pub fn check(&self, value: &str) -> Result<String, ConfigError> {
        let value = value.trim();
        if !self.kind.allows(value) {
            return Err(ConfigError::InvalidValue {
                name: self.name.to_owned(),
                value: value.to_owned(),
                allowed: self.kind.to_string(),
            });
        }
        match self.effect {
            Effect::Refused(reason) if value != self.default => Err(ConfigError::Refused {
                name: self.name.to_owned(),
                value: value.to_owned(),
                reason,
            }),
            Effect::Acts | Effect::Ignored(_) | Effect::Refused(_) => Ok(value.to_owned()),
        }
    }

    /// The help text with what the reader must know about the key's effect here.
    pub fn documentation(&self) -> String {
        match self.effect {
            Effect::Acts => self.help.to_owned(),
            Effect::Ignored(why) => format!("{} Accepted without effect: {why}.", self.help),
            Effect::Refused(why) => format!("{} Only the default is accepted: {why}.", self.help),
        }
    }
}

impl ConfigKind {
    fn allows(self, value: &str) -> bool {
        fn within<T: std::str::FromStr + PartialOrd>(value: &str, min: T, max: T) -> bool {
            value.parse::<T>().is_ok_and(|v| min <= v && v <= max)
        }
        match self {
            Self::Boolean => {
                value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")
            }
            Self::Short { min, max } => within(value, min, max),
            Self::Int { min, max } => within(value, min, max),
            Self::Long { min, max } => within(value, min, max),
            Self::Double { min, max } => within(value, min, max),
            Self::String => true,
            Self::Word(words) => words.contains(&value),
            Self::Words(words) => {
                let given: Vec<&str> = list(value).collect();
                given
                    .iter()
                    .enumerate()
                    .all(|(i, word)| words.contains(word) && !given[..i].contains(word))
            }
            Self::ThrottledReplicas => value == "*" || list(value).all(is_partition_and_broker),
            Self::Checked { allows, .. } => allows(value),
        }
    }

    /// Whether APPEND and SUBTRACT make sense.
    pub fn is_list(self) -> bool {
        matches!(self, Self::Words(_) | Self::ThrottledReplicas)
    }

    /// The type's number in DescribeConfigs (KIP-569).
    pub fn protocol_type(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::String | Self::Word(_) | Self::Checked { .. } => 2,
            Self::Int { .. } => 3,
            Self::Short { .. } => 4,
            Self::Long { .. } => 5,
            Self::Double { .. } => 6,
            Self::Words(_) | Self::ThrottledReplicas => 7,
        }
    }
}

/// The elements of a comma-separated value; the empty string has none.
pub fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|v| !v.is_empty())
}

fn is_partition_and_broker(value: &str) -> bool {
    let number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    value
        .split_once(':')
        .is_some_and(|(partition, broker)| number(partition) && number(broker))
}

impl fmt::Display for ConfigKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("true or false"),
            Self::Short { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Int { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Long { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Double { min, max } => write!(f, "a number from {min} to {max}"),
            Self::String => f.write_str("any text"),
            Self::Word(words) => write!(f, "one of {}", words.join(", ")),
            Self::Words(words) => write!(f, "a comma-separated list of {}", words.join(", ")),
            Self::ThrottledReplicas => {
                f.write_str("* or a comma-separated list of partition:broker")
            }
            Self::Checked { allowed, .. } => f.write_str(allowed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_against_their_kind() {
        let rows: &[(ConfigKind, &str, bool)] = &[
            (ConfigKind::Boolean, "TRUE", true),
            (ConfigKind::Boolean, "yes", false),
            (ConfigKind::Int { min: 0, max: 10 }, "10", true),
            (ConfigKind::Int { min: 0, max: 10 }, "11", false),
            (ConfigKind::Int { min: 0, max: 10 }, "1e1", false),
            (
                ConfigKind::Long {
                    min: -1,
                    max: i64::MAX,
                },
                "-2",
                false,
            ),
            (
                ConfigKind::Long {
                    min: -1,
                    max: i64::MAX,
                },
                "9223372036854775807",
                true,
            ),
            (
                ConfigKind::Long {
                    min: -1,
                    max: i64::MAX,
                },
                "9223372036854775808",
                false,
            ),
            (ConfigKind::Double { min: 0.0, max: 1.0 }, "0.5", true),
            (ConfigKind::Double { min: 0.0, max: 1.0 }, "NaN", false),
            (ConfigKind::Word(&["a", "b"]), "c", false),
            (ConfigKind::Words(&["a", "b"]), "a, b", true),
            (ConfigKind::Words(&["a", "b"]), "a,a", false),
            (ConfigKind::Words(&["a", "b"]), "", true),
            (ConfigKind::ThrottledReplicas, "*", true),
            (ConfigKind::ThrottledReplicas, "0:1,1:1", true),
            (ConfigKind::ThrottledReplicas, "0-1", false),
        ];
        for (kind, value, expect) in rows {
            assert_eq!(kind.allows(value), *expect, "{kind:?} {value:?}");
        }
    }

    #[test]
    fn a_refused_key_takes_its_default_only() {
        let key = ConfigDefinition {
            name: "some.switch",
            kind: ConfigKind::Boolean,
            default: "false",
            effect: Effect::Refused("there is nothing to switch on"),
            help: "A switch.",
        };
        assert_eq!(key.check(" false "), Ok("false".to_owned()));
        let message = key.check("true").unwrap_err().to_string();
        assert!(
            message.contains("some.switch") && message.contains("nothing to switch on"),
            "{message}"
        );
    }
}
