//! Reads one attribute or link of a function, relative to the open folder of the bus, never more than a few bytes.

use model::absence::{Absence, Reading};
use model::ids::PciAddress;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat};
use nix::sys::stat::Mode;
use nix::sys::statfs::{SYSFS_MAGIC, TMPFS_MAGIC, fstatfs};
use nix::unistd::{AccessFlags, faccessat, read};
use std::fmt::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// No attribute that is read here has a meaning at this length: what is cut off here is garbled to each of the parsers.
const ATTRIBUTE_MAX_BYTES: usize = 257;

/// Why an attribute gave no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Miss {
    /// There is no such file, or its device has gone.
    #[error("there is no such file")]
    Missing,
    /// The kernel refused.
    #[error("{0}")]
    Refused(Errno),
    /// The content has no meaning here.
    #[error("{0:?} is not a valid value")]
    Garbled(String),
}

impl Miss {
    /// A failed call of the kernel.
    pub(super) fn from_errno(errno: Errno) -> Self {
        if matches!(errno, Errno::ENOENT | Errno::ENODEV) { Self::Missing } else { Self::Refused(errno) }
    }

    /// As a reason beside a null; `missing` says what a missing file means for this fact.
    pub(super) fn absence(self, missing: Absence) -> Absence {
        match self {
            Self::Missing => missing,
            Self::Refused(Errno::EACCES | Errno::EPERM) => Absence::NoPermission,
            Self::Refused(errno) => Absence::Unreadable(errno.to_string()),
            Self::Garbled(text) => Absence::garbled(&text),
        }
    }
}

/// A value, or the reason beside the null.
pub(super) fn reading<T>(value: Result<T, Miss>, missing: Absence) -> Reading<T> {
    match value {
        Ok(value) => Reading::Known(value),
        Err(miss) => Reading::Absent(miss.absence(missing)),
    }
}

/// The folder of the bus, held open: paths stay short, and one buffer serves a whole scan.
#[derive(Debug)]
pub(super) struct Tree {
    folder: OwnedFd,
    path: PathBuf,
    scratch: String,
    buffer: [u8; ATTRIBUTE_MAX_BYTES],
}

impl Tree {
    /// Opens the folder.
    pub(super) fn open(path: &Path) -> Result<Self, Errno> {
        let folder = open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let buffer = [0; ATTRIBUTE_MAX_BYTES];
        Ok(Self { folder, path: path.to_owned(), scratch: String::with_capacity(64), buffer })
    }

    /// Where it is, for messages and for listing a function's folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// No entry here ever has the inode number of one that went before: sysfs counts on (and so does tmpfs, on which sysfs
    /// trees are simulated), most other file systems give numbers out again.
    pub(super) fn numbers_are_unique(&self) -> bool {
        fstatfs(&self.folder).is_ok_and(|status| matches!(status.filesystem_type(), SYSFS_MAGIC | TMPFS_MAGIC))
    }

    /// The name is the address as the kernel itself would print it.
    pub(super) fn is_canonical(&mut self, address: impl std::fmt::Display, name: &str) -> bool {
        self.scratch.clear();
        write!(self.scratch, "{address}").is_ok() && self.scratch == name
    }

    fn point_at(&mut self, device: &str, attribute: &str) {
        self.scratch.clear();
        self.scratch.push_str(device);
        self.scratch.push('/');
        self.scratch.push_str(attribute);
    }

    /// The content without its line end. sysfs gives an attribute whole in one read.
    pub(super) fn text(&mut self, device: &str, attribute: &str) -> Result<&str, Miss> {
        self.point_at(device, attribute);
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = openat(&self.folder, self.scratch.as_str(), flags, Mode::empty()).map_err(Miss::from_errno)?;
        let length = read(&file, &mut self.buffer).map_err(Miss::from_errno)?;
        let content = self.buffer.get(..length).unwrap_or_default();
        let garbled = || Miss::Garbled(String::from_utf8_lossy(content).into_owned());
        std::str::from_utf8(content).map(|text| text.strip_suffix('\n').unwrap_or(text)).map_err(|_| garbled())
    }

    /// The first four bytes of a binary file, and no more: a read of the configuration space is a read of the device.
    pub(super) fn first_word(&mut self, device: &str, attribute: &str) -> Result<[u8; 4], Miss> {
        self.point_at(device, attribute);
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = openat(&self.folder, self.scratch.as_str(), flags, Mode::empty()).map_err(Miss::from_errno)?;
        let mut word = [0; 4];
        let length = read(&file, &mut word).map_err(Miss::from_errno)?;
        if length == word.len() { Ok(word) } else { Err(Miss::Garbled(format!("{length} bytes"))) }
    }

    /// The content as a value.
    pub(super) fn parsed<T>(
        &mut self,
        device: &str,
        attribute: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Miss> {
        let text = self.text(device, attribute)?;
        parse(text).ok_or_else(|| Miss::Garbled(text.to_owned()))
    }

    /// The last part of what a link points at, as a value.
    pub(super) fn link<T: FromStr>(&mut self, device: &str, attribute: &str) -> Result<T, Miss> {
        self.point_at(device, attribute);
        let target = readlinkat(&self.folder, self.scratch.as_str()).map_err(Miss::from_errno)?;
        let target = target.to_string_lossy();
        let last = target.rsplit('/').next().unwrap_or_default();
        last.parse().map_err(|_| Miss::Garbled(last.to_owned()))
    }

    /// The device above, as the path tells it that the name of the function leads to (`../../../devices/pci0000:40/0000:40:01.1/
    /// 0000:41:00.0`); `None` where that is no PCI function.
    pub(super) fn above(&self, device: &str) -> Option<PciAddress> {
        let target = readlinkat(&self.folder, device).ok()?;
        target.to_str()?.rsplit('/').nth(1)?.parse().ok()
    }

    /// The function is still there.
    pub(super) fn exists(&self, device: &str) -> bool {
        !matches!(
            faccessat(&self.folder, device, AccessFlags::F_OK, AtFlags::empty()),
            Err(Errno::ENOENT | Errno::ENODEV)
        )
    }
}
