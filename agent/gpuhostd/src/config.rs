//! Where configuration lies, and reading it.

use model::settings::{Settings, SettingsFault, merge};
use std::io::Read;
use std::path::{Path, PathBuf};

/// A configuration file is no larger than this.
const FILE_MAX_BYTES: u64 = 256 * 1024;

/// Configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFault {
    /// A file that was named cannot be read.
    #[error("cannot read {}", .0.display())]
    File(PathBuf, #[source] std::io::Error),
    /// A file is no configuration file.
    #[error("{} is larger than {FILE_MAX_BYTES} bytes: it is no configuration file", .0.display())]
    TooLarge(PathBuf),
    /// A fragment is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsFault),
    /// A file is not UTF-8.
    #[error("{} is not UTF-8 text", .0.display())]
    NotText(PathBuf),
}

/// The default places, in the order in which they are laid over each other; only those that exist.
#[must_use]
pub fn default_files() -> Vec<PathBuf> {
    let mut files = vec![PathBuf::from("/usr/lib/gpuhostd/config.toml"), PathBuf::from("/etc/gpuhostd/config.toml")];
    let folder = std::fs::read_dir("/etc/gpuhostd/config.d").into_iter().flatten().flatten();
    let mut fragments: Vec<PathBuf> =
        folder.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    fragments.sort();
    files.extend(fragments);
    files.retain(|file| file.exists());
    files
}

/// Reads these files, or the default places where none is named.
///
/// # Errors
/// The first file that cannot be read or is wrong.
pub fn read(named: &[PathBuf]) -> Result<Settings, ConfigFault> {
    let files = if named.is_empty() { default_files() } else { named.to_vec() };
    let fragments: Vec<(String, String)> = files.iter().map(|file| read_one(file)).collect::<Result<_, _>>()?;
    Ok(merge(&fragments)?)
}

fn read_one(file: &Path) -> Result<(String, String), ConfigFault> {
    let unreadable = |error| ConfigFault::File(file.to_owned(), error);
    let mut bytes = Vec::new();
    let limit = FILE_MAX_BYTES.saturating_add(1);
    // A link is followed: who can plant one in the administrator's folder can write the file as well.
    std::fs::File::open(file).map_err(unreadable)?.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length == limit) {
        return Err(ConfigFault::TooLarge(file.to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|_| ConfigFault::NotText(file.to_owned()))?;
    Ok((file.display().to_string(), text))
}
