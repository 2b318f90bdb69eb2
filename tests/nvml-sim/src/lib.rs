//! A simulated `libnvidia-ml.so.1`: the C functions that reading tools call, answered from a host description.
//!
//! It is loaded by `dlopen` in place of NVIDIA's, so the code under test is the code that is shipped. The description is
//! the file that `GPUHOSTD_SIM_DESCRIPTION` names, else the nearest `description.toml` in a folder above the library
//! (programs that clear the environment of their children find it by that). A function that is not here is one that the
//! driver lacks: callers get `FunctionNotFound` from the dynamic linker.
//!
//! What calls change of MIG is in `mig-state.json` beside the description (or where `GPUHOSTD_SIM_MIG_STATE` says) for all processes;
//! once that file is there, it counts in place of the description. Where `mig-state.calls` is beside it, each call adds a line. Where
//! `mig-config` or `sys-admin` is beside it, who cannot open that may not change layouts, or the mode.

pub mod answer;
pub mod codes;
pub mod compute_instances;
pub mod device;
pub mod fields;
pub mod gpu_instances;
pub mod handle;
pub mod identity;
pub mod library;
pub mod metrics;
pub mod mig;
pub mod processes;
pub mod shared;
pub mod system;
