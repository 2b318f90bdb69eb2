//! Looks into one process: what it has open, what it has mapped, and whose it is.

use super::nodes::Nodes;
use super::part::{Part, without_ways_in};
use model::holders::{Hold, Holder, Holders, UnreadableProcess};
use model::printable::printable;
use nix::errno::Errno;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Adds what the process holds. One that ends meanwhile holds nothing.
pub(super) fn look_into(folder: &Path, pid: u32, nodes: &Nodes, holders: &mut Holders) {
    let found = open_files(folder, nodes).and_then(|mut open| {
        open.extend(mapped_files(folder, nodes)?);
        without_ways_in(&mut open);
        Ok(open)
    });
    match found {
        Ok(held) if held.is_empty() => {}
        Ok(held) => {
            let (unit, container) = whose(folder);
            let command = command(folder);
            holders.found.extend(held.into_iter().map(|(part, hold)| Holder {
                pid: Some(pid),
                command: command.clone(),
                unit: unit.clone(),
                container: container.clone(),
                address: Some(part.address),
                instance: part.instance,
                hold,
            }));
        }
        Err(error) if has_ended(&error) => {}
        Err(error) => {
            let said = format!("{} cannot be read: {error}", folder.display());
            holders.unreadable.push(UnreadableProcess { pid: Some(pid), command: command(folder), said });
        }
    }
}

/// `ENOENT` where the folder went, `ESRCH` where the process did.
pub(super) fn has_ended(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error().map(Errno::from_raw) == Some(Errno::ESRCH)
}

fn open_files(folder: &Path, nodes: &Nodes) -> io::Result<Vec<(Part, Hold)>> {
    let mut held = Vec::new();
    for entry in std::fs::read_dir(folder.join("fd"))? {
        let file = entry?.path();
        // The link's text first: it asks no file system, while looking at a file on a dead network share would hang.
        let path = match std::fs::read_link(&file) {
            Ok(path) => path.to_string_lossy().into_owned(),
            Err(error) if has_ended(&error) => continue,
            Err(error) => return Err(error),
        };
        if !path.starts_with('/') {
            continue;
        }
        if let Some(part) = nodes.proc_file(&path) {
            held.push((part, Hold::OpenDevice { path: shown(&path) }));
            continue;
        }
        match device_of(&file, nodes) {
            Ok(Some(part)) => held.push((part, Hold::OpenDevice { path: shown(&path) })),
            Ok(None) => {}
            Err(error) if has_ended(&error) => {}
            Err(error) => return Err(error),
        }
    }
    held.dedup();
    Ok(held)
}

/// A device stays in use while it is mapped, also when its descriptor was closed.
fn mapped_files(folder: &Path, nodes: &Nodes) -> io::Result<Vec<(Part, Hold)>> {
    let maps = std::fs::read_to_string(folder.join("maps"))?;
    let mut held: Vec<(Part, Hold)> = Vec::new();
    for path in maps.lines().filter_map(path_of).filter(|path| nodes.may_be(path)) {
        let path = path.trim_end_matches(" (deleted)");
        let inside = folder.join("root").join(path.trim_start_matches('/'));
        let Some(part) = device_of(&inside, nodes).unwrap_or(None) else { continue };
        let hold = Hold::MappedDevice { path: shown(path) };
        if !held.iter().any(|(_, known)| *known == hold) {
            held.push((part, hold));
        }
    }
    Ok(held)
}

/// The sixth column of a line of `maps`, which may hold spaces.
fn path_of(line: &str) -> Option<&str> {
    line.find('/').and_then(|start| line.get(start..))
}

fn device_of(file: &Path, nodes: &Nodes) -> io::Result<Option<Part>> {
    let status = std::fs::metadata(file)?;
    Ok(status.file_type().is_char_device().then(|| nodes.part(status.rdev())).flatten())
}

fn command(folder: &Path) -> Option<String> {
    let text = std::fs::read_to_string(folder.join("comm")).ok()?;
    Some(shown(text.trim_end())).filter(|text| !text.is_empty())
}

/// The systemd unit and the container of its control group.
fn whose(folder: &Path) -> (Option<String>, Option<String>) {
    let text = control_group(folder);
    let container = parts(&text).find_map(container_of);
    let unit = parts(&text).rfind(|part| part.ends_with(".service") || part.ends_with(".scope"));
    (unit.filter(|_| container.is_none()).map(shown), container)
}

/// The container of its control group, by the first twelve digits of its id.
pub(super) fn container(folder: &Path) -> Option<String> {
    parts(&control_group(folder)).find_map(container_of)
}

fn control_group(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("cgroup")).unwrap_or_default()
}

fn parts(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.lines().flat_map(|line| line.split('/'))
}

/// `docker-<64 hexadecimal digits>.scope` with systemd's control groups, the digits alone without.
fn container_of(part: &str) -> Option<String> {
    let part = part.strip_suffix(".scope").unwrap_or(part);
    let id = part.rsplit(['-', ':']).next().unwrap_or(part);
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| id.chars().take(12).collect())
}

/// As it may be shown: no control characters, no book.
pub(super) fn shown(text: &str) -> String {
    printable(text, 200)
}
