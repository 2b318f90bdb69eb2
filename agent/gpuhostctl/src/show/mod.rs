//! What the commands that only look print.

pub(crate) mod conditions;
pub(crate) mod desired;
pub(crate) mod gpu;
pub(crate) mod gpus;
pub(crate) mod iommu;
pub(crate) mod job;
pub(crate) mod jobs;
pub(crate) mod nvidia;
pub(crate) mod ps;
pub(crate) mod status;
pub(crate) mod workspaces;
