//! Describes the machine, without which numbers mean nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

/// One line each: processor, memory, disk, kernel, Java.
pub fn describe(data: &Path) -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = line_of("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
    let memory = line_of("/proc/meminfo", "MemTotal").unwrap_or_default();
    let memory_kib: f64 = memory.trim_end_matches(" kB").parse().unwrap_or(0.0);
    vec![
        format!("Processor: {model}, {cores} cores for clients and brokers together"),
        format!("Memory: {:.0} GiB", memory_kib / f64::from(1 << 20)),
        format!("Disk: {}", file_system(data)),
        format!("Kernel: {}", output("uname", &["-sr"])),
        format!("Java: {}", output("java", &["--version"])),
        format!(
            "Outlast: {}",
            output("git", &["describe", "--always", "--dirty"])
        ),
    ]
}

fn line_of(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The kind of file system, and whether its device turns.
fn file_system(dir: &Path) -> String {
    let dir = dir.display().to_string();
    let df = output("df", &["--output=fstype,source", &dir]);
    df.lines()
        .next_back()
        .unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" on ")
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_else(|error| error.to_string());
    if program == "df" {
        return text;
    }
    text.lines().next().unwrap_or_default().trim().to_owned()
}
