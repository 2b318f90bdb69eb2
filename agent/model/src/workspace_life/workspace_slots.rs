//! How much may still be begun in this turn.

use super::workspace_deed::WorkspaceDeed;
use super::workspace_world::WorkspacesWorld;
use crate::image_ref::ImageRef;
use crate::nvidia_container::ImageSeen;
use std::collections::BTreeSet;

/// What is left.
pub(super) struct Slots {
    pulls: usize,
    starts: usize,
    deeds: usize,
    images: BTreeSet<ImageRef>,
}

/// Why something waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error("other images are pulled first")]
    Pulls,
    #[error("other workspaces are started first")]
    Starts,
    #[error("other workspaces come first")]
    Deeds,
}

impl Full {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Pulls => "pull_waits",
            Self::Starts | Self::Deeds => "start_waits",
        }
    }
}

impl Slots {
    pub(super) fn of(world: &WorkspacesWorld) -> Self {
        let pulling = world.look.images.iter().filter(|(_, seen)| matches!(seen, ImageSeen::Pulling { .. }));
        let mut images: BTreeSet<ImageRef> = pulling.map(|(image, _)| image.clone()).collect();
        images.extend(world.doing.images.iter().cloned());
        let doing = world.doing.workspaces.len() + world.doing.volumes.len();
        Self {
            pulls: world.limits.pulls.saturating_sub(images.len()),
            starts: world.limits.starts.saturating_sub(world.doing.starting.len()),
            deeds: world.limits.deeds.saturating_sub(doing),
            images,
        }
    }

    /// Takes the room for a deed. False: it is begun already, for another workspace.
    pub(super) fn take(&mut self, deed: &WorkspaceDeed) -> Result<bool, Full> {
        match deed {
            WorkspaceDeed::Pull { image, .. } if self.images.contains(image) => return Ok(false),
            WorkspaceDeed::Pull { image, .. } => {
                take_one(&mut self.pulls, Full::Pulls)?;
                self.images.insert(image.clone());
                return Ok(true);
            }
            WorkspaceDeed::Create(_) | WorkspaceDeed::Start { .. } => {
                if self.deeds == 0 {
                    return Err(Full::Deeds);
                }
                take_one(&mut self.starts, Full::Starts)?;
            }
            WorkspaceDeed::Stop { .. }
            | WorkspaceDeed::Pause { .. }
            | WorkspaceDeed::Unpause { .. }
            | WorkspaceDeed::Remove { .. }
            | WorkspaceDeed::RemoveVolume { .. } => {}
        }
        take_one(&mut self.deeds, Full::Deeds)?;
        Ok(true)
    }
}

fn take_one(left: &mut usize, full: Full) -> Result<(), Full> {
    *left = left.checked_sub(1).ok_or(full)?;
    Ok(())
}
