//! What people can ask of the images that Docker has.

use crate::prune_mode::PruneMode;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageAsk {
    /// Have Docker show them now, and what this mode keeps; `None` = the mode in force.
    Look(Option<PruneMode>),
    /// Remove what this mode removes, now.
    Prune(PruneMode),
}
