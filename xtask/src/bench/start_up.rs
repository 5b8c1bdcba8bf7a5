//! How long a broker is away: from its start to the first message it acknowledges, on an empty
//! directory and after SIGKILL with gigabytes of data.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::workspace;

use super::case::{self, Case};
use super::client::Clients;
use super::report::Results;
use super::subject::{Kind, Subject};

/// What `--case` calls this.
const NAME: &str = "start-up";
const ACK_LIMIT: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug)]
pub struct StartUp {
    pub empty_seconds: f64,
    pub recovery_seconds: f64,
    pub data_mib: f64,
}

pub fn is_wanted(cases: &[String]) -> bool {
    cases.is_empty() || cases.iter().any(|part| NAME.starts_with(part.as_str()))
}

pub fn measure(
    kinds: &[Kind],
    clients: &Clients,
    data: &Path,
    quick: bool,
    rounds: usize,
    results: &mut Results,
) -> Result<()> {
    for round in 0..rounds {
        // Syncing makes Kafka slow to fill, not to start: once is enough.
        for &kind in kinds.iter().filter(|&&kind| kind != Kind::KafkaFsync) {
            let start_up = measure_one(kind, clients, data, quick)?;
            println!(
                "round {} {NAME:<22} {:<20} {:.3} s empty, {:.3} s after SIGKILL with {:.0} MiB",
                round + 1,
                kind.title(),
                start_up.empty_seconds,
                start_up.recovery_seconds,
                start_up.data_mib
            );
            results.start_ups.entry(kind).or_default().push(start_up);
        }
    }
    Ok(())
}

fn measure_one(kind: Kind, clients: &Clients, data: &Path, quick: bool) -> Result<StartUp> {
    let mut subject = Subject::prepare(kind, clients.libraries(), data)?;
    let empty_seconds = start_to_first_ack(&mut subject)?;

    let fill = Case {
        name: NAME.to_owned(),
        what: "",
        load: case::Load::Produce { producers: 1 },
        partitions: 16,
        record_size: 1024,
        records: if quick { 1 << 18 } else { 1 << 22 },
        compression: "none",
    };
    clients.create_topic(&subject, "fill", fill.partitions)?;
    clients.produce(&subject, "fill", &fill, 1)?;
    subject.kill()?;
    let recovery_seconds = start_to_first_ack(&mut subject)?;
    subject.stop()?;
    let data_mib = (fill.records * fill.record_size) as f64 / f64::from(1 << 20);
    Ok(StartUp {
        empty_seconds,
        recovery_seconds,
        data_mib,
    })
}

/// The client is `outlast produce` for every broker: it starts in a few milliseconds.
fn start_to_first_ack(subject: &mut Subject) -> Result<f64> {
    let started = Instant::now();
    subject.spawn()?;
    subject.await_port()?;
    while !send_one(subject)? {
        ensure!(started.elapsed() < ACK_LIMIT, "no message was acknowledged");
    }
    Ok(started.elapsed().as_secs_f64())
}

fn send_one(subject: &Subject) -> Result<bool> {
    let mut child = Command::new(workspace::built("release", "outlast"))
        .args([
            "produce",
            "--quiet",
            "--bootstrap",
            &subject.bootstrap(),
            "first",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut stdin = child.stdin.take().context("its input is piped")?;
    // A client that gave up already doesn't read; its exit code says so.
    let _ = stdin.write_all(b"hello\n");
    drop(stdin);
    Ok(child.wait()?.success())
}
