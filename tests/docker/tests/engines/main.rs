//! Real Docker engines, side by side: what the rig promises, and the container hand against each of them.

mod cdi;
mod daemon;
mod daemon_json;
mod daemon_workspaces;
mod driver_container;
mod faults;
mod foreign;
mod pulls;
mod registry_logins;
mod rig;
mod stand_ins;
mod toolkit_container;
mod workspace_crowd;
mod workspace_endurance;
mod workspace_faults;
mod workspace_figures;
mod workspace_gpus;
mod workspace_images;
mod workspace_life;
mod workspace_never;
mod workspace_strangers;
mod workspace_world;
mod world;
