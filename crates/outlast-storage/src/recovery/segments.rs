//! Which segments are there, and which should be.

use std::path::Path;

use super::fold::Fold;
use super::{Quarantine, RecoveryReport};
use crate::error::{Damage, StorageError};
use crate::io::Io;
use crate::l1::{Segment, segment_id_of, segment_path};
use crate::manifest::Manifest;
use crate::segment::DIR;

/// Takes in the segments that the manifest lists, removes leftovers of ours, and moves the rest away.
pub(super) fn fold_segments(
    io: &dyn Io,
    data_dir: &Path,
    manifest: &Manifest,
    fold: &mut Fold,
    quarantine: &mut Quarantine<'_>,
    report: &mut RecoveryReport,
) -> Result<(), StorageError> {
    let dir = data_dir.join(DIR);
    let failed = || StorageError::io("listing", &dir);
    let mut removed = false;
    for entry in io.list(&dir).map_err(failed())? {
        let path = dir.join(&entry.name);
        let id = segment_id_of(&entry.name).filter(|_| !entry.is_dir);
        match id {
            Some(id) if manifest.segments.contains(&id) => {}
            Some(id)
                if manifest.making.contains(&id) || manifest.removing_segments.contains(&id) =>
            {
                io.remove(&path).map_err(failed())?;
                removed = true;
            }
            _ => quarantine.take(&path)?,
        }
    }
    if removed {
        io.sync_dir(&dir).map_err(failed())?;
    }
    for id in &manifest.segments {
        let what = match Segment::open(io, data_dir, *id) {
            Ok(segment) => {
                fold.segment(segment, report);
                continue;
            }
            Err(StorageError::Damaged { what, .. }) => what,
            Err(StorageError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                "the segment is missing".to_owned()
            }
            Err(other) => return Err(other),
        };
        report.damaged(Damage {
            path: segment_path(data_dir, *id),
            position: 0,
            what,
            partition: None,
            offsets: None,
        });
    }
    Ok(())
}
