//! Every key there is: those of the process, declared here, and those that the broker declares.

use outlast_broker::BrokerKey;

use super::key::{Key, Kind, Section, Unit};

const MAX_I32: i64 = i32::MAX as i64;
const MIB: i64 = 1024 * 1024;
const GIB: i64 = 1024 * MIB;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

pub const LISTEN: Key = Key {
    name: "listen",
    section: Section::Basics,
    kind: Kind::Addresses { may_be_off: false },
    default: "localhost:9092",
    help: "Where Kafka clients connect. localhost means both loopback addresses, IPv4 and IPv6; 0.0.0.0 and [::] mean \
           every network interface; port 0 lets the system choose.",
};

pub const ADVERTISE: Key = Key {
    name: "advertise",
    section: Section::Basics,
    kind: Kind::Addresses { may_be_off: true },
    default: "",
    help: "What clients are told to connect to when that differs from what is listened on, as behind NAT. One address \
           for all of listen, or one for each of them in the same order; port 0 means the listener's own. Without it: \
           the host of listen, or for every-interface listeners the address that the client itself has reached.",
};

pub const HTTP_LISTEN: Key = Key {
    name: "http.listen",
    section: Section::Basics,
    kind: Kind::Addresses { may_be_off: true },
    default: "localhost:9644",
    help: "Where the queue API, /healthz, /readyz and /metrics are served. Whoever reaches it can do everything.",
};

pub const DATA: Key = Key {
    name: "data",
    section: Section::Basics,
    kind: Kind::Path,
    default: "outlast-data",
    help: "The data directory; it is created when it doesn't exist. A relative path starts at the working directory.",
};

pub const LOGGING: Key = Key {
    name: "logging",
    section: Section::Basics,
    kind: Kind::LogFilter,
    default: "info",
    help: "What is logged, to standard error.",
};

pub const MAX_CONNECTIONS: Key = Key {
    name: "max.connections",
    section: Section::Connections,
    kind: Kind::Number {
        min: 1,
        max: MAX_I32,
        unit: Unit::Count,
    },
    default: "10000",
    help: "The most open connections. One more is closed at once. Lowered at start when the system allows the process \
           fewer open files.",
};

pub const MAX_CONNECTIONS_PER_IP: Key = Key {
    name: "max.connections.per.ip",
    section: Section::Connections,
    kind: Kind::Number {
        min: 1,
        max: MAX_I32,
        unit: Unit::Count,
    },
    default: "2147483647",
    help: "The most open connections from one address.",
};

pub const MAX_IDLE: Key = Key {
    name: "connections.max.idle.ms",
    section: Section::Connections,
    kind: Kind::Number {
        min: -1,
        max: i64::MAX,
        unit: Unit::Milliseconds,
    },
    default: "600000",
    help: "A connection on which nothing happens is closed after this; -1 means never.",
};

pub const REQUEST_MAX_BYTES: Key = Key {
    name: "socket.request.max.bytes",
    section: Section::Connections,
    kind: Kind::Number {
        min: 1024,
        max: MAX_I32,
        unit: Unit::Bytes,
    },
    default: "104857600",
    help: "The largest request. A connection that announces a larger one is closed.",
};

pub const REQUEST_MEMORY: Key = Key {
    name: "queued.max.request.bytes",
    section: Section::Connections,
    kind: Kind::Number {
        min: MIB,
        max: 4 * GIB - 1,
        unit: Unit::Bytes,
    },
    default: "268435456",
    help: "How many bytes of all clients' requests may be in memory at a time. Further ones wait in their sockets. At \
           least socket.request.max.bytes are allowed in any case.",
};

pub const IN_FLIGHT: Key = Key {
    name: "max.in.flight.requests.per.connection",
    section: Section::Connections,
    kind: Kind::Number {
        min: 1,
        max: 10_000,
        unit: Unit::Count,
    },
    default: "128",
    help: "How many requests of one connection are worked on at a time. Further ones wait in its socket.",
};

pub const REQUEST_TIMEOUT: Key = Key {
    name: "request.receive.timeout.ms",
    section: Section::Connections,
    kind: Kind::Number {
        min: 100,
        max: DAY_MS,
        unit: Unit::Milliseconds,
    },
    default: "30000",
    help: "A request that has begun to arrive must be complete after this time and a second for each 64 KiB of it, or \
           its connection is closed.",
};

pub const RESPONSE_TIMEOUT: Key = Key {
    name: "response.send.timeout.ms",
    section: Section::Connections,
    kind: Kind::Number {
        min: 100,
        max: DAY_MS,
        unit: Unit::Milliseconds,
    },
    default: "60000",
    help: "A client that takes no byte of a waiting response for this long is disconnected.",
};

pub const SHUTDOWN_TIMEOUT: Key = Key {
    name: "shutdown.timeout.ms",
    section: Section::Connections,
    kind: Kind::Number {
        min: 0,
        max: DAY_MS,
        unit: Unit::Milliseconds,
    },
    default: "10000",
    help: "How long a stopping server waits for requests in flight before it closes their connections.",
};

pub const WAL_FILE_BYTES: Key = Key {
    name: "wal.file.bytes",
    section: Section::Storage,
    kind: Kind::Number {
        min: MIB,
        max: 2 * GIB,
        unit: Unit::Bytes,
    },
    default: "134217728",
    help: "A file of the write-ahead log is sealed at this size. Smaller files give space back in smaller steps and \
           make a shorter scan after a crash; larger ones need fewer indexes.",
};

pub const WAL_FILE_AGE: Key = Key {
    name: "wal.file.age.ms",
    section: Section::Storage,
    kind: Kind::Number {
        min: 1_000,
        max: 365 * DAY_MS,
        unit: Unit::Milliseconds,
    },
    default: "3600000",
    help: "A file of the write-ahead log that holds something is sealed at this age, so that retention can give its \
           space back.",
};

pub const TAIL_CACHE_BYTES: Key = Key {
    name: "tail.cache.bytes",
    section: Section::Storage,
    kind: Kind::Number {
        min: 0,
        max: 1024 * GIB,
        unit: Unit::Bytes,
    },
    default: "41943040",
    help: "Memory for the newest records of all partitions; consumers that keep up are served from it.",
};

pub const INDEX_CACHE_BYTES: Key = Key {
    name: "index.cache.bytes",
    section: Section::Storage,
    kind: Kind::Number {
        min: 0,
        max: 1024 * GIB,
        unit: Unit::Bytes,
    },
    default: "4194304",
    help: "Memory for the indexes of sealed files; consumers that read old records find their place with them.",
};

pub const APPEND_MEMORY_BYTES: Key = Key {
    name: "append.memory.bytes",
    section: Section::Storage,
    kind: Kind::Number {
        min: MIB,
        max: 4 * GIB - 1,
        unit: Unit::Bytes,
    },
    default: "67108864",
    help: "How many bytes of records may wait for the disk at a time. Further produce requests wait.",
};

pub const PRODUCER_EXPIRY: Key = Key {
    name: "producer.id.expiration.ms",
    section: Section::Storage,
    kind: Kind::Number {
        min: 1,
        max: MAX_I32,
        unit: Unit::Milliseconds,
    },
    default: "86400000",
    help: "How long an idempotent producer that writes nothing is remembered.",
};

pub const RETENTION_CHECK: Key = Key {
    name: "log.retention.check.interval.ms",
    section: Section::Storage,
    kind: Kind::Number {
        min: 1,
        max: MAX_I32,
        unit: Unit::Milliseconds,
    },
    default: "300000",
    help: "How often logs are looked through for records that retention no longer keeps.",
};

pub const ACCEPT_LOST_FILES: Key = Key {
    name: "accept.lost.files",
    section: Section::Storage,
    kind: Kind::Numbers,
    default: "",
    help: "For one start only, when it was refused because these files of the write-ahead log are missing and nobody \
           can put them back: what they held is lost, and the broker goes on without it.",
};

const PROCESS: [&Key; 22] = [
    &LISTEN,
    &ADVERTISE,
    &HTTP_LISTEN,
    &DATA,
    &LOGGING,
    &MAX_CONNECTIONS,
    &MAX_CONNECTIONS_PER_IP,
    &MAX_IDLE,
    &REQUEST_MAX_BYTES,
    &REQUEST_MEMORY,
    &IN_FLIGHT,
    &REQUEST_TIMEOUT,
    &RESPONSE_TIMEOUT,
    &SHUTDOWN_TIMEOUT,
    &WAL_FILE_BYTES,
    &WAL_FILE_AGE,
    &TAIL_CACHE_BYTES,
    &INDEX_CACHE_BYTES,
    &APPEND_MEMORY_BYTES,
    &PRODUCER_EXPIRY,
    &RETENTION_CHECK,
    &ACCEPT_LOST_FILES,
];

/// The broker's key for what is called `data` here.
pub const LOG_DIRS: &str = "log.dirs";

/// Every key, in the order of the reference.
pub fn all() -> impl Iterator<Item = Key> {
    let broker = |dynamic: bool| {
        BrokerKey::all()
            .filter(move |key| key.is_dynamic() == dynamic && key.name() != LOG_DIRS)
            .map(from_broker)
    };
    PROCESS
        .into_iter()
        .copied()
        .chain(broker(false))
        .chain(broker(true))
}

pub fn find(name: &str) -> Option<Key> {
    all().find(|key| key.name == name)
}

fn from_broker(key: BrokerKey) -> Key {
    Key {
        name: key.name(),
        section: match key {
            BrokerKey::Fixed(_) => Section::Broker,
            BrokerKey::TopicDefault { .. } => Section::TopicDefaults,
            BrokerKey::GroupDefault { .. } => Section::GroupDefaults,
        },
        kind: Kind::Broker(key),
        default: key.definition().default,
        help: key.definition().help,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_are_unique_in_every_spelling_and_no_key_is_within_another() {
        let names: BTreeSet<_> = all().map(|key| key.name).collect();
        let flags: BTreeSet<_> = all().map(|key| key.flag()).collect();
        let variables: BTreeSet<_> = all().map(|key| key.environment_variable()).collect();
        assert_eq!(names.len(), all().count());
        assert_eq!(flags.len(), names.len());
        assert_eq!(variables.len(), names.len());
    }

    #[test]
    fn every_default_is_allowed() {
        for key in all() {
            key.check(key.default)
                .unwrap_or_else(|refusal| panic!("{}: {refusal}", key.name));
        }
    }
}
