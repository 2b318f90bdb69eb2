//! What others see: documents of the manager API, D-Bus types and proxies, and the protocol between front and hands.

pub mod dbus;
pub mod hand;
pub mod manager;
mod metrics;
pub mod openmetrics;
pub mod parse_smi;

pub use metrics::MetricValues;
