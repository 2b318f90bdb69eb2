//! Writes the files of a snapshot as a tree, so that today's readers look at what a host showed when it was taken.

use crate::place::text;
use anyhow::Context;
use sim::HostSnapshot;
use sim::archive::ArchiveNode;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// Its words are repeated from here, relative to the tree.
const WORDS: &str = "nvidia-smi.xml";

/// Writes the files and links of an archive below a folder, and an `nvidia-smi` that repeats what the real one said.
///
/// # Errors
/// A file cannot be written; the text names it.
pub fn write_recorded(snapshot: &HostSnapshot, root: &Path) -> anyhow::Result<()> {
    // Files first: where no link is there yet, no file can be written through one.
    for (path, node) in &snapshot.nodes {
        if let ArchiveNode::File(content) = node {
            text(&root.join(path), &String::from_utf8_lossy(content))?;
        }
    }
    for (path, node) in &snapshot.nodes {
        if let ArchiveNode::Link(target) = node {
            let at = root.join(path);
            fs::create_dir_all(at.parent().unwrap_or(root))?;
            symlink(target, &at).with_context(|| format!("cannot link {}", at.display()))?;
        }
    }
    if !snapshot.nodes.contains_key(Path::new(WORDS)) {
        return Ok(());
    }
    let program = root.join("usr/bin/nvidia-smi");
    text(&program, &format!("#!/bin/sh\nexec cat \"${{0%/usr/bin/*}}/{WORDS}\"\n"))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).context("cannot make nvidia-smi executable")
}
