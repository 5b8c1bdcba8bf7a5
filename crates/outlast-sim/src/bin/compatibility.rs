//! Prints docs/COMPATIBILITY.md from the broker's own list of what it serves.

use std::ops::RangeInclusive;

use outlast_broker::served_versions;
use outlast_protocol::ApiKey;

fn main() {
    print!("{}", page());
}

fn page() -> String {
    let mut page = String::from(
        "# Which of Kafka's APIs Outlast serves\n\n\
         Generated from the broker's list of handlers; `cargo xtask tidy --bless` writes it anew. \
         An API or a version is listed as served only when it works in full; ApiVersions tells \
         clients the same.\n\n\
         | API | key | served | Apache Kafka 4.3 |\n|---|---:|---|---|\n",
    );
    let is_served = |api: &&ApiKey| served_versions(**api).is_some();
    for &api in ApiKey::ALL.iter().filter(is_served) {
        let served = served_versions(api).map_or_else(String::new, versions);
        let kafka = versions(api.stable_versions());
        page += &format!("| {} | {} | {served} | {kafka} |\n", api.name(), api.code());
    }
    page += "\n## Not served\n\n";
    for &api in ApiKey::ALL.iter().filter(|api| !is_served(api)) {
        page += &format!("- {} ({})\n", api.name(), api.code());
    }
    page
}

fn versions(range: RangeInclusive<i16>) -> String {
    let (first, last) = range.into_inner();
    if first == last {
        first.to_string()
    } else {
        format!("{first}–{last}")
    }
}
