//! Puts the draft of Docker's configuration into the place of the file, or removes the file: before it or after it, never between.

use super::config_fault::ConfigFault;
use super::config_file::{ConfigFile, ConfigPlace, sha256};
use super::draft::{discard, remove};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, renameat};
use nix::unistd::{fsync, linkat};
use rustix::fs::{RenameFlags, renameat_with};

/// Replaces the file, which must be the one with the digest; `draft_digest` is that of the draft, `None` = the file is removed.
pub(super) fn replace(
    place: &ConfigPlace,
    digest: Option<&str>,
    draft_digest: Option<&str>,
    keeps_backup: bool,
) -> Result<(), ConfigFault> {
    let found = place.unchanged(digest)?;
    if let Some(draft_digest) = draft_digest {
        let draft = place.file(&place.draft())?;
        if draft.map(|draft| sha256(&draft.bytes)).as_deref() != Some(draft_digest) {
            return Err(ConfigFault::said(&place.dir.join(place.draft()), "is not the draft that was written"));
        }
    }
    match (&found, draft_digest) {
        (Some(found), Some(_)) => {
            if keeps_backup {
                back_up(place)?;
            }
            exchange(place, found)?;
        }
        (None, Some(_)) => create(place)?,
        (Some(found), None) => take_away(place, found)?,
        (None, None) => {}
    }
    fsync(&place.folder).map_err(ConfigFault::host("sync the directory", &place.dir))
}

/// The file itself becomes the backup, by a second name for it: owner, mode and attributes are its own, and at no moment is there half a
/// backup.
fn back_up(place: &ConfigPlace) -> Result<(), ConfigFault> {
    let (next, backup) = (place.next_backup(), place.backup());
    remove(place, &next)?;
    linkat(&place.folder, place.name.as_str(), &place.folder, next.as_str(), AtFlags::empty())
        .map_err(ConfigFault::host("make a backup of", &place.path()))?;
    renameat(&place.folder, next.as_str(), &place.folder, backup.as_str())
        .map_err(ConfigFault::host("rename the backup to", &place.dir.join(&backup)))?;
    // Where both are names of one file already, the kernel leaves both.
    remove(place, &next)
}

/// Draft and file change places, so that what was replaced can be looked at: somebody may have replaced the file in this very moment.
fn exchange(place: &ConfigPlace, expected: &ConfigFile) -> Result<(), ConfigFault> {
    let (draft, name) = (place.draft(), place.name.as_str());
    match renameat_with(&place.folder, draft.as_str(), &place.folder, name, RenameFlags::EXCHANGE) {
        Ok(()) => {}
        // A file system that cannot exchange: then the check before has to do.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            return renameat(&place.folder, draft.as_str(), &place.folder, name)
                .map_err(ConfigFault::host("replace", &place.path()));
        }
        Err(errno) => return Err(ConfigFault::io("replace", &place.path(), &errno.into())),
    }
    let is_expected = place.file(&draft).is_ok_and(|found| found.is_some_and(|found| is_same(&found, expected)));
    if is_expected {
        return discard(place);
    }
    renameat_with(&place.folder, draft.as_str(), &place.folder, name, RenameFlags::EXCHANGE)
        .map_err(|errno| ConfigFault::io("put back", &place.path(), &errno.into()))?;
    discard(place)?;
    Err(ConfigFault::changed(&place.path()))
}

/// The draft gets the name where nothing has it.
fn create(place: &ConfigPlace) -> Result<(), ConfigFault> {
    let (draft, name) = (place.draft(), place.name.as_str());
    linkat(&place.folder, draft.as_str(), &place.folder, name, AtFlags::empty()).map_err(|errno| {
        if errno == Errno::EEXIST {
            ConfigFault::changed(&place.path())
        } else {
            ConfigFault::host("create", &place.path())(errno)
        }
    })?;
    discard(place)
}

/// The file, which holds nothing but ours, goes: under another name first, so that it can be looked at.
fn take_away(place: &ConfigPlace, expected: &ConfigFile) -> Result<(), ConfigFault> {
    let (draft, name) = (place.draft(), place.name.as_str());
    discard(place)?;
    renameat(&place.folder, name, &place.folder, draft.as_str()).map_err(ConfigFault::host("remove", &place.path()))?;
    let is_expected = place.file(&draft).is_ok_and(|found| found.is_some_and(|found| is_same(&found, expected)));
    if is_expected {
        return discard(place);
    }
    renameat_with(&place.folder, draft.as_str(), &place.folder, name, RenameFlags::NOREPLACE)
        .map_err(|errno| ConfigFault::io("put back", &place.path(), &errno.into()))?;
    Err(ConfigFault::changed(&place.path()))
}

fn is_same(found: &ConfigFile, expected: &ConfigFile) -> bool {
    let inode = |file: &ConfigFile| (file.status.st_dev, file.status.st_ino);
    inode(found) == inode(expected) && found.bytes == expected.bytes
}
