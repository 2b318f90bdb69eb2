//! `desired apply`: installs a file in `/etc/gpuhostd/desired.d`, for people and for Ansible: it finds out first whether anything would
//! change.

use super::desired_check;
use crate::args::Apply;
use crate::failure::Failure;
use crate::text::{Look, clean, paint, print, print_json};
use crate::{input, role};
use files::ReadError;
use model::desired::LOCAL_FILE_MAX_BYTES;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Where the daemon reads.
const DIRECTORY: &str = "/etc/gpuhostd/desired.d";

/// What was found and done.
#[derive(Debug, Serialize)]
struct Outcome {
    path: String,
    /// It was installed, or would be.
    changed: bool,
    /// With `--diff`: the lines before and after.
    diff: Option<Contents>,
}

#[derive(Debug, Serialize)]
struct Contents {
    before: String,
    after: String,
}

/// Installs the file, unless the same is there already.
pub(crate) fn run(how: &Apply, json: bool) -> Result<(), Failure> {
    let name = name_of(how)?;
    let checked = desired_check::local(&how.file, json)?;
    if checked.bytes.len() > LOCAL_FILE_MAX_BYTES {
        let why = format!("{} is larger than {LOCAL_FILE_MAX_BYTES} bytes", input::name(&how.file));
        return Err(Failure::Refused { status: 1, message: why });
    }
    if name.ends_with(".toml") != checked.is_toml {
        let form = if checked.is_toml { "TOML" } else { "JSON" };
        return Err(Failure::Usage { why: format!("{name} has the wrong ending: the file is {form}") });
    }
    let directory = how.directory.clone().unwrap_or_else(|| PathBuf::from(DIRECTORY));
    let path = directory.join(&name);
    let before = installed(&path)?;
    let is_same = before.as_ref().is_some_and(|before| before.is_safe && before.bytes == checked.bytes);
    if !is_same && !how.check {
        crate::block_on(role::install_desired(&directory, &name, &checked.bytes))?;
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let contents =
        Contents { before: before.map(|before| text(&before.bytes)).unwrap_or_default(), after: text(&checked.bytes) };
    let outcome = Outcome {
        path: path.display().to_string(),
        changed: !is_same,
        diff: (how.diff && !is_same).then_some(contents),
    };
    if json {
        print_json(&outcome)?
    } else {
        print(&lines(&outcome, how.check))?
    }
    if how.check && outcome.changed { Err(Failure::WouldChange) } else { Ok(()) }
}

fn lines(outcome: &Outcome, is_check: bool) -> Vec<String> {
    let verdict = match (outcome.changed, is_check) {
        (false, _) => "is the same already.",
        (true, true) => "would be installed.",
        (true, false) => "is installed; the daemon reads it at once: see `gpuhostctl desired show`.",
    };
    let changed = outcome.diff.iter().flat_map(|contents| changed_lines(&contents.before, &contents.after));
    changed.chain([format!("{} {verdict}", clean(&outcome.path))]).collect()
}

/// The lines between those that are the same at the beginning and at the end.
fn changed_lines(before: &str, after: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let at_begin = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let (old, new) = (old.get(at_begin..).unwrap_or_default(), new.get(at_begin..).unwrap_or_default());
    let at_end = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    let cut = |lines: &[&str]| lines.len().saturating_sub(at_end);
    let removed = old.iter().take(cut(old)).map(|line| paint(&format!("-{}", clean(line)), Look::Bad));
    let added = new.iter().take(cut(new)).map(|line| paint(&format!("+{}", clean(line)), Look::Good));
    removed.chain(added).collect()
}

/// The name under which it is installed: one that the daemon reads.
fn name_of(how: &Apply) -> Result<String, Failure> {
    let own = || how.file.file_name().filter(|_| !input::is_standard(&how.file))?.to_str();
    let Some(name) = how.name.as_deref().or_else(own) else {
        return Err(Failure::Usage { why: "give the file a name with --name NAME".to_owned() });
    };
    let is_read = (name.ends_with(".toml") || name.ends_with(".json"))
        && !name.starts_with('.')
        && !name.chars().any(|c| c == '/' || c.is_control())
        && name.len() <= 200;
    if is_read {
        return Ok(name.to_owned());
    }
    let why = format!(
        "{name:?} is not a name that the daemon reads: it ends in .toml or .json, does not begin with a dot and has no / in it; \
         give another one with --name NAME"
    );
    Err(Failure::Usage { why })
}

/// The file that is there.
struct Installed {
    bytes: Vec<u8>,
    /// The daemon takes it: nobody but root can write it.
    is_safe: bool,
}

/// What is there now; `None` where there is no file.
fn installed(path: &Path) -> Result<Option<Installed>, Failure> {
    // A link is somebody's decision: to mask a file, or to keep it elsewhere.
    if path.symlink_metadata().is_ok_and(|found| found.file_type().is_symlink()) {
        let path = path.display();
        let message = format!("{path} is a link, which is not replaced: remove it first (rm {path})");
        return Err(Failure::Refused { status: crate::failure::status_of_code("conflict"), message });
    }
    let opened = path.to_owned();
    match files::in_time(path, files::USUAL_TIME, move || files::open(&opened)) {
        Ok(plain) => {
            let is_safe = plain.uid == 0 && plain.mode & 0o022 == 0;
            Ok(Some(Installed { bytes: plain.read(path, LOCAL_FILE_MAX_BYTES)?, is_safe }))
        }
        Err(ReadError::Missing { .. }) => Ok(None),
        Err(fault) => Err(fault.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_that_change_are_shown() {
        let plain = |before: &str, after: &str| -> Vec<String> {
            let lines = changed_lines(before, after);
            lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
        };
        assert_eq!(plain("a\nb\nc\n", "a\nx\ny\nc\n"), ["-b", "+x", "+y"]);
        assert_eq!(plain("", "a\n"), ["+a"]);
        assert_eq!(plain("a\n", ""), ["-a"]);
        assert_eq!(plain("a\na\n", "a\n"), ["-a"]);
        assert_eq!(plain("a\n", "a\n"), Vec::<String>::new());
    }

    #[test]
    fn a_name_that_the_daemon_would_not_read_is_refused() {
        let of = |file: &str, name: Option<&str>| {
            let name = name.map(str::to_owned);
            name_of(&Apply { file: file.into(), name, check: true, diff: false, directory: None }).ok()
        };
        assert_eq!(of("/tmp/10-site.toml", None).as_deref(), Some("10-site.toml"));
        assert_eq!(of("-", Some("a.json")).as_deref(), Some("a.json"));
        for (file, name) in
            [("-", None), ("/tmp/site", None), ("x.toml", Some("../x.toml")), ("x.toml", Some(".x.toml")), ("/", None)]
        {
            assert_eq!(of(file, name), None, "{file} {name:?}");
        }
    }
}
