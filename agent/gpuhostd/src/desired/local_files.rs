//! The files of this host that wish something: `/etc/gpuhostd/desired.d/*.json` and `*.toml`, laid over each other in the order of
//! their names.

use files::{ReadError, USUAL_TIME, fragments, in_time};
use model::desired::{CAPABILITIES, DesiredSections, FileFault, LOCAL_FILE_MAX_BYTES};
use nix::unistd::geteuid;
use std::path::{Path, PathBuf};
use wire::manager::desired::{DesiredFault, DesiredForm, DesiredReading, examine, examine_toml};

/// More files than anybody writes.
const FILES_MOST: usize = 256;
/// Where a link leads that takes a file out of use.
const MASK: &str = "/dev/null";

/// What the files wish.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct LocalRead {
    /// The files, in the order in which they were read.
    pub(super) files: Vec<String>,
    /// Their wishes, laid over each other.
    pub(super) wishes: DesiredSections,
    /// What is wrong with them; then the wishes are not those of the whole set, and are not to be used.
    pub(super) faults: Vec<FileFault>,
}

/// Reads the folder; one that is not there has no files. Blocking, but no longer than a file system that hangs is waited for.
pub(super) fn read(folder: &Path) -> LocalRead {
    let path = folder.to_owned();
    match in_time(folder, USUAL_TIME, move || Ok(read_now(&path))) {
        Ok(read) => read,
        Err(fault) => LocalRead { faults: vec![of_file(&fault)], ..LocalRead::default() },
    }
}

fn read_now(folder: &Path) -> LocalRead {
    let mut all = LocalRead::default();
    let listed = ["json", "toml"].map(|extension| fragments(folder, extension, FILES_MOST));
    let mut paths: Vec<PathBuf> = Vec::new();
    for listed in listed {
        match listed {
            Ok(listed) => paths.extend(listed),
            Err(fault) => {
                all.faults.push(of_file(&fault));
                return all;
            }
        }
    }
    paths.sort_unstable();
    for path in paths.iter().filter(|path| !is_masked(path)) {
        let name = path.display().to_string();
        match one(path) {
            Ok(reading) => {
                let wrong = reading.faults.refused.iter().map(|fault| of_field(&name, fault));
                all.faults.extend(wrong.chain(unsupported(&name, &reading.requires)));
                all.wishes.lay_over(reading.wishes);
            }
            Err(fault) => all.faults.push(fault),
        }
        all.files.push(name);
    }
    all
}

fn is_masked(path: &Path) -> bool {
    std::fs::canonicalize(path).is_ok_and(|real| real == Path::new(MASK))
}

fn one(path: &Path) -> Result<DesiredReading, FileFault> {
    let plain = files::open(path).map_err(|fault| of_file(&fault))?;
    let (ours, path_shown) = (geteuid().as_raw(), path.display().to_string());
    if (plain.uid != 0 && plain.uid != ours) || plain.mode & 0o022 != 0 {
        let message = format!(
            "users other than root can write it (owner {}, mode {:o}): chown root {path_shown}; chmod 0644 {path_shown}",
            plain.uid, plain.mode
        );
        return Err(FileFault { place: path_shown, message });
    }
    let bytes = plain.read(path, LOCAL_FILE_MAX_BYTES).map_err(|fault| of_file(&fault))?;
    if path.extension().is_some_and(|extension| extension == "toml") {
        let text = files::as_text(bytes, path).map_err(|fault| of_file(&fault))?;
        return Ok(examine_toml(&text, DesiredForm::Local));
    }
    Ok(examine(&bytes, DesiredForm::Local))
}

fn unsupported(name: &str, requires: &[String]) -> Option<FileFault> {
    let missing: Vec<&str> =
        requires.iter().map(String::as_str).filter(|required| !CAPABILITIES.contains(required)).collect();
    (!missing.is_empty()).then(|| FileFault {
        place: name.to_owned(),
        message: format!(
            "/requires: this version does not offer {}; it offers {}",
            model::printable::printable(&missing.join(", "), 256),
            CAPABILITIES.join(", ")
        ),
    })
}

fn of_file(fault: &ReadError) -> FileFault {
    FileFault { place: fault.path().display().to_string(), message: fault.to_string() }
}

fn of_field(name: &str, fault: &DesiredFault) -> FileFault {
    let place = fault.at.map_or_else(|| name.to_owned(), |at| format!("{name}:{}:{}", at.line, at.column));
    FileFault { place, message: fault.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::desired::Desired;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn put(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    #[test]
    fn files_are_read_in_the_order_of_their_names_whatever_their_form_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        assert_eq!(read(&folder.join("none")), LocalRead::default());
        put(folder, "20.toml", "[agent]\nzone = 'b'\npool = 'b'\n");
        put(folder, "10.json", r#"{"agent": {"zone": "a", "draining": true}, "requires": ["gpu.v1"]}"#);
        put(folder, "30.json", r#"{"agent": {"pool": "c"}}"#);
        // What editors, package managers and people leave behind.
        for other in [".20.toml.swp", "20.toml~", "20.toml.bak", "4913", "30.json.dpkg-new", "readme", ".hidden.json"] {
            put(folder, other, "nonsense [");
        }
        symlink(MASK, folder.join("40.json")).unwrap();
        let all = read(folder);
        assert_eq!(all.faults, []);
        let names: Vec<&str> = all.files.iter().map(|name| name.rsplit('/').next().unwrap()).collect();
        assert_eq!(names, ["10.json", "20.toml", "30.json"]);
        let agent = all.wishes.agent;
        let text = |text: &str| Desired::Value(text.to_owned());
        assert_eq!((agent.zone, agent.pool, agent.draining), (text("b"), text("c"), Desired::Value(true)));
    }

    #[test]
    fn the_example_of_the_package_is_right_as_it_is_and_without_its_marks() {
        let example = include_str!("../../../../packaging/config/desired.toml");
        let is_marked = |line: &str| line.starts_with('#') && !line.starts_with("# ") && line.len() > 1;
        let unmarked: Vec<&str> = example.lines().map(|line| if is_marked(line) { &line[1..] } else { line }).collect();
        assert!(unmarked.iter().filter(|line| line.contains(" = ")).count() > 12, "it has marks");
        let dir = tempfile::tempdir().unwrap();
        for text in [example.to_owned(), unmarked.join("\n")] {
            put(dir.path(), "50-host.toml", &text);
            assert_eq!(read(dir.path()).faults, []);
        }
        let agent = read(dir.path()).wishes.agent;
        assert!(agent.draining.is_said() && agent.overrides.cuda_gpus.is_said() && agent.log_level.is_said());
    }

    #[test]
    fn everything_that_is_wrong_is_named_with_file_line_and_field() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        put(folder, "10.toml", "[agent]\n\ndraning = true\n");
        put(folder, "20.json", "{\n \"agent\": {\"enabled\": 1}\n}");
        put(folder, "30.json", "");
        put(folder, "40.toml", "requires = ['quota.v1']");
        put(folder, "50.json", "{}");
        fs::set_permissions(folder.join("50.json"), fs::Permissions::from_mode(0o666)).unwrap();
        fs::create_dir(folder.join("60.json")).unwrap();
        symlink("nothing", folder.join("70.toml")).unwrap();
        let all = read(folder);
        let said: Vec<String> = all.faults.iter().map(|fault| format!("{} {}", fault.place, fault.message)).collect();
        for (at, words) in [
            "10.toml:3:11 /agent/draning: this name is not known",
            "20.json:2:23 /agent/enabled: expected true, false or null, found a number",
            "30.json:1:1 is not JSON",
            "40.toml /requires: this version does not offer quota.v1",
            "chmod 0644",
            "60.json is a directory",
            "70.toml is a link to a file that does not exist",
        ]
        .iter()
        .enumerate()
        {
            assert!(said[at].contains(words), "{words}: {said:#?}");
        }
        assert_eq!(said.len(), 7);
        fs::write(folder.join("file"), "").unwrap();
        assert_eq!(read(&folder.join("file")).faults.len(), 1, "a file in place of the folder is no empty folder");
    }
}
