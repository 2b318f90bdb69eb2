//! What is printed about a snapshot: where it is, what is in it, and what is not.

use model::snapshot::{Listed, Manifest};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Result};
use std::path::PathBuf;

/// A snapshot that was written.
#[derive(Debug, Serialize)]
pub(super) struct SnapshotSummary {
    /// The archive.
    pub(super) path: PathBuf,
    /// Its size.
    pub(super) archive_bytes: usize,
    /// What is in it.
    pub(super) manifest: Manifest,
}

impl Display for SnapshotSummary {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        let Manifest { files, missed, as_root, .. } = &self.manifest;
        let redacted: u32 = files.iter().map(|file| file.redacted).sum();
        writeln!(out, "{}: {} bytes, {} files", self.path.display(), self.archive_bytes, files.len())?;
        for (part, (count, bytes)) in parts(files) {
            match count {
                1 => writeln!(out, "  {part:<24} {bytes:>9} bytes")?,
                _ => writeln!(out, "  {part:<24} {bytes:>9} bytes in {count} files and links")?,
            }
        }
        if !missed.is_empty() {
            writeln!(out, "not in it:")?;
        }
        for missed in missed {
            writeln!(out, "  {}: {}", clean(&missed.what), clean(&missed.why))?;
        }
        if !as_root {
            writeln!(out, "Taken without root privileges: run it with sudo for a complete snapshot.")?;
        }
        writeln!(
            out,
            "Secrets taken out: {redacted}. Names and addresses of the host, serial numbers and UUIDs of its"
        )?;
        writeln!(out, "GPUs and the names of processes on them are in it: check it before you share it.")
    }
}

/// Files by their first folder.
fn parts(files: &[Listed]) -> BTreeMap<String, (usize, u64)> {
    let mut parts = BTreeMap::new();
    for file in files {
        let part = file.path.split_once('/').map_or_else(|| file.path.clone(), |(folder, _)| format!("{folder}/"));
        let (count, bytes): &mut (usize, u64) = parts.entry(part).or_default();
        *count += 1;
        *bytes = bytes.saturating_add(file.bytes);
    }
    parts
}

/// A name of a host could steer the terminal.
fn clean(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}
