//! How Docker shows the containers and the image of one role.

use crate::ids::ContainerId;
use crate::image_ref::ImageDigest;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// A fresh look.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NvidiaLook {
    /// Every container with our label of this role, in the order of creation.
    pub containers: Vec<NvidiaContainerSeen>,
    /// The image that was asked about.
    pub image: ImageSeen,
}

/// A container that has our label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NvidiaContainerSeen {
    /// Its id.
    pub id: ContainerId,
    /// Its name, without the slash.
    pub name: String,
    /// Why it is not ours although it has our label; `None` = labels, mounts and command agree.
    pub foreign: Option<WhyForeign>,
    /// Digest of the specification that it was created from, from its label.
    pub spec_digest: Option<String>,
    /// Digests of its image, from `RepoDigests`; empty where the image is gone or was never in a registry.
    pub image_digests: Vec<ImageDigest>,
    /// What it does.
    pub run: ContainerRun,
    /// When it was last started.
    pub started_at: Option<UnixMillis>,
}

/// What makes a container with our label a foreign one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyForeign {
    /// It is started with another command.
    Command,
    /// It lacks a mount that such a container has.
    Mounts,
    /// Its label names no specification.
    NoSpec,
}

/// What a container does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerRun {
    /// It was never started.
    Created,
    /// It runs.
    Running,
    /// It is frozen.
    Paused,
    /// It has ended.
    Ended {
        /// Exit status; 137 = ended by SIGKILL. Where Docker itself was killed meanwhile, 255 or 7 is its invention.
        exit: i64,
        /// The kernel ended it for want of memory.
        oom: bool,
    },
    /// Docker removes it, has failed to, or reports a state that is not known here.
    Other(String),
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageSeen {
    /// Docker has it not.
    #[default]
    Absent,
    /// It is being pulled.
    Pulling {
        /// Bytes of its layers that are here.
        done_bytes: u64,
        /// Bytes of its layers, as far as they are known yet.
        total_bytes: u64,
    },
    /// Docker has it.
    Present {
        /// Its digests in registries; empty where it was never in one.
        digests: Vec<ImageDigest>,
    },
    /// The last pull has failed, and Docker has it not.
    PullFailed {
        /// Docker's words, without credentials.
        why: String,
    },
}
