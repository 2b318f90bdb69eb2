//! `config check`: reads the configuration as the daemon would, and says where it is wrong.

use crate::failure::Failure;
use crate::text::{Look, paint, print, print_json};
use model::settings::{Settings, merge};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What the package ships, then what the administrator wrote; a missing file is no fault.
const BASES: [&str; 2] = ["/usr/lib/gpuhostd/config.toml", "/etc/gpuhostd/config.toml"];
/// Fragments of the administrator, in the order of their names.
const FRAGMENTS: &str = "/etc/gpuhostd/config.d";

/// Runs the check; without files it takes those that the daemon reads.
pub(crate) fn run(files: &[PathBuf], json: bool) -> Result<(), Failure> {
    let fragments = if files.is_empty() { of_the_daemon()? } else { named(files)? };
    let settings = merge(&fragments).map_err(|fault| Failure::Usage { why: fault.to_string() })?;
    if json {
        return print_json(&settings);
    }
    print(&told(&fragments, &settings))
}

fn told(fragments: &[(String, String)], settings: &Settings) -> Vec<String> {
    let mut lines: Vec<String> = fragments.iter().map(|(name, _)| format!("read {name}")).collect();
    if fragments.is_empty() {
        lines.push("there is no configuration file; the defaults hold".to_owned());
    }
    lines.push(paint("the configuration is right", Look::Good));
    if settings.manager.insecure_skip_verify {
        lines.push(paint("manager.insecure_skip_verify is set: any certificate is trusted", Look::Bad));
    }
    lines
}

fn named(files: &[PathBuf]) -> Result<Vec<(String, String)>, Failure> {
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).map_err(|source| Failure::File { path: path.clone(), source })?;
        Ok((path.display().to_string(), text))
    };
    files.iter().map(read).collect()
}

fn of_the_daemon() -> Result<Vec<(String, String)>, Failure> {
    let mut files: Vec<PathBuf> = BASES.map(PathBuf::from).into_iter().filter(|path| path.exists()).collect();
    files.extend(fragments_in(Path::new(FRAGMENTS))?);
    named(&files)
}

fn fragments_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let fault = |source| Failure::File { path: folder.to_owned(), source };
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(fault)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(fault)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}
