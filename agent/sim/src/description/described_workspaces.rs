//! What the Docker of a simulated host has for workspaces: registries, images, other users' containers, and what a start would lack.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The Docker of workspaces; one whose registries have every image by default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkspacesDescription {
    /// The registries have every image; else only those that are listed.
    pub every_image: bool,
    /// Images of the registries.
    pub images: Vec<DescribedImage>,
    /// Containers of other users of this Docker.
    pub strangers: Vec<DescribedStranger>,
    /// CDI devices (`nvidia.com/gpu=…`), device nodes, folders and networks that a container would need and that are missing.
    pub missing: BTreeSet<String>,
    /// Ports of the host that another process has.
    pub ports_taken: BTreeSet<u16>,
    /// A pull that works takes so many milliseconds.
    pub pull_takes_ms: u64,
    /// A removal takes so many milliseconds.
    pub removal_takes_ms: u64,
}

impl Default for WorkspacesDescription {
    fn default() -> Self {
        Self {
            every_image: true,
            images: Vec::new(),
            strangers: Vec::new(),
            missing: BTreeSet::new(),
            ports_taken: BTreeSet::new(),
            pull_takes_ms: 20_000,
            removal_takes_ms: 0,
        }
    }
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DescribedImage {
    /// Its digest, `sha256:…`.
    pub digest: model::image_ref::ImageDigest,
    /// Docker has it already.
    #[serde(default)]
    pub pulled: bool,
    /// Its size in MB.
    #[serde(default = "usual_size")]
    pub size_mb: u64,
    /// How pulls of it end.
    #[serde(default)]
    pub pull: DescribedPull,
    /// So many milliseconds after its start a container of it exits by itself.
    #[serde(default)]
    pub exits_after_ms: Option<u64>,
    /// With this status.
    #[serde(default)]
    pub exit: i64,
    /// It ignores SIGTERM.
    #[serde(default)]
    pub ignores_term: bool,
    /// Not even SIGKILL ends it.
    #[serde(default)]
    pub unkillable: bool,
}

/// How a pull ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DescribedPull {
    /// The image is there.
    #[default]
    Works,
    /// The registry does not have it.
    Unknown,
    /// The credentials are invalid.
    Denied,
    /// The connection is cut.
    Cut,
    /// No byte comes any more.
    Stalls,
    /// The disk is full.
    NoSpace,
}

/// A container of another user, which runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DescribedStranger {
    /// Its name.
    pub name: String,
    /// Its image.
    #[serde(default)]
    pub image: String,
    /// Its labels, ours too.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// It is privileged.
    #[serde(default)]
    pub is_privileged: bool,
}

const fn usual_size() -> u64 {
    400
}
