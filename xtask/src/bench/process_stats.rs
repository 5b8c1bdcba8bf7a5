//! Processor time and peak memory of a process, as Linux's /proc tells them.

use std::fs;

use anyhow::{Context, Result};

/// The unit of /proc/PID/stat's times, fixed at 100 a second on every Linux of today.
const TICKS_A_SECOND: f64 = 100.0;

#[derive(Clone, Copy, Debug)]
pub struct ProcessStats {
    /// User and system time of all threads.
    pub cpu_seconds: f64,
    /// The largest resident set since the start or the last [`reset_peak`].
    pub peak_mib: f64,
}

impl ProcessStats {
    pub fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        Self::parse(&stat, &status).context("/proc has another format than expected")
    }

    fn parse(stat: &str, status: &str) -> Option<Self> {
        // The program's name stands in parentheses and may contain anything.
        let after_name = stat.rsplit_once(')')?.1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks: u64 =
            fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let peak_kib: f64 = peak.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(Self {
            cpu_seconds: ticks as f64 / TICKS_A_SECOND,
            peak_mib: peak_kib / 1024.0,
        })
    }
}

/// Makes the peak count anew from what the process has now.
pub fn reset_peak(pid: u32) -> Result<()> {
    Ok(fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_spaces_and_parentheses_do_not_shift_the_fields() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 1 1 1";
        let stats = ProcessStats::parse(stat, "Name:\tx\nVmHWM:\t  2048 kB\n").unwrap();
        assert_eq!(stats.cpu_seconds, 3.0);
        assert_eq!(stats.peak_mib, 2.0);
    }
}
