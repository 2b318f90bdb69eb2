//! Places files and relative links, and says which one failed.

use anyhow::Context;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

/// Writes a file with its folders.
///
/// # Errors
/// What the file system said, with the path.
pub fn text(path: &Path, content: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes an attribute: the content with a line end, as the kernel ends each.
///
/// # Errors
/// As [`text`].
pub fn attribute(path: &Path, content: &str) -> anyhow::Result<()> {
    text(path, &format!("{content}\n"))
}

/// Makes a symbolic link at `at` to `target` that stays right wherever the tree is moved, as the kernel's are. Both are
/// paths within the tree.
///
/// # Errors
/// What the file system said, with the path.
pub fn link(target: &Path, at: &Path) -> anyhow::Result<()> {
    let folder = at.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    symlink(relative(target, folder), at).with_context(|| format!("cannot link {}", at.display()))
}

fn relative(target: &Path, from: &Path) -> PathBuf {
    let (there, here): (Vec<Component<'_>>, Vec<Component<'_>>) =
        (target.components().collect(), from.components().collect());
    let shared = there.iter().zip(&here).take_while(|(a, b)| a == b).count();
    let up = here.iter().skip(shared).map(|_| Component::ParentDir);
    up.chain(there.into_iter().skip(shared)).collect()
}
