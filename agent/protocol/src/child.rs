//! The command line of the disposable child: version, task, and what the task needs.

use model::os_cause::OsCause;
use std::ffi::{OsStr, OsString};

/// The version of this build. A child does nothing for a hand of another version: their formats may differ.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a child is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Asks NVML: `probe nvml QUESTION`.
    Probe,
    /// Writes one step of a change: `act SYSFS SCOPE FILE TEXT`.
    Act,
    /// Looks closely at a scope: `inspect-scope SYSFS DEV MODULES SCOPE`.
    InspectScope,
    /// Looks for the users of a scope: `look-for-holders SYSFS SCOPE`.
    LookForHolders,
    /// Looks for the users of a GPU and of its MIG instances: `look-for-mig-holders GPU`.
    LookForMigHolders,
    /// Lists the device files of a container: `list-container-nodes CONTAINER PID`.
    ListContainerNodes,
    /// Looks which devices a container may open: `probe-container-devices CONTAINER PID DEVICES`, devices as JSON.
    ProbeContainerDevices,
    /// Looks at MIG of a GPU: `mig-look LIBRARIES GPU`, libraries as a JSON list of paths; answers with a `MigOnGpu`.
    MigLook,
    /// Takes one step of a MIG change: `mig-act LIBRARIES GPU STEP`, the step as JSON.
    MigAct,
    /// Looks at Docker's configuration file or edits it: `docker-config TASK`, a [`DockerTask`](crate::docker_task::DockerTask) as JSON.
    DockerConfig,
}

impl Task {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Probe,
        Self::Act,
        Self::InspectScope,
        Self::LookForHolders,
        Self::LookForMigHolders,
        Self::ListContainerNodes,
        Self::ProbeContainerDevices,
        Self::MigLook,
        Self::MigAct,
        Self::DockerConfig,
    ];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Act => "act",
            Self::InspectScope => "inspect-scope",
            Self::LookForHolders => "look-for-holders",
            Self::LookForMigHolders => "look-for-mig-holders",
            Self::ListContainerNodes => "list-container-nodes",
            Self::ProbeContainerDevices => "probe-container-devices",
            Self::MigLook => "mig-look",
            Self::MigAct => "mig-act",
            Self::DockerConfig => "docker-config",
        }
    }

    /// The arguments of a child that is started for it.
    pub fn arguments(self, rest: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
        [VERSION, self.word()].map(OsString::from).into_iter().chain(rest).collect()
    }
}

/// Reads the arguments of a child: the task, and what is behind it.
///
/// # Errors
/// In words: they are a hand's of another version, or none at all.
pub fn read(args: &[OsString]) -> Result<(Task, &[OsString]), String> {
    let (version, task, rest) = match args {
        [version, task, rest @ ..] => (version, task, rest),
        _ => return Err("it is started by the hands of gpuhostd, not by people".to_owned()),
    };
    if version != OsStr::new(VERSION) {
        return Err(format!(
            "this child is of version {VERSION}, and the hand that started it of version {}: a package upgrade has not ended, or \
             ended badly; when it is through: systemctl restart gpuhostd gpuhostd-host",
            version.to_string_lossy()
        ));
    }
    let known = Task::ALL.into_iter().find(|known| task == OsStr::new(known.word()));
    known.map(|task| (task, rest)).ok_or_else(|| format!("{} is no task of the child", task.to_string_lossy()))
}

/// What a child writes to standard error before it exits with a failure: one line, which [`failure_in`] reads.
#[must_use]
pub fn failure_line(cause: &OsCause) -> String {
    serde_json::to_string(cause).unwrap_or_else(|_| cause.said.clone())
}

/// The failure in the standard error of a child: its last line. `None` where that is anything else: the child crashed, or is of
/// another version.
#[must_use]
pub fn failure_in(stderr: &str) -> Option<OsCause> {
    serde_json::from_str(stderr.trim_end().lines().next_back()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hand_writes_the_child_reads() {
        for task in Task::ALL {
            let args = task.arguments(["x".into(), "y".into()]);
            assert_eq!(read(&args), Ok((task, &["x".into(), "y".into()][..])));
        }
    }

    #[test]
    fn a_failure_keeps_its_number_on_the_way_to_the_hand() {
        let full = OsCause::from(std::io::Error::from_raw_os_error(28));
        let stderr = format!("a library's remark\n{}\n", failure_line(&full));
        assert_eq!(failure_in(&stderr), Some(full));
        assert_eq!((failure_in(""), failure_in("thread main panicked")), (None, None));
    }

    #[test]
    fn a_hand_of_another_version_is_told_and_nothing_is_done_for_it() {
        let said = read(&["0.0.9", "act", "/sys"].map(OsString::from)).unwrap_err();
        assert!(said.contains("version 0.0.9") && said.contains(VERSION), "{said}");
        assert!(read(&[VERSION.into(), "dance".into()]).unwrap_err().contains("dance"));
        assert!(read(&[]).is_err());
    }
}
