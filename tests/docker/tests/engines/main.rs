//! Real Docker engines, side by side: what the rig promises, and the container hand against each of them.

mod cdi;
mod rig;
mod stand_ins;
