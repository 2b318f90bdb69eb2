//! Documents from outside and from earlier versions: what nvidia-smi writes, the journal of changes, what a snapshot may hold.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where its world is broken"
)]

mod cdi;
mod daemon_json;
mod journal;
mod journal_found;
mod kasm;
mod mig_leaves;
mod nvidia_record;
mod smi_captures;
mod smi_document;
mod smi_failure;
mod smi_oracle;
mod smi_shapes;
mod snapshot_redact;
mod workspace;
mod workspace_forms;
mod workspace_gpus;
mod workspace_host_side;
mod workspace_images;
mod workspace_limits;
mod workspace_volumes;
mod workspaces;
