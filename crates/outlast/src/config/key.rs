//! One configuration key: its name, where it belongs, what values it takes and what it means.
//!
//! The name decides the other spellings: `num.partitions` is the flag `--num-partitions` and the environment variable
//! `OUTLAST_NUM_PARTITIONS`.

use std::fmt;

use outlast_broker::{BrokerKey, ConfigKind, Effect};

/// The prefix of every environment variable that is a setting.
pub const ENV_PREFIX: &str = "OUTLAST_";

#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Kafka's name where Kafka has one.
    pub name: &'static str,
    pub section: Section,
    pub kind: Kind,
    /// As one would write it.
    pub default: &'static str,
    pub help: &'static str,
}

/// The chapter of the reference that a key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    Basics,
    Connections,
    Storage,
    Broker,
    TopicDefaults,
    GroupDefaults,
}

/// What values a key takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `host:port`, any number of them.
    Addresses {
        may_be_off: bool,
    },
    Path,
    /// A whole number of `unit`, both bounds included.
    Number {
        min: i64,
        max: i64,
        unit: Unit,
    },
    /// Whole numbers from 0, any number of them.
    Numbers,
    /// What is logged, in the notation of the `tracing` crate.
    LogFilter,
    /// Declared and checked by the broker.
    Broker(BrokerKey),
}

/// What a number counts; with a unit it may be written as `64MiB` or `10s` too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Count,
    Bytes,
    Milliseconds,
    Minutes,
    Hours,
}

impl Key {
    pub fn flag(&self) -> String {
        self.name.replace('.', "-")
    }

    pub fn environment_variable(&self) -> String {
        format!("{ENV_PREFIX}{}", self.name.replace('.', "_").to_uppercase())
    }

    /// The help with what the reader must know about the key's effect here.
    pub fn documentation(&self) -> String {
        match self.kind {
            Kind::Broker(key) => key.definition().documentation(),
            _ => self.help.to_owned(),
        }
    }

    /// False for keys that are accepted because Kafka has them, but change nothing.
    pub fn acts(&self) -> bool {
        match self.kind {
            Kind::Broker(key) => key.definition().effect == Effect::Acts,
            _ => true,
        }
    }

    /// Shown by `serve -h`; the others are shown by `serve --help`.
    pub fn is_basic(&self) -> bool {
        self.section == Section::Basics
    }

    pub fn takes_a_list(&self) -> bool {
        match self.kind {
            Kind::Addresses { .. } | Kind::Numbers => true,
            Kind::Broker(key) => key.definition().kind.is_list(),
            _ => false,
        }
    }

    pub fn unit(&self) -> Unit {
        match self.kind {
            Kind::Number { unit, .. } => unit,
            // A broker key says its unit last, as Kafka does.
            Kind::Broker(key) => match key.definition().kind {
                ConfigKind::Short { .. } | ConfigKind::Int { .. } | ConfigKind::Long { .. } => {
                    unit_of_name(self.name)
                }
                _ => Unit::Count,
            },
            Kind::Addresses { .. } | Kind::Path | Kind::Numbers | Kind::LogFilter => Unit::Count,
        }
    }

    /// What may be written, as the end of the sentence "allowed is …".
    pub fn allowed(&self) -> String {
        let plain = match self.kind {
            Kind::Addresses { may_be_off: false } => {
                return "one or more HOST:PORT, such as localhost:9092 or [::1]:9092".to_owned();
            }
            Kind::Addresses { may_be_off: true } => {
                return "one or more HOST:PORT, such as localhost:9092 or [::1]:9092, or off"
                    .to_owned();
            }
            Kind::Path => return "a path".to_owned(),
            Kind::Numbers => return "whole numbers, separated by commas".to_owned(),
            Kind::LogFilter => {
                return "off, error, warn, info, debug or trace, also per module: info,outlast_storage=debug".to_owned();
            }
            Kind::Number { min, max, .. } => format!("a whole number from {min} to {max}"),
            Kind::Broker(key) => key.definition().kind.to_string(),
        };
        match self.unit() {
            Unit::Count => plain,
            Unit::Bytes => format!("{plain} (bytes), or a size such as 64MiB"),
            Unit::Milliseconds => format!("{plain} (milliseconds), or a time such as 10s"),
            Unit::Minutes => format!("{plain} (minutes), or a time such as 12h"),
            Unit::Hours => format!("{plain} (hours), or a time such as 7d"),
        }
    }
}

fn unit_of_name(name: &str) -> Unit {
    match name.rsplit('.').next() {
        Some("bytes") => Unit::Bytes,
        Some("ms") => Unit::Milliseconds,
        Some("minutes") => Unit::Minutes,
        Some("hours") => Unit::Hours,
        _ => Unit::Count,
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basics => "Basics",
            Self::Connections => "Connections",
            Self::Storage => "Storage",
            Self::Broker => "Broker",
            Self::TopicDefaults => "Topic defaults",
            Self::GroupDefaults => "Group defaults",
        })
    }
}
