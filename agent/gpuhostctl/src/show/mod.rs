//! What the commands that only look print.

pub mod gpu;
pub mod gpus;
pub mod iommu;
pub mod jobs;
pub mod status;
