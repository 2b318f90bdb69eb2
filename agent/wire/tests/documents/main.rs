//! What goes out: the documents of the manager API, of D-Bus and of OpenMetrics.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where its world is broken"
)]

mod contract;
mod gpu_documents;
mod manager_report;
mod metric_faces;
mod openmetrics;
mod parse_smi;
mod workspace_report;
