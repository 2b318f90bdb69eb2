//! CDI specifications of NVIDIA's GPUs: which devices each file defines, which of them an engine takes, whether they fit the host,
//! and which way a GPU gets into a container.
//!
//! Engines before API 1.50 do not list their devices, and none shows what `all` stands for; the files do.

mod cdi_file;
mod cdi_look;
mod cdi_spec;
mod fresh;
mod generated;
mod gpu_way;
mod spec_plan;
mod spec_text;
mod spec_version;
mod taken;

pub use cdi_file::{CdiFile, CdiFileDevice};
pub use cdi_look::{CdiLook, CdiReader, CdiStep, OURS};
pub use cdi_spec::{ALL, Device, FILE_MAX_BYTES, KIND, Spec, is_spec};
pub use fresh::{CdiGpu, CdiHost, SpecFault, faults};
pub use generated::{Generated, GeneratedError, prepared};
pub use gpu_way::{CdiLack, CdiState, GpuWay, NVIDIA_RUNTIME, NoWay, cdi_state, gpu_way, qualified};
pub use spec_plan::{SpecPlan, is_ours, names_of_others, spec_plan};
pub use spec_text::parse;
pub use spec_version::SpecVersion;
pub use taken::{CdiDevices, CdiFolder, taken};

#[cfg(test)]
mod tests;
