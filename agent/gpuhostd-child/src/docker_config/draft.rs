//! Writes the draft of Docker's configuration beside the file, with owner, group, mode and extended attributes of the file.

use super::config_fault::ConfigFault;
use super::config_file::{ConfigFile, ConfigPlace, sha256};
use model::daemon_json::{Edited, insert, insert_cdi, remove_cdi, take_out};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fchmod, fstat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, unlinkat};
use protocol::docker_task::{DockerDraft, DockerEdit};
use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Mode of a file that was not there.
const NEW_MODE: u32 = 0o644;
/// Longest list of attributes, and longest value of one, in bytes (`XATTR_SIZE_MAX`).
const XATTR_MOST: usize = 64 * 1024;
/// These describe the content and are the kernel's own.
const XATTR_OF_CONTENT: [&str; 2] = ["security.ima", "security.evm"];

/// Writes the draft, if the file is still the one with this digest. The one of an earlier attempt goes first.
pub(super) fn draft(
    place: &ConfigPlace,
    digest: Option<&str>,
    edit: &DockerEdit,
    reads_mark: bool,
    is_required: bool,
) -> Result<DockerDraft, ConfigFault> {
    discard(place)?;
    let found = place.unchanged(digest)?;
    let bytes = match edited(found.as_ref().map(|file| file.bytes.as_slice()), edit, reads_mark, place)? {
        Edited::Unchanged => return Ok(DockerDraft::Unchanged),
        // Docker does not start without a file that its arguments name.
        Edited::NoFile if is_required => b"{}\n".to_vec(),
        Edited::NoFile => return Ok(DockerDraft::NoFile),
        Edited::Content(bytes) => bytes,
    };
    let path = place.dir.join(place.draft());
    match write(place, &path, found.as_ref(), &bytes) {
        Ok(()) => Ok(DockerDraft::Written { path: path.to_string_lossy().into_owned(), sha256: sha256(&bytes) }),
        Err(fault) => {
            // The first error shows what happened; the next attempt removes the draft as well.
            let _ = discard(place);
            Err(fault)
        }
    }
}

/// Removes the draft and whatever else an interrupted write has left; that nothing is there is no error.
pub(super) fn discard(place: &ConfigPlace) -> Result<(), ConfigFault> {
    remove(place, &place.next_backup())?;
    remove(place, &place.draft())
}

/// Removes a name of ours in the directory.
pub(super) fn remove(place: &ConfigPlace, name: &str) -> Result<(), ConfigFault> {
    match unlinkat(&place.folder, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(ConfigFault::host("remove", &place.dir.join(name))(errno)),
    }
}

fn edited(
    before: Option<&[u8]>,
    edit: &DockerEdit,
    reads_mark: bool,
    place: &ConfigPlace,
) -> Result<Edited, ConfigFault> {
    let refused = |refused: model::daemon_json::Refused| {
        ConfigFault::said(&place.path(), format!("is left as it is: {refused} ({})", refused.code()))
    };
    match edit {
        DockerEdit::Put(entry) => insert(before, entry, reads_mark).map_err(refused),
        DockerEdit::PutCdi | DockerEdit::TakeCdi => {
            let before = before.ok_or_else(|| ConfigFault::said(&place.path(), "is not there any more; try again"))?;
            if *edit == DockerEdit::PutCdi { insert_cdi(before, reads_mark) } else { remove_cdi(before) }
                .map_err(refused)
        }
        DockerEdit::Take(entry) => {
            // Another entry of that name is not ours: refused as an insertion would be.
            insert(before, entry, true).map_err(refused)?;
            take_out(before, &entry.name).map_err(refused)
        }
    }
}

fn write(place: &ConfigPlace, path: &Path, like: Option<&ConfigFile>, bytes: &[u8]) -> Result<(), ConfigFault> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    // No other user may open it before it has the mode of the file: secrets of proxies and registries may be in it.
    let created = openat(&place.folder, place.draft().as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR);
    let mut file = File::from(created.map_err(ConfigFault::host("create", path))?);
    file.write_all(bytes).map_err(|error| ConfigFault::io("write", path, &error))?;
    match like {
        Some(like) => {
            same_owner(&file, like, &place.path())?;
            same_attributes(&file, like, &place.path())?;
            mode(&file, like.status.st_mode & 0o7777, path)?;
        }
        None => mode(&file, NEW_MODE, path)?,
    }
    file.sync_all().map_err(|error| ConfigFault::io("sync", path, &error))
}

fn mode(file: &File, wanted: u32, path: &Path) -> Result<(), ConfigFault> {
    fchmod(file, Mode::from_bits_truncate(wanted)).map_err(ConfigFault::host("set the mode of", path))?;
    let got = fstat(file).map_err(ConfigFault::host("look at", path))?.st_mode & 0o7777;
    if got == wanted {
        return Ok(());
    }
    // The kernel drops the set-group-ID bit where the caller is not in the group.
    Err(ConfigFault::said(
        path,
        format!("got mode {got:o} instead of {wanted:o}, so the file is left as it is: chmod 0644 it"),
    ))
}

/// Owner and group of the file. A draft that would have others is not written: a file must not change hands without its owner's doing.
fn same_owner(draft: &File, like: &ConfigFile, path: &Path) -> Result<(), ConfigFault> {
    let made = fstat(draft).map_err(ConfigFault::host("look at the draft of", path))?;
    let (uid, gid) = (like.status.st_uid, like.status.st_gid);
    if (made.st_uid, made.st_gid) == (uid, gid) {
        return Ok(());
    }
    let owner = (made.st_uid != uid).then(|| Uid::from_raw(uid));
    let group = (made.st_gid != gid).then(|| Gid::from_raw(gid));
    fchown(draft, owner, group).map_err(|errno| {
        ConfigFault::said(
            path,
            format!(
                "belongs to uid {uid} and gid {gid}, which the host hand has no capability to keep ({errno}), so it is left as it is: \
                 chown root:root {}",
                path.display()
            ),
        )
    })
}

/// Extended attributes: access control lists, the label of SELinux, what the administrator has set.
fn same_attributes(draft: &File, like: &ConfigFile, path: &Path) -> Result<(), ConfigFault> {
    let (wanted, made) = (attributes(&like.file, path)?, attributes(draft, path)?);
    for (name, value) in wanted.iter().filter(|(name, value)| made.get(*name) != Some(value)) {
        fsetxattr(draft, name.as_str(), value, XattrFlags::empty()).map_err(|errno| {
            ConfigFault::said(
                path,
                format!("has the attribute {name}, which cannot be kept ({errno}), so it is left as it is"),
            )
        })?;
    }
    // What the directory hands down and the file does not have: a default access control list would let others read the draft.
    for name in made.keys().filter(|name| !wanted.contains_key(*name) && !name.starts_with("security.")) {
        fremovexattr(draft, name.as_str()).map_err(|errno| {
            ConfigFault::words(format!("cannot remove {name} from the draft of {}: {errno}", path.display()))
        })?;
    }
    Ok(())
}

fn attributes(file: &File, path: &Path) -> Result<BTreeMap<String, Vec<u8>>, ConfigFault> {
    let failed = |errno: rustix::io::Errno| {
        ConfigFault::words(format!("cannot read the extended attributes of {}: {errno}", path.display()))
    };
    let mut names = vec![0_u8; XATTR_MOST];
    let length = match flistxattr(file, names.as_mut_slice()) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(BTreeMap::new()),
        Err(errno) => return Err(failed(errno)),
    };
    let names = String::from_utf8_lossy(names.get(..length).unwrap_or_default()).into_owned();
    let mut found = BTreeMap::new();
    for name in names.split_terminator('\0').filter(|name| !XATTR_OF_CONTENT.contains(name)) {
        let mut value = vec![0_u8; XATTR_MOST];
        let length = fgetxattr(file, name, value.as_mut_slice()).map_err(failed)?;
        value.truncate(length);
        found.insert(name.to_owned(), value);
    }
    Ok(found)
}
