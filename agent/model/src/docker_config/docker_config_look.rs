//! What a look at Docker's configuration file shows.

use crate::daemon_json::Refused;
use serde::{Deserialize, Serialize};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DockerConfigLook {
    /// The file that the running Docker reads, whether it is there or not.
    File(DockerConfigSeen),
    /// gpuhostd leaves the configuration of this Docker alone.
    Unusable(WhyUnusable),
}

/// A file, as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerConfigSeen {
    /// Its path, as Docker was given it.
    pub file: String,
    /// Where the symbolic links of that path lead.
    pub real_file: String,
    /// The systemd unit in which Docker runs, `docker.service`.
    pub unit: Option<String>,
    /// SHA-256 of its bytes in hexadecimal; `None` = there is no file.
    pub sha256: Option<String>,
    /// What it reports about the runtime that was asked about.
    pub entry: EntrySeen,
    /// What it reports about `features.cdi`.
    pub cdi: FeatureSeen,
}

/// What the file reports about `features.cdi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureSeen {
    /// It is not set.
    Absent,
    /// It is `true`.
    Enabled,
    /// It is set in another way, or the file is left as it is.
    LeftAlone,
}

/// What the file reports about a runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntrySeen {
    /// It has none of that name, and one can be put in.
    Absent,
    /// It has none any more, but the object `runtimes` that came with ours is still there, empty: a Docker that is reloaded with it
    /// forgets the runtime, and the next `TakeRuntime` removes it. One can be put in as well.
    Emptied,
    /// It has this one.
    AsWanted,
    /// The file is left as it is.
    Refused(Refused),
}

/// Why the configuration of a Docker is left alone: a closed list of codes, each with what to do.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, strum::VariantNames, strum::IntoStaticStr,
)]
#[serde(tag = "code", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum WhyUnusable {
    /// Nobody answers at the socket.
    #[error("no Docker answers at {socket}: systemctl start docker")]
    DockerNotRunning {
        /// The socket.
        socket: String,
    },
    /// It is Docker's snap.
    #[error(
        "Docker is a snap ({program}): its files are inside the snap. Install Docker from a package of the distribution or of Docker"
    )]
    DockerSnap {
        /// Its program.
        program: String,
    },
    /// It runs without root.
    #[error(
        "Docker runs without root, as uid {uid}: its configuration is that user's. As that user: nvidia-ctk runtime configure --runtime=docker"
    )]
    DockerRootless {
        /// Its user.
        uid: u32,
    },
    /// It sees other files than this host.
    #[error(
        "Docker (pid {pid}) does not have {file} of this host at that path: it runs in a root directory, a container or a mount \
         namespace of its own, where its administrator configures it"
    )]
    DockerElsewhere {
        /// Its process.
        pid: u32,
        /// Its configuration file, as it was named.
        file: String,
    },
    /// Its configuration file is named in a way that only its own process can resolve.
    #[error("Docker was started with --config-file {file:?}, which is not an absolute path: start it with one")]
    DockerConfigRelative {
        /// What was named.
        file: String,
    },
    /// It was started with a file that is no longer there.
    #[error(
        "Docker was started with --config-file {file}, which is gone, and it does not start again without it: put the file back"
    )]
    DockerConfigGone {
        /// The file.
        file: String,
    },
    /// It has runtimes from its command line, which it forgets at a reload with runtimes in the file.
    #[error(
        "Docker was started with {flag}, and forgets that runtime when it reloads a configuration file that has runtimes: put it into \
         the file, remove the flag (`systemctl cat docker` shows where it is), and restart Docker"
    )]
    DockerRuntimeFlag {
        /// The flag with its value.
        flag: String,
    },
    /// It is no Docker.
    #[error("{program} answers at the socket, not dockerd: runtimes are configured there in another way")]
    NotDocker {
        /// Its program.
        program: String,
    },
    /// Its process cannot be looked into.
    #[error("the process of Docker cannot be read: {said}")]
    DockerUnknown {
        /// What the host answered.
        said: String,
    },
}

impl WhyUnusable {
    /// Every code, in the order of the enum.
    pub const CODES: &'static [&'static str] = <Self as strum::VariantNames>::VARIANTS;

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.into()
    }
}
