//! Builds a heartbeat from what was observed. Pure: no clock, no file, no lock.

use crate::manager::agent::{AGENT_VERSION, AgentInfo, PROTOCOL};
use crate::manager::form::{cut, rfc3339};
use crate::manager::gpu;
use crate::manager::heartbeat::{AgentStatus, ConditionDoc, EffectiveDoc, Heartbeat, Usage};
use crate::manager::observed::{effective, observed};
use crate::manager::workspace_docs::{ShareDoc, shares, workspaces};
use model::absence::Reading;
use model::checkin::Omit;
use model::condition::{Condition, ConditionStatus};
use model::desired::{DesiredReport, DocumentId, Effective};
use model::host_facts::{CpuTicks, DiskUsage, HostFacts};
use model::observation::HostObservation;
use model::settings::ManagerSettings;
use model::time::{BootMillis, UnixMillis};
use std::collections::BTreeMap;

/// An observation older than this is reported as stale, in milliseconds.
pub const STALE_AFTER_MS: u64 = 120_000;

/// More conditions than this do not go with a heartbeat.
pub const CONDITIONS_MAX: usize = 32;
/// The conditions of a heartbeat take no more bytes than this.
pub const CONDITIONS_MAX_BYTES: usize = 16_000;

/// What a heartbeat reports besides what was observed.
#[derive(Debug, Clone)]
pub struct CheckinFacts<'a> {
    /// This host's id with the manager.
    pub server_id: &'a str,
    /// Version of gpuhostd.
    pub version: &'a str,
    /// Strictly rising.
    pub seq: u64,
    /// Wall clock of sending.
    pub wall: UnixMillis,
    /// CLOCK_BOOTTIME of sending.
    pub boot: BootMillis,
    /// Manager's clock minus ours, in milliseconds.
    pub clock_skew_ms: Option<i64>,
    /// Public name, port, provider, zone.
    pub settings: &'a ManagerSettings,
    /// The manager has switched this host on.
    pub enabled: bool,
    /// CPU time at the last heartbeat.
    pub cpu_before: Option<CpuTicks>,
    /// With inventory and agent.
    pub with_inventory: bool,
    /// What is left out.
    pub omit: Omit,
    /// Standing statements of the check-in.
    pub conditions: &'a [Condition],
    /// The manager's document that is in force.
    pub in_force: Option<DocumentId>,
    /// What of the wishes is met, and what is in effect.
    pub wishes: &'a DesiredReport,
    /// Revision of the inventory of this observation.
    pub inventory_rev: &'a str,
}

/// The heartbeat that shows what was observed.
#[must_use]
pub fn build(seen: &HostObservation, facts: &CheckinFacts<'_>) -> Heartbeat {
    let host = &seen.host;
    let settings = facts.settings;
    let conditions = all_conditions(seen, facts);
    let optional = facts.omit < Omit::Optional;
    let (allocated, available) = given(seen, facts).filter(|_| optional).unzip();
    Heartbeat {
        server_id: facts.server_id.to_owned(),
        agent_version: AGENT_VERSION,
        protocol: PROTOCOL,
        boot_id: host.boot_id.known().cloned(),
        seq: facts.seq,
        time: rfc3339(facts.wall),
        clock_skew_ms: facts.clock_skew_ms,
        uptime_s: facts.boot.0 / 1000,
        hostname: host.hostname.known().cloned(),
        public_hostname: settings.public_hostname.clone(),
        public_port: settings.public_port,
        provider: settings.provider.clone(),
        zone: settings.zone.clone(),
        status: status(seen, facts, &conditions),
        cores: host.cores.get(),
        memory: host.mem_total_bytes.get(),
        swap_total: host.swap_total_bytes.get(),
        cpu_pct: facts.cpu_before.and_then(|before| host.cpu.get()?.used_pct_since(before)),
        mem: memory(host),
        disk: disk(&host.disk),
        io: counters(host),
        gpu_metrics: optional.then(|| metrics(seen, facts.omit)),
        effective: optional.then(|| in_effect(facts)),
        allocated,
        available,
        workspaces: workspaces(&facts.wishes.workspaces).filter(|_| optional),
        observed: observed(facts.in_force.as_ref(), &facts.wishes.observed, optional),
        conditions: bounded(&conditions),
        inventory_rev: facts.inventory_rev.to_owned(),
        inventory: (optional && facts.with_inventory).then(|| gpu::inventory(seen)),
        agent: (optional && facts.with_inventory).then(|| AgentInfo::of(seen, facts.version)),
    }
}

/// What is in effect; before the reconciler has looked once, what files and replies have set.
fn in_effect(facts: &CheckinFacts<'_>) -> EffectiveDoc {
    effective(&offered(facts), facts.enabled)
}

fn offered(facts: &CheckinFacts<'_>) -> Effective {
    let by_files = || Effective { zone: facts.settings.zone.clone(), ..Effective::default() };
    facts.wishes.effective.clone().unwrap_or_else(by_files)
}

/// What workspaces have of the host, and what is left for more.
fn given(seen: &HostObservation, facts: &CheckinFacts<'_>) -> Option<(ShareDoc, ShareDoc)> {
    shares(&facts.wishes.workspaces, &offered(facts), seen)
}

fn status(seen: &HostObservation, facts: &CheckinFacts<'_>, conditions: &[Condition]) -> AgentStatus {
    let effective = in_effect(facts);
    if seen.sequence == 0 {
        AgentStatus::Starting
    } else if !effective.enabled {
        AgentStatus::Disabled
    } else if effective.draining {
        AgentStatus::Draining
    } else if conditions.iter().any(|c| c.status == ConditionStatus::True) {
        AgentStatus::Degraded
    } else {
        AgentStatus::Running
    }
}

fn all_conditions(seen: &HostObservation, facts: &CheckinFacts<'_>) -> Vec<Condition> {
    let mut all: Vec<_> = seen.conditions.iter().chain(facts.conditions).cloned().collect();
    let age = facts.boot.since(seen.observed_boot);
    let mut add = |kind: &str, message: String| {
        let (kind, reason) = (kind.to_owned(), kind.to_owned());
        all.push(Condition { kind, status: ConditionStatus::True, reason, message, since: seen.observed_at });
    };
    if seen.sequence > 0 && age > STALE_AFTER_MS {
        add("observation_stale", format!("the host was last observed {} s ago; see the daemon's log", age / 1000));
    }
    if facts.wishes.workspaces.is_empty_of_containers() && in_effect(facts).draining {
        add("drained", "no workspace runs, and the host takes no new ones".to_owned());
    }
    let missing = [
        ("CPUs", seen.host.cores.absence()),
        ("memory", seen.host.mem_total_bytes.absence()),
        ("boot id", seen.host.boot_id.absence()),
    ];
    let missing: Vec<_> =
        missing.iter().filter_map(|(what, why)| why.map(|w| format!("{what} ({})", w.code()))).collect();
    if seen.sequence > 0 && !missing.is_empty() {
        add("host_facts_missing", format!("could not be read: {}; is /proc mounted?", missing.join(", ")));
    }
    all
}

/// As many conditions as the contract lets go with a heartbeat, and the messages cut where they are too long. What is left out is
/// counted in the last one.
fn bounded(all: &[Condition]) -> Vec<ConditionDoc> {
    let mut docs: Vec<_> = all.iter().map(condition).collect();
    if docs.len() > CONDITIONS_MAX {
        let left = docs.len() - (CONDITIONS_MAX - 1);
        docs.truncate(CONDITIONS_MAX - 1);
        let kind = "conditions_left_out".to_owned();
        let message = format!("{left} more conditions hold; see gpuhostctl status on the host");
        docs.push(ConditionDoc { reason: kind.clone(), kind, status: "true", message, since: None });
    }
    for most in [4096, 1024, 256, 64] {
        let size: usize = docs.iter().map(|doc| serde_json::to_vec(doc).map_or(0, |bytes| bytes.len() + 1)).sum();
        if size <= CONDITIONS_MAX_BYTES {
            break;
        }
        docs.iter_mut().for_each(|doc| cut(&mut doc.message, most));
    }
    docs
}

fn condition(from: &Condition) -> ConditionDoc {
    ConditionDoc {
        kind: from.kind.clone(),
        status: match from.status {
            ConditionStatus::True => "true",
            ConditionStatus::False => "false",
            ConditionStatus::Unknown => "unknown",
        },
        reason: from.reason.clone(),
        message: from.message.clone(),
        since: rfc3339(from.since),
    }
}

fn metrics(seen: &HostObservation, omit: Omit) -> Vec<gpu::GpuMetrics> {
    let mut all: Vec<_> = seen.gpus.iter().map(gpu::gpu_metrics).collect();
    if omit >= Omit::MigMetrics {
        for one in &mut all {
            one.mig.clear();
        }
    }
    all
}

/// Per cent with one decimal; `None` where there is no whole.
fn pct(part: u64, whole: u64) -> Option<f64> {
    let per_mille = u128::from(part) * 1000 / u128::from(whole.max(1));
    let per_mille = u32::try_from(per_mille).ok().filter(|_| whole > 0)?;
    Some(f64::from(per_mille) / 10.0)
}

fn memory(host: &HostFacts) -> Usage {
    let total = host.mem_total_bytes.get();
    let available = host.mem_available_bytes.get();
    let used = total.zip(available).map(|(total, available)| total.saturating_sub(available));
    Usage {
        total_bytes: total,
        available_bytes: available,
        used_bytes: used,
        used_pct: used.zip(total).and_then(|(used, total)| pct(used, total)),
        ..Usage::default()
    }
}

fn disk(reading: &Reading<DiskUsage>) -> Usage {
    let Reading::Known(disk) = reading else { return Usage::default() };
    Usage {
        path: Some(disk.path.clone()),
        total_bytes: Some(disk.total_bytes),
        available_bytes: Some(disk.available_bytes),
        used_bytes: Some(disk.used_bytes),
        used_pct: pct(disk.used_bytes, disk.used_bytes.saturating_add(disk.available_bytes)),
        inodes_used_pct: pct(disk.inodes_total.saturating_sub(disk.inodes_free), disk.inodes_total),
    }
}

fn counters(host: &HostFacts) -> BTreeMap<&'static str, u64> {
    let sum = |pick: fn(&model::host_facts::Nic) -> Option<u64>| {
        host.nics.iter().filter_map(pick).reduce(u64::saturating_add)
    };
    let all = [
        ("read_bytes", host.io_read_bytes.get()),
        ("write_bytes", host.io_write_bytes.get()),
        ("net_rx_bytes", sum(|nic| nic.rx_bytes)),
        ("net_tx_bytes", sum(|nic| nic.tx_bytes)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
