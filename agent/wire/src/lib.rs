//! What others see: documents of the manager API, D-Bus types and proxies.

pub mod dbus;
pub mod manager;
mod metrics;
pub mod openmetrics;
pub mod parse_smi;

pub use metrics::MetricValues;
