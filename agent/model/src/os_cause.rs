//! What the operating system answered, as it crosses ports and sockets: its words, its number, and the cure where one is known.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::path::Path;

/// The source of an error that crosses a port. Two causes of one number have one cure, however their words differ.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize)]
pub struct OsCause {
    /// The answer in words.
    pub said: String,
    /// The number of errno(3), where a call of the operating system failed; `None` for what gpuhostd itself found wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
}

/// The kinds of failed calls that have cures of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OsCauseKind {
    /// ENOSPC, EDQUOT: no space, no inode, or no quota is left.
    NoSpace,
    /// EROFS: the file system is read-only.
    ReadOnly,
    /// EACCES, EPERM: mode, owner, capability, or a security module.
    Denied,
    /// EBUSY: something else uses it.
    Busy,
    /// Any other number, or none.
    Other,
}

/// What the failed call was made on: the same number has another cure there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CauseSite<'a> {
    /// A file or folder of our own on a disk.
    StateFile(&'a Path),
    /// A device of the kernel, through sysfs, by the host hand.
    Sysfs,
}

impl OsCause {
    /// What gpuhostd itself found wrong: no call of the operating system failed.
    #[must_use]
    pub fn found(said: impl Into<String>) -> Self {
        Self { said: said.into(), errno: None }
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> OsCauseKind {
        match self.errno.map(|number| io::Error::from_raw_os_error(number).kind()) {
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => OsCauseKind::NoSpace,
            Some(io::ErrorKind::ReadOnlyFilesystem) => OsCauseKind::ReadOnly,
            Some(io::ErrorKind::PermissionDenied) => OsCauseKind::Denied,
            Some(io::ErrorKind::ResourceBusy) => OsCauseKind::Busy,
            _ => OsCauseKind::Other,
        }
    }

    /// What to do about it; `None` where the words have to be enough.
    #[must_use]
    pub fn remedy(&self, site: CauseSite<'_>) -> Option<String> {
        match site {
            CauseSite::StateFile(path) => self.kind().of_a_file(path),
            CauseSite::Sysfs => self.kind().of_a_device().map(str::to_owned),
        }
    }

    /// The words, and what to do.
    #[must_use]
    pub fn with_remedy(&self, site: CauseSite<'_>) -> String {
        match self.remedy(site) {
            Some(remedy) => format!("{}; {remedy}", self.said),
            None => self.said.clone(),
        }
    }
}

impl OsCauseKind {
    fn of_a_file(self, path: &Path) -> Option<String> {
        let (folder, path) = (path.parent().unwrap_or(path).display(), path.display());
        match self {
            Self::NoSpace => Some(format!(
                "free some space, inodes or quota on that file system (`df -h {folder}` and `df -i {folder}` show what is left)"
            )),
            Self::ReadOnly => Some(format!(
                "make that file system writable: the kernel may have remounted it after an error (`findmnt -T {folder}`, \
                 `journalctl -k`), or a drop-in of the unit excludes it (`systemctl cat gpuhostd.service`)"
            )),
            Self::Denied => Some(format!(
                "check owner and mode (`namei -l {path}`; what a manual run as root left behind, `chown -R gpuhostd: {folder}` gives \
                 back), and whether SELinux or AppArmor denied it (`journalctl -k -g 'avc|apparmor'`)"
            )),
            Self::Busy => Some(format!("find out what uses it (`fuser -v {path}`), and stop that")),
            Self::Other => None,
        }
    }

    const fn of_a_device(self) -> Option<&'static str> {
        match self {
            Self::NoSpace => Some(
                "the kernel or the driver has no room for it, which free disk space does not change: `journalctl -k` has the reason",
            ),
            Self::ReadOnly => Some(
                "/sys is read-only for the host hand: mount it writable in the container, or remove ProtectKernelTunables= and \
                 ReadOnlyPaths= from the drop-ins of the unit (`systemctl cat gpuhostd-host.service`)",
            ),
            Self::Denied => Some(
                "the host hand must run as root (`systemctl cat gpuhostd-host.service`), and SELinux, AppArmor and the kernel's \
                 lockdown must permit it (`journalctl -k -g 'avc|apparmor|lockdown'`)",
            ),
            Self::Busy => Some(
                "the device is in use: stop what uses it (`gpuhostctl passthrough check ADDRESS` shows it), then try again",
            ),
            Self::Other => None,
        }
    }
}

impl fmt::Display for OsCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

impl From<&io::Error> for OsCause {
    fn from(error: &io::Error) -> Self {
        Self { said: error.to_string(), errno: error.raw_os_error() }
    }
}

impl From<io::Error> for OsCause {
    fn from(error: io::Error) -> Self {
        Self::from(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Linux: EPERM, EACCES, EBUSY, ENODEV, ENOSPC, EROFS, EDQUOT.
    const NUMBERS: [(i32, OsCauseKind); 7] = [
        (1, OsCauseKind::Denied),
        (13, OsCauseKind::Denied),
        (16, OsCauseKind::Busy),
        (19, OsCauseKind::Other),
        (28, OsCauseKind::NoSpace),
        (30, OsCauseKind::ReadOnly),
        (122, OsCauseKind::NoSpace),
    ];

    #[test]
    fn the_number_decides_the_kind_and_the_kind_the_cure() {
        for (number, kind) in NUMBERS {
            let cause = OsCause::from(io::Error::from_raw_os_error(number));
            assert_eq!(cause.kind(), kind, "{cause}");
            for site in [CauseSite::StateFile(Path::new("/var/lib/gpuhostd/x")), CauseSite::Sysfs] {
                assert_eq!(cause.remedy(site).is_none(), kind == OsCauseKind::Other, "{cause} {site:?}");
            }
        }
    }

    #[test]
    fn no_two_kinds_share_a_cure_and_no_kind_has_one_cure_on_a_disk_and_in_sysfs() {
        let sites = [CauseSite::StateFile(Path::new("/var/lib/gpuhostd/x")), CauseSite::Sysfs];
        let cause = |number: i32| OsCause { said: String::new(), errno: Some(number) };
        let mut cures: Vec<String> =
            [13, 16, 28, 30].iter().flat_map(|number| sites.map(|site| cause(*number).with_remedy(site))).collect();
        cures.sort_unstable();
        cures.dedup();
        assert_eq!(cures.len(), 8, "{cures:#?}");
    }

    #[test]
    fn what_was_written_without_a_number_is_read() {
        let old: OsCause = serde_json::from_str(r#"{"said":"no"}"#).unwrap();
        assert_eq!(old, OsCause::found("no"));
        assert_eq!(serde_json::to_string(&old).unwrap(), r#"{"said":"no"}"#);
    }
}
