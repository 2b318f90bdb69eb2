//! What others see: documents of the manager API, D-Bus types and proxies.

pub mod dbus;
pub mod manager;
mod metric_values;
pub mod openmetrics;
pub mod parse_smi;

pub use metric_values::MetricValues;
