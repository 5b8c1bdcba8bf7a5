//! The checked configuration in the shape that the server, the store and the broker want.

use std::path::PathBuf;
use std::time::Duration;

use outlast_broker::{BrokerConfig, BrokerKey, ConfigMap};
use outlast_server::{HostPort, Limits, ListenerConfig, ServerConfig};
use outlast_storage::StoreOptions;

use super::key::Key;
use super::keys;
use super::load::{Given, Sources};
use super::problem::{Problem, Problems};
use super::value::Value;

#[derive(Debug)]
pub struct Settings {
    pub data: PathBuf,
    pub logging: String,
    pub server: ServerConfig,
    pub store: StoreOptions,
    pub broker: BrokerConfig,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

/// Long enough to be never, short enough to be added to.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl Settings {
    pub fn load(sources: &Sources) -> Result<Self, Problems> {
        let given = sources.load()?;
        let data = PathBuf::from(given.text(&keys::DATA));
        Ok(Self {
            logging: given.text(&keys::LOGGING),
            server: given.server().map_err(|problem| Problems(vec![problem]))?,
            store: given.store(),
            broker: given
                .broker(&data)
                .map_err(|problem| Problems(vec![problem]))?,
            file: given.file.clone(),
            data,
        })
    }
}

impl Given {
    fn server(&self) -> Result<ServerConfig, Problem> {
        let defaults = Limits::default();
        let max_request_bytes = self.size(&keys::REQUEST_MAX_BYTES);
        let max_idle = match self.number(&keys::MAX_IDLE) {
            -1 => NEVER,
            _ => self.time(&keys::MAX_IDLE).min(NEVER),
        };
        Ok(ServerConfig {
            listeners: self.listeners()?,
            http: self.addresses(&keys::HTTP_LISTEN),
            limits: Limits {
                max_request_bytes,
                request_memory_bytes: self.size(&keys::REQUEST_MEMORY).max(max_request_bytes),
                max_requests_in_flight: self.size(&keys::IN_FLIGHT),
                max_connections: self.size(&keys::MAX_CONNECTIONS),
                max_connections_per_ip: self.size(&keys::MAX_CONNECTIONS_PER_IP),
                max_idle,
                frame_deadline: self.time(&keys::REQUEST_TIMEOUT),
                write_stall: self.time(&keys::RESPONSE_TIMEOUT),
                ..defaults
            },
            stop_deadline: self.time(&keys::SHUTDOWN_TIMEOUT),
        })
    }

    fn listeners(&self) -> Result<Vec<ListenerConfig>, Problem> {
        let listen = self.addresses(&keys::LISTEN);
        let advertise = self.addresses(&keys::ADVERTISE);
        if advertise.len() > 1 && advertise.len() != listen.len() {
            return Err(Problem::between(format!(
                "advertise has {} addresses and listen has {}: allowed are none, one for all, or one for each",
                advertise.len(),
                listen.len()
            )));
        }
        let unreachable = |told: &&HostPort| matches!(&*told.host, "0.0.0.0" | "::");
        if let Some(told) = advertise.iter().find(unreachable) {
            return Err(Problem::between(format!(
                "advertise can't be {told}: clients can't connect to it; name a host that they can reach"
            )));
        }
        let told = |index: usize| advertise.get(index).or(advertise.first()).cloned();
        Ok(listen
            .into_iter()
            .enumerate()
            .map(|(index, listen)| ListenerConfig {
                listen,
                advertise: told(index),
            })
            .collect())
    }

    fn store(&self) -> StoreOptions {
        StoreOptions {
            wal_file_bytes: self.number(&keys::WAL_FILE_BYTES).unsigned_abs(),
            wal_file_age_ms: self.number(&keys::WAL_FILE_AGE),
            tail_cache_bytes: self.size(&keys::TAIL_CACHE_BYTES),
            index_cache_bytes: self.size(&keys::INDEX_CACHE_BYTES),
            max_in_flight_bytes: self.size(&keys::APPEND_MEMORY_BYTES),
            producer_expiry_ms: self.number(&keys::PRODUCER_EXPIRY),
            retention_check_ms: self.number(&keys::RETENTION_CHECK).unsigned_abs(),
            accept_lost_files: self.numbers(&keys::ACCEPT_LOST_FILES),
            ..StoreOptions::default()
        }
    }

    fn broker(&self, data: &std::path::Path) -> Result<BrokerConfig, Problem> {
        let mut values: ConfigMap = self
            .values
            .iter()
            .filter(|(name, _)| BrokerKey::find(name).is_some())
            .filter_map(|(name, value)| match value {
                Value::Text(text) => Some(((*name).to_owned(), text.clone())),
                Value::Number(_) | Value::Numbers(_) | Value::Addresses(_) => None,
            })
            .collect();
        values.insert(keys::LOG_DIRS.to_owned(), data.display().to_string());
        BrokerConfig::new(&values).map_err(|error| Problem::between(error.to_string()))
    }

    /// The given value, or the key's default.
    fn value(&self, key: &Key) -> Value {
        let default = || match key.check(key.default) {
            Ok(value) => value,
            Err(refusal) => unreachable!("the default of {}, {refusal}", key.name),
        };
        self.values.get(key.name).cloned().unwrap_or_else(default)
    }

    fn addresses(&self, key: &Key) -> Vec<HostPort> {
        match self.value(key) {
            Value::Addresses(addresses) => addresses,
            other => unreachable!("{} is {other:?}", key.name),
        }
    }

    fn number(&self, key: &Key) -> i64 {
        match self.value(key) {
            Value::Number(number) => number,
            other => unreachable!("{} is {other:?}", key.name),
        }
    }

    fn numbers(&self, key: &Key) -> Vec<u64> {
        match self.value(key) {
            Value::Numbers(numbers) => numbers,
            other => unreachable!("{} is {other:?}", key.name),
        }
    }

    fn text(&self, key: &Key) -> String {
        match self.value(key) {
            Value::Text(text) => text,
            other => unreachable!("{} is {other:?}", key.name),
        }
    }

    /// For keys whose bounds leave out negative numbers.
    fn size(&self, key: &Key) -> usize {
        usize::try_from(self.number(key)).unwrap_or_default()
    }

    fn time(&self, key: &Key) -> Duration {
        Duration::from_millis(u64::try_from(self.number(key)).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(flags: &[(&'static str, &str)]) -> Result<Settings, Problems> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Settings::load(&Sources {
            flags: flags
                .iter()
                .map(|(name, text)| (*name, vec![(*text).to_owned()]))
                .collect(),
            directory: directory.path().to_owned(),
            ..Sources::default()
        })
    }

    #[test]
    fn without_settings_the_layers_own_defaults_hold() {
        let settings = load(&[]).expect("defaults");
        let expect = ServerConfig::default();
        assert_eq!(format!("{:?}", settings.server), format!("{expect:?}"));
        assert_eq!(
            format!("{:?}", settings.store),
            format!("{:?}", StoreOptions::default())
        );
        assert_eq!(settings.data, PathBuf::from("outlast-data"));
    }

    #[test]
    fn advertised_addresses_go_with_their_listeners() {
        let check = |advertise: &str, expect: &[Option<&str>]| {
            let flags = [
                ("listen", "0.0.0.0:1,127.0.0.1:2"),
                ("advertise", advertise),
            ];
            let settings = load(if advertise.is_empty() {
                &flags[..1]
            } else {
                &flags
            })
            .expect(advertise);
            let got: Vec<_> = settings
                .server
                .listeners
                .iter()
                .map(|listener| listener.advertise.as_ref().map(ToString::to_string))
                .collect();
            let got: Vec<_> = got.iter().map(Option::as_deref).collect();
            assert_eq!(got, expect, "{advertise}");
        };
        check("", &[None, None]);
        check("a:1", &[Some("a:1"), Some("a:1")]);
        check("a:1,b:2", &[Some("a:1"), Some("b:2")]);
        let problem = load(&[("advertise", "a:1,b:2")]).expect_err("two for one");
        assert!(
            problem
                .to_string()
                .contains("advertise has 2 addresses and listen has 1")
        );
    }

    #[test]
    fn values_that_disagree_are_refused() {
        let flags = [
            ("group.min.session.timeout.ms", "20m"),
            ("group.max.session.timeout.ms", "10m"),
        ];
        let problem = load(&flags).expect_err("min over max").to_string();
        assert!(
            problem.contains("group.min.session.timeout.ms must not be more than"),
            "{problem}"
        );
    }
}
