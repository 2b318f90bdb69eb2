//! A simulated Docker with the containers of workspaces: what it shows, what can be done to it, and what its rules forbid.

mod created_facts;
mod engine_deeds;
mod engine_images;
mod engine_of_host;
mod engine_state;
mod gpu_looks;
mod gpu_rules;
mod pull_state;
mod sim_engine;
mod sim_figures;
mod sim_workspace;
mod workspaces_on_host;

pub use engine_deeds::DeedFault;
pub use engine_state::{EngineRules, EngineState};
pub use pull_state::{PullFate, RegistryImage};
pub use sim_engine::SimEngine;
pub use sim_workspace::{SimProgram, SimWorkspace, SimWorkspaceRun};
