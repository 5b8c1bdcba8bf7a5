//! Values that were checked when they were set, read with their types: own ones over defaults over what is built in.

use std::time::Duration;

use crate::config_definition::ConfigDefinition;
use crate::topic_config::ConfigMap;

pub struct ConfigView<'a> {
    pub own: &'a ConfigMap,
    pub defaults: &'a ConfigMap,
    pub definition: fn(&str) -> Option<&'static ConfigDefinition>,
}

impl<'a> ConfigView<'a> {
    pub fn text(&self, key: &str) -> &'a str {
        self.own
            .get(key)
            .or_else(|| self.defaults.get(key))
            .map_or_else(|| self.built_in(key), String::as_str)
    }

    /// Falls back to the default for a value that another release stored and this one cannot read.
    pub fn number<T: std::str::FromStr + Default>(&self, key: &str) -> T {
        self.text(key)
            .parse()
            .or_else(|_| self.built_in(key).parse())
            .unwrap_or_default()
    }

    pub fn long(&self, key: &str) -> i64 {
        self.number(key)
    }

    pub fn boolean(&self, key: &str) -> bool {
        self.text(key).eq_ignore_ascii_case("true")
    }

    /// Of a key in milliseconds; what is negative is no time.
    pub fn duration(&self, key: &str) -> Duration {
        Duration::from_millis(u64::try_from(self.long(key)).unwrap_or(0))
    }

    /// `None` for an empty text.
    pub fn some_text(&self, key: &str) -> Option<&'a str> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    fn built_in(&self, key: &str) -> &'static str {
        (self.definition)(key).map_or("", |definition| definition.default)
    }
}
