//! "Did you mean …": the setting that somebody most likely meant by a name that doesn't exist.

use outlast_broker::{BrokerKey, GROUP_CONFIGS};

use super::keys;

/// Names are taken for a slip of the pen when this much of them is the same.
const ALIKE: f64 = 0.7;

/// What Kafka or common sense calls differently.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("advertised.listeners", "advertise"),
    ("broker.id", "node.id"),
    ("data.dir", "data"),
    ("listeners", "listen"),
    ("log.dir", "data"),
    ("log.dirs", "data"),
    ("log.level", "logging"),
    ("port", "listen"),
];

/// A hint such as `did you mean num.partitions?`.
pub fn instead_of(name: &str) -> Option<String> {
    if let Some((_, ours)) = OTHER_NAMES.iter().find(|(theirs, _)| *theirs == name) {
        return Some(format!("it is called {ours} here"));
    }
    let default_of = |key: BrokerKey| {
        let whose = match key {
            BrokerKey::Fixed(_) => return None,
            BrokerKey::TopicDefault { topic, .. } => (topic.name == name).then_some("topics"),
            BrokerKey::GroupDefault { group, .. } => (group.name == name).then_some("groups"),
        };
        whose.map(|whose| format!("for the default of all {whose} write {}", key.name()))
    };
    if let Some(hint) = BrokerKey::all().find_map(default_of) {
        return Some(hint);
    }
    if GROUP_CONFIGS.iter().any(|key| key.name == name) {
        return Some("it is set for each group by its name".to_owned());
    }
    let (closeness, closest) = keys::all()
        .map(|key| {
            (
                strsim::normalized_damerau_levenshtein(name, key.name),
                key.name,
            )
        })
        .max_by(|a, b| a.0.total_cmp(&b.0))?;
    (closeness >= ALIKE).then(|| format!("did you mean {closest}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_other_names_and_strangers() {
        let check = |name: &str, expect: Option<&str>| {
            assert_eq!(instead_of(name).as_deref(), expect, "{name}");
        };
        check("num.partitons", Some("did you mean num.partitions?"));
        check(
            "auto.create.topic.enable",
            Some("did you mean auto.create.topics.enable?"),
        );
        check("listeners", Some("it is called listen here"));
        check(
            "retention.ms",
            Some("for the default of all topics write log.retention.ms"),
        );
        check(
            "share.session.timeout.ms",
            Some("for the default of all groups write group.share.session.timeout.ms"),
        );
        check("retry.policy", Some("it is set for each group by its name"));
        check("zookeeper.connect", None);
    }
}
