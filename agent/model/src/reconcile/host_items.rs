//! The domain of the host's settings: enabled, draining, labels, intervals, capacities.

use super::item::{Deed, Item, ItemPath, ItemState, WishSource};
use super::setting_keys::SettingKeys;
use super::world::World;
use crate::desired::DesiredAgent;
use crate::settings::HostSetting;

/// All items of `agent`.
pub(super) fn items(world: &World<'_>) -> Vec<Item> {
    let local = &world.desired.local.wishes.agent;
    let mut items = of_section(world, WishSource::Local, local, &DesiredAgent::default());
    if let Some(document) = world.desired.manager.document() {
        items.extend(of_section(world, WishSource::Manager, &document.wishes.agent, local));
    }
    drain_when_it_is_time(world, &mut items);
    items
}

/// The items of one source; what `holder` names is held by it.
fn of_section(world: &World<'_>, source: WishSource, of: &DesiredAgent, holder: &DesiredAgent) -> Vec<Item> {
    use HostSetting as S;
    let keys = SettingKeys { world, source, section: "agent" };
    let (own, theirs) = (&of.overrides, &holder.overrides);
    [
        keys.item("enabled", &of.enabled, &holder.enabled, S::Enabled),
        keys.item("draining", &of.draining, &holder.draining, S::Draining),
        keys.item("drain_at", &of.drain_at, &holder.drain_at, S::DrainAt),
        keys.item("labels", &of.labels, &holder.labels, S::Labels),
        keys.item("zone", &of.zone, &holder.zone, S::Zone),
        keys.item("pool", &of.pool, &holder.pool, S::Pool),
        keys.item("max_workspaces", &of.max_workspaces, &holder.max_workspaces, S::MaxWorkspaces),
        keys.item("overrides.cores", &own.millicores, &theirs.millicores, S::Millicores),
        keys.item("overrides.memory", &own.memory_bytes, &theirs.memory_bytes, S::MemoryBytes),
        keys.item("overrides.cuda_gpus", &own.cuda_gpus, &theirs.cuda_gpus, S::CudaGpus),
        keys.item(
            "heartbeat_interval_s",
            &of.heartbeat_interval_s,
            &holder.heartbeat_interval_s,
            S::HeartbeatIntervalS,
        ),
        keys.item("reconcile_interval_s", &of.sample_interval_s, &holder.sample_interval_s, S::SampleIntervalS),
        keys.item("log_level", &of.log_level, &holder.log_level, S::LogLevel),
        keys.item("prune", &of.prune, &holder.prune, S::Prune),
        keys.item("disk_usage_limit", &of.disk_usage_limit_pct, &holder.disk_usage_limit_pct, S::DiskUsageLimitPct),
        keys.item("max_concurrent_docker_pulls", &of.concurrent_pulls, &holder.concurrent_pulls, S::ConcurrentPulls),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A time to drain that was set comes by itself, also when no document names it any more.
fn drain_when_it_is_time(world: &World<'_>, items: &mut Vec<Item>) {
    let Some(drain) = world.overlay().drain_at.filter(|drain| !drain.has_come && world.wall >= drain.at) else {
        return;
    };
    let path = ItemPath::new("agent.drain_at");
    let deed = Deed::Set(HostSetting::DrainAtHasCome(drain.at));
    let is_said = items.iter().any(|item| item.path == path);
    if let Some(item) = items.iter_mut().find(|item| item.path == path && item.state == ItemState::Met) {
        item.state = world.state_of_deed(item.source, deed);
    } else if !is_said && world.desired.manager.document().is_some() {
        // Without a document that can be read nothing is done that it may have taken back.
        let (source, state) = (WishSource::Manager, world.state_of_deed(WishSource::Manager, deed));
        items.push(Item { path, source, state, blockers: String::new() });
    }
}
