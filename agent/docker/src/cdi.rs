//! The CDI specifications in an engine's folders, for the engines that do not say what they hold.

use model::cdi::{CdiDevices, CdiFile, CdiFolder, FILE_MAX_BYTES, KIND, SpecVersion, is_spec, parse, taken};
use model::docker::{ContainerEngine, DockerFacts};
use nix::fcntl::OFlag;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

/// Where Podman looks, which does not say so.
const PODMANS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];
/// More folders than these are not looked into.
const FOLDERS_MAX: usize = 8;
/// More files than these are not read in one folder.
const FILES_MAX: usize = 64;
/// More sentences than these are not kept.
const PROBLEMS_MAX: usize = 16;
/// The first version of the API whose engines list their devices.
const LISTED_SINCE: (u32, u32) = (1, 50);

/// One reader at a time: one that hangs (a folder on a file system that does not answer) is not doubled.
static TURN: Semaphore = Semaphore::const_new(1);

/// Adds to the facts what the specifications say.
pub(crate) async fn add(facts: &mut DockerFacts, within: Duration) {
    let mut folders = facts.cdi_spec_dirs.clone();
    if facts.engine == ContainerEngine::Podman && folders.is_empty() {
        folders = PODMANS.map(str::to_owned).to_vec();
    }
    if folders.is_empty() {
        return;
    }
    folders.truncate(FOLDERS_MAX);
    let begin = Instant::now();
    let Ok(Ok(turn)) = timeout(within, TURN.acquire()).await else {
        return facts.cdi_problems.push("the CDI specifications are still being read by an earlier request".to_owned());
    };
    let left = within.saturating_sub(begin.elapsed());
    let newest = newest(facts);
    let read = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        read(&folders, newest)
    });
    match timeout(left, read).await {
        Ok(Ok(read)) => use_them(facts, read),
        Ok(Err(broken)) => facts.cdi_problems.push(format!("the CDI specifications could not be read: {broken}")),
        Err(_) => {
            let ms = within.as_millis();
            facts.cdi_problems.push(format!(
                "the CDI specifications could not be read within {ms} ms: one of their directories hangs"
            ));
        }
    }
}

/// What the folders hold.
#[derive(Default)]
struct Found {
    devices: CdiDevices,
    files: Vec<CdiFile>,
    problems: Vec<String>,
}

impl Found {
    fn problem(&mut self, what: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(what);
        }
    }
}

fn use_them(facts: &mut DockerFacts, read: Found) {
    facts.cdi_all = read.devices.all;
    facts.cdi_files = read.files;
    facts.cdi_problems = read.problems;
    if !lists_its_devices(facts) {
        facts.cdi_devices = read.devices.names.iter().map(|name| format!("{KIND}={name}")).collect();
    }
}

/// An engine that has listed some is believed, whatever version it claims to have.
fn lists_its_devices(facts: &DockerFacts) -> bool {
    let number = |text: &str| text.parse::<u32>().ok();
    let api = facts.api.as_deref().and_then(|api| api.split_once('.'));
    let api = api.and_then(|(major, minor)| Some((number(major)?, number(minor)?)));
    !facts.cdi_devices.is_empty()
        || facts.engine == ContainerEngine::Docker && api.is_some_and(|api| api >= LISTED_SINCE)
}

fn newest(facts: &DockerFacts) -> SpecVersion {
    match facts.engine {
        ContainerEngine::Docker => SpecVersion::newest_of_docker(facts.version.as_deref()),
        ContainerEngine::Podman => SpecVersion::NEWEST,
    }
}

/// The names are what is taken of all folders; beside them, which files could not be used.
fn read(folders: &[String], newest: SpecVersion) -> Found {
    let mut all = Found::default();
    let taken_of: Vec<CdiFolder> =
        folders.iter().map(|folder| read_folder(Path::new(folder), newest, &mut all)).collect();
    all.devices = taken(&taken_of);
    all
}

fn read_folder(folder: &Path, newest: SpecVersion, all: &mut Found) -> CdiFolder {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        // Folders need not be there.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return CdiFolder::new(),
        Err(error) => {
            all.problem(format!("{}: {error}", folder.display()));
            return CdiFolder::new();
        }
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| is_spec(name));
    let mut names: Vec<String> = names.take(FILES_MAX.saturating_add(1)).collect();
    names.sort_unstable();
    if names.len() > FILES_MAX {
        all.problem(format!("{}: it has more than {FILES_MAX} files, and the others are not read", folder.display()));
        names.truncate(FILES_MAX);
    }
    let mut found = CdiFolder::new();
    for name in names {
        let path = folder.join(&name);
        let spec = match read_file(&path).and_then(|bytes| parse(&name, &bytes)) {
            Ok(Some(spec)) => Ok(spec),
            Ok(None) => continue,
            Err(why) => Err(why),
        };
        let file = CdiFile::of(path.display().to_string(), spec.as_ref().map_err(Clone::clone), newest, is_missing);
        match (&file.broken, spec) {
            (None, Ok(spec)) => found.push((name, spec)),
            (Some(why), _) => all.problem(format!("{}: {why}", path.display())),
            (None, Err(why)) => all.problem(format!("{}: {why}", path.display())),
        }
        all.files.push(file);
    }
    found
}

/// Where this process sees another tree than the engine does: its unit has devices, homes and temporary files of its own.
const OTHERWISE_HERE: [&str; 6] = ["/dev", "/home", "/root", "/tmp", "/var/tmp", "/proc"];

/// The path is not there, for certain: one that cannot be looked at may be.
fn is_missing(path: &str) -> bool {
    let path = Path::new(path);
    let is_missing = || matches!(fs::metadata(path), Err(error) if error.kind() == std::io::ErrorKind::NotFound);
    !OTHERWISE_HERE.iter().any(|own| path.starts_with(own)) && is_missing()
}

/// Never waits for the other end of a pipe.
fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| error.to_string())?;
    if !file.metadata().map_err(|error| error.to_string())?.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let most = u64::try_from(FILE_MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}
