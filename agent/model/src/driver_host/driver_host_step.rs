//! What may be changed on the host of a driver container: a closed list, and whether the host as it is lets a step be taken.

use super::driver_host_facts::DriverHostFacts;
use super::mount_plan::{LazyUnmountReason, MountStep};
use super::mounts::{RUN_NVIDIA, RunNvidiaMounts, is_below};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriverHostStep {
    /// Mount or unmount.
    Mounts(MountStep),
    /// Write the two files by which NVIDIA's other containers learn that the driver is ready.
    WriteReadiness,
    /// Remove them, and the one in which the driver container reports its daemons.
    RemoveReadiness,
}

impl fmt::Display for DriverHostStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mounts(step) => step.fmt(f),
            Self::WriteReadiness => f.write_str("write the driver's readiness files"),
            Self::RemoveReadiness => f.write_str("remove the driver's readiness files"),
        }
    }
}

/// Why a step is not taken on the host as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DriverHostUnfit {
    /// What is mounted could not be read.
    #[error("the mounts of PID 1 cannot be read ({0}), and without them nothing is mounted or unmounted")]
    MountsUnknown(String),
    /// It would unmount something that is not NVIDIA's.
    #[error("{0} is not below {RUN_NVIDIA}")]
    Elsewhere(String),
    /// The files of a driver that runs would go.
    #[error("a driver container is running (it holds /run/nvidia/nvidia-driver.pid): stop it first")]
    DriverRuns,
    /// The mount at the folder itself is not ours.
    #[error("the mount at {RUN_NVIDIA} was not made by gpuhostd: `umount {RUN_NVIDIA}` if it is not needed any more")]
    NotOurs,
    /// Something is mounted on it.
    #[error("{0} is still mounted")]
    Covered(String),
    /// No driver is loaded.
    #[error("the module nvidia is not loaded, and other containers would start without a driver")]
    NoModule,
    /// The local policy forbids driver containers.
    #[error("/etc/gpuhostd/policy.toml: host.nvidia.driver is false: no driver container may be deployed on this host")]
    Policy,
    /// Nothing can mount for us.
    #[error(
        "systemd, which is asked to mount and unmount, does not run this machine (it may be a container): run `{0}` as root instead"
    )]
    NoSystemd(String),
}

/// What is left to do of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriverHostDeed {
    /// The host shows what is wanted already.
    Nothing,
    /// Have PID 1 run this program.
    Run(Vec<String>),
    /// Write the readiness files.
    Write,
    /// Remove the readiness files.
    Remove,
}

const MOUNT: &str = "/usr/bin/mount";
const UMOUNT: &str = "/usr/bin/umount";

impl DriverHostStep {
    /// What is to be done on this host, regardless of who sent the step. `allowed` is `host.nvidia.driver` of the policy; what takes
    /// a former step back needs no permission.
    ///
    /// # Errors
    /// What speaks against it.
    pub fn deed(&self, facts: &DriverHostFacts, allowed: bool) -> Result<DriverHostDeed, DriverHostUnfit> {
        match self {
            Self::Mounts(MountStep::ShareRunNvidia) | Self::WriteReadiness if !allowed => Err(DriverHostUnfit::Policy),
            Self::Mounts(step) => {
                let deed = step.deed(facts)?;
                match &deed {
                    DriverHostDeed::Run(command) if !facts.systemd => {
                        Err(DriverHostUnfit::NoSystemd(command.join(" ")))
                    }
                    DriverHostDeed::Nothing
                    | DriverHostDeed::Run(_)
                    | DriverHostDeed::Write
                    | DriverHostDeed::Remove => Ok(deed),
                }
            }
            Self::WriteReadiness if facts.module_references.known().is_none() => Err(DriverHostUnfit::NoModule),
            Self::WriteReadiness => Ok(DriverHostDeed::Write),
            Self::RemoveReadiness => Ok(DriverHostDeed::Remove),
        }
    }

    /// What the host lacks after the step; `None` where it shows what was wanted. `before` is what it showed then.
    #[must_use]
    pub fn missed(&self, before: &RunNvidiaMounts, after: &RunNvidiaMounts) -> Option<String> {
        let Self::Mounts(step) = self else { return None };
        match step {
            MountStep::ShareRunNvidia => {
                (after.is_shared() != Some(true)).then(|| format!("{RUN_NVIDIA} is not shared"))
            }
            MountStep::UnshareRunNvidia => fewer(RUN_NVIDIA, before, after),
            MountStep::Unmount { path, .. } => fewer(path, before, after),
        }
    }
}

fn fewer(path: &str, before: &RunNvidiaMounts, after: &RunNvidiaMounts) -> Option<String> {
    (after.layers(path) >= before.layers(path).max(1)).then(|| format!("{path} is mounted as before"))
}

impl MountStep {
    fn deed(&self, facts: &DriverHostFacts) -> Result<DriverHostDeed, DriverHostUnfit> {
        let known = facts.mounts.known().ok_or_else(|| {
            let why = facts.mounts.absence().map_or("not read", |absence| absence.code());
            DriverHostUnfit::MountsUnknown(why.to_owned())
        })?;
        let run = |command: &[&str]| Ok(DriverHostDeed::Run(command.iter().map(|word| (*word).to_owned()).collect()));
        match self {
            Self::ShareRunNvidia if known.is_shared() == Some(true) => Ok(DriverHostDeed::Nothing),
            Self::ShareRunNvidia if known.holder.is_none() => {
                Err(DriverHostUnfit::MountsUnknown("no mount holds it".to_owned()))
            }
            // The folder is made where it is missing (mount(8)).
            Self::ShareRunNvidia => run(&[MOUNT, "-o", "bind,rshared,X-mount.mkdir", RUN_NVIDIA, RUN_NVIDIA]),
            Self::UnshareRunNvidia if known.at.is_empty() => Ok(DriverHostDeed::Nothing),
            Self::UnshareRunNvidia if !facts.run_nvidia_is_ours => Err(DriverHostUnfit::NotOurs),
            Self::UnshareRunNvidia => match known.below.last() {
                Some(mount) => Err(DriverHostUnfit::Covered(mount.point.clone())),
                None => run(&[UMOUNT, "--no-canonicalize", "--", RUN_NVIDIA]),
            },
            Self::Unmount { path, lazily } => {
                let is_plain = path.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."));
                if !is_below(path, RUN_NVIDIA) || !is_plain {
                    return Err(DriverHostUnfit::Elsewhere(path.clone()));
                }
                if facts.entrypoint_runs.get() == Some(true) {
                    return Err(DriverHostUnfit::DriverRuns);
                }
                match (known.layers(path), lazily) {
                    (0, _) => Ok(DriverHostDeed::Nothing),
                    (_, None) => run(&[UMOUNT, "--no-canonicalize", "--", path]),
                    (_, Some(LazyUnmountReason::InUseOfGoneContainer)) => {
                        run(&[UMOUNT, "--lazy", "--no-canonicalize", "--", path])
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::absence::{Absence, Reading};

    const SHARED: &str = "1 0 8:1 / / rw shared:1 - ext4 d rw\n2 1 0:9 / /run rw shared:2 - tmpfs t rw\n";
    const PRIVATE: &str = "1 0 8:1 / / rw - ext4 d rw\n";
    const BOUND: &str = "5 1 8:1 /run/nvidia /run/nvidia rw shared:3 - ext4 d rw\n";
    const LAYER: &str = "9 5 0:60 / /run/nvidia/driver rw shared:9 - overlay o rw\n";

    fn facts(mounts: &[&str], ours: bool) -> DriverHostFacts {
        DriverHostFacts {
            systemd: true,
            mounts: Reading::Known(RunNvidiaMounts::read(mounts.concat().as_bytes())),
            run_nvidia_is_ours: ours,
            module_references: Reading::Known(0),
            entrypoint_runs: Reading::Known(false),
            ..DriverHostFacts::default()
        }
    }

    fn unmount(path: &str, lazily: bool) -> DriverHostStep {
        let lazily = lazily.then_some(LazyUnmountReason::InUseOfGoneContainer);
        DriverHostStep::Mounts(MountStep::Unmount { path: path.to_owned(), lazily })
    }

    fn said(step: &DriverHostStep, facts: &DriverHostFacts) -> String {
        match step.deed(facts, true) {
            Ok(DriverHostDeed::Run(command)) => command.join(" "),
            Ok(deed) => format!("{deed:?}"),
            Err(unfit) => unfit.to_string(),
        }
    }

    const SHARE: DriverHostStep = DriverHostStep::Mounts(MountStep::ShareRunNvidia);
    const UNSHARE: DriverHostStep = DriverHostStep::Mounts(MountStep::UnshareRunNvidia);

    #[test]
    fn a_folder_is_shared_once() {
        assert_eq!(said(&SHARE, &facts(&[SHARED], false)), "Nothing");
        let command = "/usr/bin/mount -o bind,rshared,X-mount.mkdir /run/nvidia /run/nvidia";
        assert_eq!(said(&SHARE, &facts(&[PRIVATE], false)), command);
        assert_eq!(said(&SHARE, &facts(&[PRIVATE, BOUND], false)), "Nothing");
        let without = DriverHostFacts { systemd: false, ..facts(&[PRIVATE], false) };
        assert!(said(&SHARE, &without).contains(&format!("run `{command}` as root")));
        assert_eq!(said(&SHARE, &DriverHostFacts { systemd: false, ..facts(&[SHARED], false) }), "Nothing");
        let unread = DriverHostFacts { mounts: Reading::Absent(Absence::NoPermission), ..facts(&[], false) };
        assert!(said(&SHARE, &unread).contains("no_permission"));
        assert!(said(&SHARE, &facts(&[""], false)).contains("no mount holds it"));
    }

    #[test]
    fn only_our_own_mount_is_taken_back_and_nothing_on_it() {
        assert_eq!(said(&UNSHARE, &facts(&[PRIVATE, BOUND], true)), "/usr/bin/umount --no-canonicalize -- /run/nvidia");
        assert!(said(&UNSHARE, &facts(&[PRIVATE, BOUND], false)).contains("was not made by gpuhostd"));
        assert!(said(&UNSHARE, &facts(&[PRIVATE, BOUND, LAYER], true)).contains("/run/nvidia/driver is still mounted"));
        assert_eq!(said(&UNSHARE, &facts(&[SHARED], true)), "Nothing");
    }

    #[test]
    fn nothing_outside_and_nothing_of_a_driver_that_runs_is_unmounted() {
        let host = facts(&[PRIVATE, BOUND, LAYER], true);
        let driver = "/run/nvidia/driver";
        assert_eq!(said(&unmount(driver, false), &host), "/usr/bin/umount --no-canonicalize -- /run/nvidia/driver");
        assert_eq!(
            said(&unmount(driver, true), &host),
            "/usr/bin/umount --lazy --no-canonicalize -- /run/nvidia/driver"
        );
        assert_eq!(said(&unmount("/run/nvidia/mps", false), &host), "Nothing");
        for path in [
            "/",
            "/run",
            "/run/nvidia",
            "/run/nvidia/",
            "/run/nvidia/..",
            "/run/nvidia/../../etc",
            "/run/nvidia//x",
            "-l",
            "run/nvidia/x",
        ] {
            assert!(said(&unmount(path, false), &host).contains("is not below /run/nvidia"), "{path}");
        }
        let running = DriverHostFacts { entrypoint_runs: Reading::Known(true), ..host };
        for lazily in [false, true] {
            assert!(said(&unmount(driver, lazily), &running).contains("stop it first"));
        }
    }

    #[test]
    fn ready_is_written_of_a_loaded_driver_only() {
        let host = facts(&[SHARED], false);
        assert_eq!(said(&DriverHostStep::WriteReadiness, &host), "Write");
        let without = DriverHostFacts { module_references: Reading::Absent(Absence::None), systemd: false, ..host };
        assert!(said(&DriverHostStep::WriteReadiness, &without).contains("not loaded"));
        assert_eq!(said(&DriverHostStep::RemoveReadiness, &without), "Remove");
    }

    #[test]
    fn a_policy_without_driver_containers_lets_only_what_takes_back_pass() {
        let host = facts(&[PRIVATE, BOUND, LAYER], true);
        for step in [SHARE, DriverHostStep::WriteReadiness] {
            assert_eq!(step.deed(&host, false), Err(DriverHostUnfit::Policy), "{step}");
        }
        for step in [unmount("/run/nvidia/driver", false), DriverHostStep::RemoveReadiness] {
            assert!(step.deed(&host, false).is_ok(), "{step}");
        }
    }

    #[test]
    fn a_step_without_effect_is_seen() {
        let read = |text: &[&str]| RunNvidiaMounts::read(text.concat().as_bytes());
        let (two, one) = (read(&[SHARED, LAYER, LAYER]), read(&[SHARED, LAYER]));
        let step = unmount("/run/nvidia/driver", false);
        assert!(step.missed(&two, &two).is_some() && step.missed(&one, &one).is_some());
        assert_eq!(step.missed(&two, &one), None);
        assert_eq!(step.missed(&one, &read(&[SHARED])), None);
        assert!(SHARE.missed(&read(&[PRIVATE]), &read(&[PRIVATE])).is_some());
        assert_eq!(SHARE.missed(&read(&[PRIVATE]), &read(&[PRIVATE, BOUND])), None);
        assert_eq!(DriverHostStep::RemoveReadiness.missed(&one, &one), None);
    }

    #[test]
    fn a_step_is_read_as_it_was_written_and_nothing_more() {
        for step in [
            SHARE,
            UNSHARE,
            unmount("/run/nvidia/driver", true),
            DriverHostStep::WriteReadiness,
            DriverHostStep::RemoveReadiness,
        ] {
            let text = serde_json::to_string(&step).unwrap();
            assert_eq!(serde_json::from_str::<DriverHostStep>(&text).unwrap(), step, "{text}");
        }
        let more = r#"{"mounts":{"step":"unmount","path":"/run/nvidia/x","lazily":null,"force":true}}"#;
        assert!(serde_json::from_str::<DriverHostStep>(more).is_err());
    }
}
