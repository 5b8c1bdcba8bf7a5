//! The manifest: the identity of the data directory, and what its files can't say themselves.

use std::path::Path;

use crate::codec::{Fields, Put, Short};
use crate::error::StorageError;
use crate::frame::Structure;
use crate::io::{Io, read_file, replace_file};

const STRUCTURE: Structure = Structure {
    name: "manifest",
    magic: *b"OLMF",
    version: 1,
};
pub(crate) const FILE: &str = "MANIFEST";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) store_id: u128,
}

impl Manifest {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        body.put_u128(self.store_id);
        STRUCTURE.frame(&body)
    }

    pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<Manifest, StorageError> {
        let mut fields = Fields::new(STRUCTURE.unframe(bytes, path, 0)?);
        let mut decode = || -> Result<_, Short> {
            Ok(Manifest {
                store_id: fields.u128()?,
            })
        };
        decode().map_err(|Short| StorageError::Damaged {
            path: path.to_owned(),
            position: 0,
            what: "the manifest is cut off".to_owned(),
        })
    }

    pub(crate) fn store(&self, io: &dyn Io, dir: &Path) -> Result<(), StorageError> {
        let path = dir.join(FILE);
        replace_file(io, &path, &self.encode()).map_err(StorageError::io("writing", &path))
    }

    pub(crate) fn load(io: &dyn Io, dir: &Path) -> Result<Option<Manifest>, StorageError> {
        let path = dir.join(FILE);
        match read_file(io, &path) {
            Ok(bytes) => Manifest::decode(&bytes, &path).map(Some),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StorageError::io("reading", &path)(e)),
        }
    }
}
