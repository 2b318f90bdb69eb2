//! The files of a fleet: `ca.pem`, `ca.key`, `server.pem` and `fleet.json` in one directory that only its owner can read.

use crate::agents::Agents;
use crate::authority::Authority;
use anyhow::Context as _;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

const AGENTS: &str = "fleet.json";

/// The authority in the directory; makes both where there are none.
pub(crate) fn authority(dir: &Path) -> anyhow::Result<Authority> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("can't make the directory {}", dir.display()))?;
    match (read(dir, "ca.pem")?, read(dir, "ca.key")?) {
        (Some(cert), Some(key)) => {
            Authority::load(cert, key).with_context(|| format!("{}: ca.pem and ca.key are no authority", dir.display()))
        }
        (None, None) => {
            let authority = Authority::create("reference manager CA")?;
            write_private(dir, "ca.key", &authority.key_pem)?;
            write_private(dir, "ca.pem", &authority.cert_pem)?;
            Ok(authority)
        }
        (Some(_), None) | (None, Some(_)) => {
            anyhow::bail!(
                "{}: only one of ca.pem and ca.key is there; put both back or remove the other",
                dir.display()
            )
        }
    }
}

/// Certificate and key of the server in one PEM text; `make` makes them where there are none.
pub(crate) fn server_identity(dir: &Path, make: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<String> {
    if let Some(pem) = read(dir, "server.pem")? {
        return Ok(pem);
    }
    let pem = make()?;
    write_private(dir, "server.pem", &pem)?;
    Ok(pem)
}

/// Tokens and agents; none where nothing was written yet.
pub(crate) fn read_agents(dir: &Path) -> anyhow::Result<Agents> {
    match read(dir, AGENTS)? {
        None => Ok(Agents::default()),
        Some(text) => {
            serde_json::from_str(&text).with_context(|| format!("{} is not a fleet", dir.join(AGENTS).display()))
        }
    }
}

/// Writes tokens and agents.
pub(crate) fn write_agents(dir: &Path, text: &str) -> anyhow::Result<()> {
    write_private(dir, AGENTS, text)
}

fn read(dir: &Path, name: &str) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(dir.join(name)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("can't read {}", dir.join(name).display())),
    }
}

/// Replaces a file in one step: a reader sees the old one or the new one.
///
/// # Errors
/// The file beside it can't be written, or not be put in its place.
pub fn write_file(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let name = path.file_name().with_context(|| format!("{} names no file", path.display()))?;
    let fresh = path.with_file_name(format!(".{}.new", name.to_string_lossy()));
    let replace = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&fresh)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    replace().with_context(|| format!("can't write {}", path.display()))
}

fn write_private(dir: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    write_file(&dir.join(name), text, 0o600)
}
