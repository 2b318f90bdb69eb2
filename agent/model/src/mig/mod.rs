//! MIG: what a GPU can be cut into, and how to get from the layout that is there to the one that is wanted with the least harm.
//!
//! Pure: what NVML reports comes in as a [`MigCatalog`] and a list of [`Present`] instances, a plan or a refusal goes out.

pub mod capability_files;
pub mod catalog;
pub mod draw;
pub mod files;
mod fit;
pub mod layout;
pub mod layout_refusal;
mod layout_request;
mod mig_blocked;
mod mig_change;
mod mig_master;
mod mig_owned;
mod mig_places;
mod mig_state;
mod mig_step;
mod mig_take_back;
mod mig_wanted;
pub mod names;
pub mod plan;
pub mod products;
pub mod profile;
mod search;
mod share;

pub use catalog::{ComputeProfile, Engines, GpuProfile, MOST_PROFILES, MigCatalog, MigEngine, Placement};
pub use layout::{Instance, Present, PresentCompute, Wish};
pub use layout_refusal::{MigRefusal, MigRefused};
pub use mig_blocked::MigBlocked;
pub use mig_change::{
    MigFacts, MigLayoutRequest, MigModeRequest, MigReturnRequest, plan_layout, plan_mode, plan_return,
};
pub use mig_master::MigMaster;
pub use mig_owned::{BadMigOwned, MigOwned, OwnedNow};
pub use mig_places::{MigListed, MigPlaced, PlacedMig};
pub use mig_state::{MigComputeInstance, MigGpuInstance, MigOnGpu};
pub use mig_step::MigStep;
pub use mig_take_back::{MigTakeBackRequest, plan_take_back};
pub use mig_wanted::{MigWanted, StayingCompute};
pub use plan::{KeptInstance, LaidOut, MigPlan, check, free, plan};
pub use profile::{BadProfile, ProfileName};
