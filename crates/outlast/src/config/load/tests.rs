use tempfile::TempDir;

use super::*;

struct Setup {
    sources: Sources,
    _directory: TempDir,
}

fn setup(flags: &[(&'static str, &str)], variables: &[(&str, &str)], file: Option<&str>) -> Setup {
    let directory = tempfile::tempdir().unwrap();
    if let Some(content) = file {
        std::fs::write(directory.path().join(DEFAULT_FILE), content).unwrap();
    }
    let sources = Sources {
        flags: flags
            .iter()
            .map(|(name, text)| (*name, vec![(*text).to_owned()]))
            .collect(),
        environment: variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        other_variables: vec!["OUTLAST_BOOTSTRAP_SERVERS".to_owned()],
        file: None,
        directory: directory.path().to_owned(),
    };
    Setup {
        sources,
        _directory: directory,
    }
}

fn problems(setup: &Setup) -> String {
    setup.sources.load().expect_err("a problem").to_string()
}

#[test]
fn flags_win_over_variables_and_those_over_the_file() {
    let flags = [("num.partitions", "4")];
    let variables = [
        ("OUTLAST_NUM_PARTITIONS", "3"),
        ("OUTLAST_MAX_CONNECTIONS", "30"),
    ];
    let file = "num.partitions = 2\n\"max.connections\" = 20\nmax.connections.per.ip = 10\n";
    let given = setup(&flags, &variables, Some(file))
        .sources
        .load()
        .unwrap();
    assert_eq!(given.values["num.partitions"], Value::Text("4".to_owned()));
    assert_eq!(given.values["max.connections"], Value::Number(30));
    assert_eq!(given.values["max.connections.per.ip"], Value::Number(10));
    assert_eq!(given.file.as_deref(), Some(Path::new("outlast.toml")));
}

#[test]
fn nothing_given_is_fine() {
    let given = setup(&[], &[("PATH", "/bin")], None)
        .sources
        .load()
        .unwrap();
    assert!(given.values.is_empty() && given.file.is_none());
}

#[test]
fn every_problem_is_said_with_its_place() {
    let setup = setup(
        &[("max.connections", "0")],
        &[("OUTLAST_NUM_PARTITION", "3"), ("OUTLAST_LISTEN", "here")],
        Some(
            "\nlog.retention.ms = \"7 days\"\nlisteners = \"PLAINTEXT://:9092\"\nnum.partitions = 1\n\"num.partitions\"=2",
        ),
    );
    let text = problems(&setup);
    for part in [
        "the configuration can't be used:\n  outlast.toml:2: ",
        "outlast.toml:2: log.retention.ms can't be \"7 days\": allowed is a whole number from -1",
        "outlast.toml:3: there is no setting listeners; it is called listen here",
        "outlast.toml:5: num.partitions is given twice, here and in line 4",
        "environment variable OUTLAST_NUM_PARTITION: there is no setting num.partition; did you mean num.partitions?",
        "environment variable OUTLAST_LISTEN: listen can't be \"here\": \"here\": a port is missing",
        "--max-connections: max.connections can't be \"0\": allowed is a whole number from 1 to 2147483647",
        "`outlast config reference` lists every setting.",
    ] {
        assert!(text.contains(part), "{text}\nlacks\n{part}");
    }
}

#[test]
fn a_named_file_must_be_there() {
    let mut by_flag = setup(&[], &[], None);
    by_flag.sources.file = Some(PathBuf::from("/nowhere/x.toml"));
    assert!(
        problems(&by_flag)
            .contains("--config: the configuration file /nowhere/x.toml can't be read")
    );
    let by_variable = setup(&[], &[("OUTLAST_CONFIG", "/nowhere/y.toml")], None);
    assert!(
        problems(&by_variable).contains(
            "environment variable OUTLAST_CONFIG: the configuration file /nowhere/y.toml"
        )
    );
}

#[test]
fn variables_of_others_are_left_alone() {
    let variables = [
        ("OUTLAST_BOOTSTRAP_SERVERS", "x:1"),
        ("OUTLAST_SERVICE_HOST", "10.0.0.1"),
        ("OUTLAST_PORT", "tcp://10.0.0.1:9092"),
        ("OUTLAST_PORT_9092_TCP_ADDR", "10.0.0.1"),
    ];
    assert!(
        setup(&[], &variables, None)
            .sources
            .load()
            .unwrap()
            .values
            .is_empty()
    );
}
