//! Damage done on purpose: a harness that can't fail proves nothing.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::ledger::ReadPartition;

/// How much of the newest data is lost.
const LOST_BYTES: usize = 64 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Fault {
    /// The last written bytes never reached the disk: as if acknowledged before the fsync
    LostTail,
    /// One message is missing from what is read back
    DroppedRecord,
}

/// Overwrites the end of the newest written file with zeros, while the broker is down.
pub fn lose_tail(data: &Path) -> Result<PathBuf> {
    let mut files = Vec::new();
    list_files(data, &mut files)?;
    let newest = files
        .into_iter()
        .max()
        .context("the broker wrote no file of that size")?;
    let (_, path) = newest;
    let mut bytes = fs::read(&path)?;
    // A preallocated file ends in zeros that were never data.
    let end = bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    bytes[end.saturating_sub(LOST_BYTES)..end].fill(0);
    fs::write(&path, bytes)?;
    Ok(path)
}

fn list_files(dir: &Path, files: &mut Vec<(SystemTime, PathBuf)>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            list_files(&entry.path(), files)?;
        } else if metadata.len() >= LOST_BYTES as u64 {
            files.push((metadata.modified()?, entry.path()));
        }
    }
    Ok(())
}

/// Forgets one message in the middle of the largest partition.
pub fn drop_record(read: &mut HashMap<i32, ReadPartition>) {
    if let Some(records) = read.values_mut().max_by_key(|records| records.len())
        && !records.is_empty()
    {
        records.remove(records.len() / 2);
    }
}
