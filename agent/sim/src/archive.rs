//! Reads the archive of a snapshot, which may come from a stranger: bounded, and without a way out of its own folder.

use flate2::read::GzDecoder;
use model::snapshot::{CONTENT_MAX_BYTES, ENTRIES_MAX, FORMAT, MANIFEST, Manifest, RECORDED, Recorded};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use tar::{Archive, Entry};

/// Headers and padding of the tar come on top of the content.
const TAR_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveNode {
    /// A file with its content.
    File(Vec<u8>),
    /// A relative link that stays in the archive.
    Link(PathBuf),
}

/// An archive in memory, by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSnapshot {
    /// Where it came from, for messages.
    pub origin: String,
    /// What it holds.
    pub nodes: BTreeMap<PathBuf, ArchiveNode>,
}

/// Why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadSnapshot {
    /// It cannot be read, or is no gzipped tar.
    #[error("cannot read the snapshot {origin}; is it a .tar.gz that gpuhostctl debug snapshot wrote?")]
    Unreadable {
        /// The file.
        origin: String,
        /// The error as it was reported.
        #[source]
        source: io::Error,
    },
    /// An entry that no snapshot has.
    #[error("{origin} is not taken: {path} {why}")]
    Forbidden {
        /// The file.
        origin: String,
        /// The entry.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A document is missing.
    #[error("{origin} has no {name}: it is not a snapshot of a host")]
    Missing {
        /// The file.
        origin: String,
        /// The document.
        name: &'static str,
    },
    /// A document cannot be read.
    #[error("{name} in {origin} cannot be read")]
    Document {
        /// The file.
        origin: String,
        /// The document.
        name: &'static str,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Another layout.
    #[error("{origin} has the format {found}, and only {FORMAT} is known: take the gpuhostd that wrote it")]
    Format {
        /// The file.
        origin: String,
        /// Its format.
        found: u32,
    },
}

impl HostSnapshot {
    /// Reads an archive.
    ///
    /// # Errors
    /// It cannot be read, is too large, or holds what no snapshot holds.
    pub fn open(path: &Path) -> Result<Self, BadSnapshot> {
        let origin = path.display().to_string();
        let unreadable = |source| BadSnapshot::Unreadable { origin: origin.clone(), source };
        let file = File::open(path).map_err(unreadable)?;
        Self::read(file, &origin)
    }

    /// Reads an archive from its bytes; `origin` names it in errors.
    ///
    /// # Errors
    /// As [`HostSnapshot::open`].
    pub fn read(bytes: impl Read, origin: &str) -> Result<Self, BadSnapshot> {
        let unreadable = |source| BadSnapshot::Unreadable { origin: origin.to_owned(), source };
        let mut archive = Archive::new(GzDecoder::new(bytes).take(TAR_MAX_BYTES));
        let mut snapshot = Self { origin: origin.to_owned(), nodes: BTreeMap::new() };
        let mut content = 0_usize;
        for entry in archive.entries().map_err(unreadable)? {
            let mut entry = entry.map_err(unreadable)?;
            let path = entry.path().map_err(unreadable)?.into_owned();
            let node = node(&mut entry, &path, origin, CONTENT_MAX_BYTES.saturating_sub(content))?;
            if let ArchiveNode::File(bytes) = &node {
                content = content.saturating_add(bytes.len());
            }
            if snapshot.nodes.len() >= ENTRIES_MAX {
                return Err(forbidden(origin, &path, "is one entry too many"));
            }
            snapshot.nodes.insert(path, node);
        }
        Ok(snapshot)
    }

    /// What the host reported, where this archive has a format that is known here.
    ///
    /// # Errors
    /// A document is missing or broken, or the format is another one.
    pub fn recorded(&self) -> Result<Recorded, BadSnapshot> {
        let manifest: Manifest = self.document(MANIFEST)?;
        if manifest.format != FORMAT {
            return Err(BadSnapshot::Format { origin: self.origin.clone(), found: manifest.format });
        }
        self.document(RECORDED)
    }

    fn document<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, BadSnapshot> {
        let Some(ArchiveNode::File(bytes)) = self.nodes.get(Path::new(name)) else {
            return Err(BadSnapshot::Missing { origin: self.origin.clone(), name });
        };
        serde_json::from_slice(bytes).map_err(|source| BadSnapshot::Document {
            origin: self.origin.clone(),
            name,
            source,
        })
    }
}

fn forbidden(origin: &str, path: &Path, why: &'static str) -> BadSnapshot {
    BadSnapshot::Forbidden { origin: origin.to_owned(), path: path.display().to_string(), why }
}

fn node<R: Read>(entry: &mut Entry<'_, R>, path: &Path, origin: &str, room: usize) -> Result<ArchiveNode, BadSnapshot> {
    let unreadable = |source| BadSnapshot::Unreadable { origin: origin.to_owned(), source };
    if path.as_os_str().is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(forbidden(origin, path, "leads out of the archive"));
    }
    let kind = entry.header().entry_type();
    if kind.is_file() {
        let bound = u64::try_from(room).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = Vec::new();
        entry.take(bound).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() > room {
            return Err(forbidden(origin, path, "is larger than a snapshot may be"));
        }
        return Ok(ArchiveNode::File(bytes));
    }
    if !kind.is_symlink() {
        return Err(forbidden(origin, path, "is neither a file nor a link"));
    }
    let target = entry.link_name().map_err(unreadable)?.map(std::borrow::Cow::into_owned).unwrap_or_default();
    if stays_within(path, &target) {
        Ok(ArchiveNode::Link(target))
    } else {
        Err(forbidden(origin, path, "is a link out of the archive"))
    }
}

/// A relative link that does not climb above the archive's own root at any step.
fn stays_within(path: &Path, target: &Path) -> bool {
    let mut depth = path.components().count().saturating_sub(1);
    !target.as_os_str().is_empty()
        && target.components().all(|part| match part {
            Component::Normal(_) => {
                depth += 1;
                true
            }
            Component::CurDir => true,
            Component::ParentDir => match depth.checked_sub(1) {
                Some(less) => {
                    depth = less;
                    true
                }
                None => false,
            },
            Component::RootDir | Component::Prefix(_) => false,
        })
}
