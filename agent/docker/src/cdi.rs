//! The CDI specifications in an engine's folders, for the engines that do not say what they hold.

use model::cdi::{CdiDevices, CdiFolder, FILE_MAX_BYTES, KIND, Spec, is_spec, parse, taken};
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
    let reads_new = reads_new_forms(facts);
    let read = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        read(&folders, reads_new)
    });
    match timeout(left, read).await {
        Ok(Ok((read, problems))) => use_them(facts, read, problems),
        Ok(Err(broken)) => facts.cdi_problems.push(format!("the CDI specifications could not be read: {broken}")),
        Err(_) => {
            let ms = within.as_millis();
            facts.cdi_problems.push(format!(
                "the CDI specifications could not be read within {ms} ms: one of their directories hangs"
            ));
        }
    }
}

fn use_them(facts: &mut DockerFacts, read: CdiDevices, problems: Vec<String>) {
    facts.cdi_all = read.all;
    facts.cdi_problems = problems;
    if !lists_its_devices(facts) {
        facts.cdi_devices = read.names.iter().map(|name| format!("{KIND}={name}")).collect();
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

/// Engines before 28 know the form of a specification up to 0.7, and take none that is newer.
fn reads_new_forms(facts: &DockerFacts) -> bool {
    let major = facts.version.as_deref().and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    facts.engine == ContainerEngine::Podman || major.is_none_or(|major| major >= 28)
}

/// The names are what is taken of all folders; beside them, which files could not be used.
fn read(folders: &[String], reads_new: bool) -> (CdiDevices, Vec<String>) {
    let mut problems = Vec::new();
    let mut problem = |what: String| {
        if problems.len() < PROBLEMS_MAX {
            problems.push(what);
        }
    };
    let read: Vec<CdiFolder> =
        folders.iter().map(|folder| read_folder(Path::new(folder), reads_new, &mut problem)).collect();
    (taken(&read), problems)
}

fn read_folder(folder: &Path, reads_new: bool, problem: &mut impl FnMut(String)) -> CdiFolder {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        // Folders need not be there.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return CdiFolder::new(),
        Err(error) => {
            problem(format!("{}: {error}", folder.display()));
            return CdiFolder::new();
        }
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| is_spec(name));
    let mut names: Vec<String> = names.take(FILES_MAX.saturating_add(1)).collect();
    names.sort_unstable();
    if names.len() > FILES_MAX {
        problem(format!("{}: it has more than {FILES_MAX} files, and the others are not read", folder.display()));
        names.truncate(FILES_MAX);
    }
    let mut found = CdiFolder::new();
    for name in names {
        let path = folder.join(&name);
        match read_file(&path).and_then(|bytes| parse(&name, &bytes)) {
            Ok(Some(spec)) if reads_new || !is_new(&spec) => found.push((name, spec)),
            Ok(Some(spec)) => {
                problem(format!("{}: its cdiVersion {} is newer than this Docker reads", path.display(), spec.version));
            }
            Ok(None) => {}
            Err(why) => problem(format!("{}: {why}", path.display())),
        }
    }
    found
}

/// From 0.8 on.
fn is_new(spec: &Spec) -> bool {
    let mut parts = spec.version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (0, 8)
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
