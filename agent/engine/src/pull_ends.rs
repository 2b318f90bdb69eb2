//! What became of the pulls of workspaces' images, from what was remembered before a turn and after it.

use crate::image_board::pull_ended;
use model::event::Occurrence;
use model::nvidia_container::ImageSeen;
use model::workspace_life::{WorkspaceLook, WorkspacesMemory};

/// One for each pull whose end this look has shown.
pub(crate) fn pull_ends(before: &WorkspacesMemory, after: &WorkspacesMemory, look: &WorkspaceLook) -> Vec<Occurrence> {
    let goes_on = |image| after.images.get(image).is_some_and(|known| known.is_begun);
    let ended = before.pulls().filter(|image| !goes_on(image));
    let outcome = |image| match look.image(image) {
        ImageSeen::Present { .. } => Some(pull_ended(image, Ok(()))),
        ImageSeen::PullFailed { why } => Some(pull_ended(image, Err(&why))),
        // It was forgotten, and begins again.
        ImageSeen::Absent | ImageSeen::Pulling { .. } => None,
    };
    ended.filter_map(outcome).collect()
}
