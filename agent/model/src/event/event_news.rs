//! The events that follow from what was seen before and what is seen now.

use super::event_facts::{AgentSighting, EventFacts, NvidiaSighting};
use super::event_gpu::gpu_news;
use super::event_workspace::workspace_news;
use super::occurrence::{EventKind, EventSeverity, Occurrence};
use crate::nvidia_container::NvidiaRole;
use std::collections::BTreeSet;

/// What has happened between the two, in the order in which it is reported: the daemon, GPUs, NVIDIA's containers, workspaces.
#[must_use]
pub fn event_news(before: &EventFacts, now: &EventFacts) -> Vec<Occurrence> {
    let mut news = agent_news(&before.agent, &now.agent);
    let gpus: BTreeSet<_> = before.gpus.keys().chain(now.gpus.keys()).collect();
    news.extend(gpus.into_iter().flat_map(|at| gpu_news(*at, before.gpus.get(at), now.gpus.get(at))));
    news.extend(rejected(before, now));
    let none = NvidiaSighting::default();
    for role in NvidiaRole::ALL {
        let (was, is) = (before.nvidia.get(role).unwrap_or(&none), now.nvidia.get(role).unwrap_or(&none));
        news.extend(nvidia_news(*role, was, is));
    }
    let workspaces: BTreeSet<_> = before.workspaces.keys().chain(now.workspaces.keys()).collect();
    let of_one = |id| workspace_news(id, before.workspaces.get(id), now.workspaces.get(id));
    news.extend(workspaces.into_iter().flat_map(of_one));
    news.extend(unread(before, now));
    news.extend(unknown(before, now));
    news.into_iter().map(Occurrence::bounded).collect()
}

fn agent_news(before: &AgentSighting, now: &AgentSighting) -> Vec<Occurrence> {
    let mut news = Vec::new();
    let info = |kind, message| Occurrence::new(kind, "", EventSeverity::Info, message);
    let is_first = before.run.is_empty();
    if before.run != now.run {
        news.push(started(before, now));
    }
    let others = before.settings.iter().filter(|(name, digest)| now.settings.get(*name) != Some(digest));
    let new = now.settings.keys().filter(|name| !before.settings.contains_key(*name));
    let sections: Vec<&str> = others.map(|(name, _)| name).chain(new).map(String::as_str).collect();
    // Another version may have other sections and keys.
    if !is_first && before.version == now.version && !sections.is_empty() {
        let message = format!("other settings are in force: {}", sections.join(", "));
        news.push(info(EventKind::AgentConfigChanged, message).with("sections", sections.join(" ")));
    }
    if now.is_drained && !before.is_drained {
        let message = "the host is drained: it takes no new workspaces, and none runs on it".to_owned();
        news.push(info(EventKind::AgentDrained, message));
    }
    if now.is_stopping && (!before.is_stopping || before.run != now.run) {
        news.push(info(EventKind::AgentStopping, "gpuhostd stops; containers go on".to_owned()));
    }
    news
}

fn started(before: &AgentSighting, now: &AgentSighting) -> Occurrence {
    let is_first = before.run.is_empty();
    let is_same_boot = before.boot_id.is_some() && before.boot_id == now.boot_id;
    let (severity, how) = match (is_first, before.is_stopping, is_same_boot) {
        (true, _, _) => (EventSeverity::Info, String::new()),
        (false, true, true) => (EventSeverity::Info, " again".to_owned()),
        (false, true, false) => (EventSeverity::Info, " after a boot".to_owned()),
        (false, false, true) => (EventSeverity::Warning, " again; it had ended without a stop".to_owned()),
        (false, false, false) => {
            (EventSeverity::Warning, " after a boot; the host had ended without a shutdown".to_owned())
        }
    };
    let message = format!("gpuhostd {} runs{how}", now.version);
    let event = Occurrence::new(EventKind::AgentStarted, "", severity, message).with("version", now.version.clone());
    let is_other = !is_first && before.version != now.version;
    if is_other { event.with("version_before", before.version.clone()) } else { event }
}

fn rejected<'a>(before: &'a EventFacts, now: &'a EventFacts) -> impl Iterator<Item = Occurrence> + 'a {
    let new = now.rejected.iter().filter(|(job, _)| !before.rejected.contains_key(job));
    new.map(|(_, bind)| {
        let message = format!("GPU {} is not given to a virtual machine: {}", bind.gpu, bind.message);
        let event = Occurrence::new(EventKind::VfioRejected, bind.gpu.to_string(), EventSeverity::Warning, message);
        event.with_code(bind.code.clone())
    })
}

fn nvidia_news(role: NvidiaRole, before: &NvidiaSighting, now: &NvidiaSighting) -> Vec<Occurrence> {
    let mut news = Vec::new();
    let name: &'static str = role.into();
    let why = now.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let kind = match role {
        NvidiaRole::Driver => EventKind::NvidiaDriverDeployed,
        NvidiaRole::Toolkit => EventKind::NvidiaToolkitDeployed,
    };
    let image = now.image.clone().unwrap_or_default();
    if now.deployed.is_some() && now.deployed != before.deployed {
        let message = format!("NVIDIA's {name} container runs and is ready: {image}");
        news.push(Occurrence::new(kind, name, EventSeverity::Info, message).with("image", image));
    }
    if let Some(code) = now.failed.as_ref().filter(|_| now.failed != before.failed) {
        let message = format!("NVIDIA's {name} container does not work{why}");
        let event = Occurrence::new(EventKind::NvidiaFailed, name, EventSeverity::Error, message);
        news.push(event.with_code(code.clone()));
    }
    if let Some(failed) = now.rolled_back.as_ref().filter(|_| now.rolled_back != before.rolled_back) {
        let message = format!("{failed} failed, and the {name} container before it runs again{why}");
        let event = Occurrence::new(EventKind::NvidiaRolledBack, name, EventSeverity::Error, message);
        news.push(event.with("image", failed.clone()));
    }
    news
}

fn unread<'a>(before: &'a EventFacts, now: &'a EventFacts) -> impl Iterator<Item = Occurrence> + 'a {
    let new = now.unread.iter().filter(|(name, why)| before.unread.get(*name) != Some(why));
    new.map(|(name, (code, message))| {
        let message = format!("workspace {name} is refused: {message}");
        let event = Occurrence::new(EventKind::WorkspaceRefused, name.as_str(), EventSeverity::Warning, message);
        event.with_code(code.clone())
    })
}

fn unknown(before: &EventFacts, now: &EventFacts) -> Option<Occurrence> {
    let why = now.workspaces_unknown.as_ref().filter(|_| before.workspaces_unknown.is_none())?;
    let count = now.workspaces.len();
    let message = format!("what became of the {count} workspaces of this host is unknown: {why}");
    let event = Occurrence::new(EventKind::WorkspaceUnknown, "", EventSeverity::Warning, message);
    (count > 0).then(|| event.with("workspaces", count.to_string()))
}
