//! The Docker of workspaces as the description of a host has it.

use super::pull_state::{PullFate, RegistryImage};
use super::sim_engine::SimEngine;
use super::sim_workspace::{SimProgram, SimWorkspaceRun};
use crate::description::{DescribedImage, DescribedPull, Description};
use crate::driver::gpu_uuid;
use model::workspace_life::WorkspaceFacts;

impl SimEngine {
    /// As it is described.
    #[must_use]
    pub fn of(description: &Description) -> Self {
        let workspaces = &description.workspaces;
        let mut engine = if workspaces.every_image { Self::with_every_image() } else { Self::default() };
        engine.set_pull_takes_ms(workspaces.pull_takes_ms);
        engine.rules.cores = description.host.cores;
        engine.rules.live_restore = description.docker.as_ref().is_some_and(|docker| docker.live_restore == Some(true));
        engine.rules.removal_takes_ms = workspaces.removal_takes_ms;
        engine.missing.clone_from(&workspaces.missing);
        engine.ports_taken.clone_from(&workspaces.ports_taken);
        for image in &workspaces.images {
            engine.publish(image.digest.clone(), registry_image(image));
            if image.pulled {
                engine.have(image.digest.clone());
            }
        }
        for stranger in &workspaces.strangers {
            let facts = WorkspaceFacts {
                name: stranger.name.clone(),
                image: stranger.image.clone(),
                labels: stranger.labels.clone(),
                is_privileged: stranger.is_privileged,
                ..WorkspaceFacts::default()
            };
            let _id = engine.add_stranger(facts, SimWorkspaceRun::Running(engine.now));
        }
        let cards = description.gpus.iter().filter_map(|gpu| {
            let uuid = gpu_uuid(gpu)?;
            Some((uuid.as_str().to_owned(), gpu.address.to_string()))
        });
        engine.card_of = cards.collect();
        engine
    }
}

fn registry_image(image: &DescribedImage) -> RegistryImage {
    let fate = match image.pull {
        DescribedPull::Works => PullFate::Works,
        DescribedPull::Unknown => PullFate::Unknown,
        DescribedPull::Denied => PullFate::Denied,
        DescribedPull::Cut => PullFate::Cut,
        DescribedPull::Stalls => PullFate::Stalls,
        DescribedPull::NoSpace => PullFate::NoSpace,
    };
    let program = SimProgram {
        exits: image.exits_after_ms.map(|after| (after, image.exit)),
        oom: false,
        ignores_term: image.ignores_term,
        unkillable: image.unkillable,
    };
    RegistryImage { program, bytes: image.size_mb.saturating_mul(1_000_000), fate }
}
