//! When Docker may be restarted: by policy, and never under a container that would not outlive it.

use serde::{Deserialize, Serialize};

/// How far gpuhostd may go for what Docker takes up at a restart only.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DockerRestart {
    /// It is never restarted.
    Never,
    /// While no container of anyone runs.
    #[default]
    WhenIdle,
    /// Also while containers run, where live-restore lets them live on. Without it as [`Self::WhenIdle`].
    Always,
}

impl DockerRestart {
    /// Every value, in the order of the enum.
    pub const VALUES: &'static [&'static str] = <Self as strum::VariantNames>::VARIANTS;
}

/// What runs in Docker, as far as a restart is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerRunning {
    /// Containers outlive the daemon; `None` = unknown, which counts as no.
    pub live_restore: Option<bool>,
    /// Containers that run and are not NVIDIA's of ours; `None` = unknown.
    pub others: Option<u32>,
    /// Our driver container runs. A driver that is ended under its users leaves them without one.
    pub is_driver_up: bool,
}

/// Why Docker is not restarted now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum NoDockerRestart {
    /// The policy or the wish forbids it.
    #[error("`docker_restart` is `never`")]
    Never,
    /// What runs is not known.
    #[error("Docker does not report how many containers run")]
    Unknown,
    /// Containers would end with it.
    #[error("{running} would end with it, since live-restore is not enabled")]
    WouldEnd {
        /// What runs.
        running: String,
    },
    /// Containers would live on, and only an idle Docker may be restarted.
    #[error(
        "{running}, and `docker_restart` is `when_idle`; with `always` they live on, since live-restore is enabled"
    )]
    NotIdle {
        /// What runs.
        running: String,
    },
}

impl DockerRunning {
    /// Whether Docker may be restarted now.
    ///
    /// # Errors
    /// Why not.
    pub fn may_restart(&self, allowed: DockerRestart) -> Result<(), NoDockerRestart> {
        let lives_on = self.live_restore == Some(true);
        let Some(others) = self.others else {
            let known = if allowed == DockerRestart::Never { NoDockerRestart::Never } else { NoDockerRestart::Unknown };
            return Err(known);
        };
        match allowed {
            DockerRestart::Never => Err(NoDockerRestart::Never),
            DockerRestart::WhenIdle | DockerRestart::Always if !lives_on && (others > 0 || self.is_driver_up) => {
                Err(NoDockerRestart::WouldEnd { running: self.words(others) })
            }
            DockerRestart::WhenIdle if others > 0 => Err(NoDockerRestart::NotIdle { running: self.words(others) }),
            DockerRestart::WhenIdle | DockerRestart::Always => Ok(()),
        }
    }

    fn words(&self, others: u32) -> String {
        match (others, self.is_driver_up) {
            (0, _) => "the driver container".to_owned(),
            (1, false) => "a container that runs".to_owned(),
            (1, true) => "a container that runs and the driver container".to_owned(),
            (others, false) => format!("{others} containers that run"),
            (others, true) => format!("{others} containers that run and the driver container"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_container_is_ended_by_a_restart_whatever_is_allowed() {
        for live_restore in [None, Some(false), Some(true)] {
            for others in [None, Some(0), Some(1), Some(40)] {
                for is_driver_up in [false, true] {
                    let running = DockerRunning { live_restore, others, is_driver_up };
                    let lives_on = live_restore == Some(true);
                    let may = |allowed| running.may_restart(allowed).is_ok();
                    let is_idle = others == Some(0) && (lives_on || !is_driver_up);
                    assert!(!may(DockerRestart::Never));
                    assert_eq!(may(DockerRestart::WhenIdle), is_idle, "{running:?}");
                    assert_eq!(may(DockerRestart::Always), is_idle || (lives_on && others.is_some()), "{running:?}");
                }
            }
        }
    }

    #[test]
    fn the_lower_of_wish_and_policy_counts() {
        assert!(DockerRestart::Never < DockerRestart::WhenIdle && DockerRestart::WhenIdle < DockerRestart::Always);
        assert_eq!("when_idle".parse(), Ok(DockerRestart::WhenIdle));
        assert_eq!(DockerRestart::VALUES, ["never", "when_idle", "always"]);
    }
}
