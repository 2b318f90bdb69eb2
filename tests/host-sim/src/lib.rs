//! The simulated host on disk: a sysfs tree, an `nvidia-smi` and a `libnvidia-ml.so.1` made of one description.

pub mod artifacts;
pub mod etc;
pub mod place;
pub mod recorded;
mod sensors;
mod smi_readings;
pub mod smi_stub;
pub mod smi_xml;
mod software;
mod state;
pub mod tree;
pub mod xml_writer;

pub use artifacts::Artifacts;
pub use recorded::write_recorded;
pub use tree::write_tree;
