//! The section `agent`: settings of this host.

use super::document_reader::Reader;
use super::json_node::Node;
use model::desired::{CapacityOverrides, Desired, DesiredAgent};
use model::prune_mode::PruneMode;
use model::settings::{ImagesSettings, LogFilter};
use model::time::UnixMillis;
use std::collections::BTreeMap;

/// Most labels, and most characters of a label's name and of its value.
const LABELS_MOST: usize = 64;
const LABEL_NAME_MAX_CHARS: usize = 63;
const LABEL_VALUE_MAX_CHARS: usize = 253;
/// Most characters of a log filter.
const LOG_FILTER_MAX_CHARS: usize = 1024;
/// More than any host has.
const CORES_MOST: u32 = 1_000_000;
const BYTES_MOST: u64 = u64::MAX >> 1;

pub(super) fn read<'t>(reader: &mut Reader<'t>, node: Node<'t>) -> DesiredAgent {
    let mut agent = DesiredAgent::default();
    if node.is_null() {
        return agent;
    }
    reader.object(node, |reader, name, value| match name {
        "enabled" => agent.enabled = reader.wish_truth(value),
        "draining" => agent.draining = reader.wish_truth(value),
        "drain_at" => agent.drain_at = reader.wish_text(value, instant),
        "labels" => agent.labels = labels(reader, value),
        "zone" => agent.zone = reader.wish_text(value, short),
        "pool" => agent.pool = reader.wish_text(value, short),
        "max_workspaces" => agent.max_workspaces = count(reader, value),
        "overrides" => agent.overrides = overrides(reader, value),
        "heartbeat_interval_s" => agent.heartbeat_interval_s = reader.wish_whole(value, 5..=300),
        "reconcile_interval_s" => agent.sample_interval_s = reader.wish_whole(value, 5..=3600),
        "log_level" => agent.log_level = reader.wish_text(value, log_filter),
        "prune" => agent.prune = reader.wish_text(value, prune),
        "disk_usage_limit" => agent.disk_usage_limit_pct = reader.wish_share_pct(value, 10),
        "max_concurrent_docker_pulls" => {
            agent.concurrent_pulls = reader.wish_whole(value, 1..=ImagesSettings::CONCURRENT_PULLS_MOST);
        }
        // Of the contract, and for parts of the agent that read them themselves.
        "metrics" | "retention_period" => reader.inert(value),
        _ => reader.unknown(value),
    });
    agent
}

/// An instant in RFC 3339.
pub(super) fn instant(text: &str) -> Result<UnixMillis, String> {
    let read: Result<jiff::Timestamp, _> = text.parse();
    let expected = |_| "expected an instant as 2026-03-31T13:13:13Z".to_owned();
    read.map(|at| UnixMillis(at.as_millisecond())).map_err(expected)
}

fn short(text: &str) -> Result<String, String> {
    let fits = (1..=LABEL_VALUE_MAX_CHARS).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    let expected = || format!("expected one line of 1 to {LABEL_VALUE_MAX_CHARS} characters, or null");
    fits.then(|| text.to_owned()).ok_or_else(expected)
}

fn log_filter(text: &str) -> Result<LogFilter, String> {
    if text.chars().count() > LOG_FILTER_MAX_CHARS {
        return Err(format!("expected at most {LOG_FILTER_MAX_CHARS} characters"));
    }
    text.parse()
}

/// The words of the contract alone.
fn prune(text: &str) -> Result<PruneMode, String> {
    let known = [PruneMode::Off, PruneMode::Normal, PruneMode::Aggressive];
    let expected = || format!("expected one of {}", known.map(PruneMode::code).join(", "));
    known.into_iter().find(|mode| mode.code() == text).ok_or_else(expected)
}

fn count<'t>(reader: &mut Reader<'t>, node: Node<'t>) -> Desired<u32> {
    match reader.wish_whole(node, 0..=u64::from(u32::MAX)) {
        Desired::Value(number) => u32::try_from(number).map_or(Desired::Absent, Desired::Value),
        Desired::Absent => Desired::Absent,
        Desired::LocalDefault => Desired::LocalDefault,
        Desired::Unsupported(why) => Desired::Unsupported(why),
    }
}

fn labels<'t>(reader: &mut Reader<'t>, node: Node<'t>) -> Desired<BTreeMap<String, String>> {
    if node.is_null() {
        return Desired::LocalDefault;
    }
    let number = node.members().count();
    if number > LABELS_MOST {
        reader.refuse(node, format!("has {number} labels, and {LABELS_MOST} is the most"));
        return Desired::Absent;
    }
    let (mut all, mut odd) = (BTreeMap::new(), None);
    reader.object(node, |reader, name, value| {
        if value.is_null() {
            return reader.refuse(value, "expected a string, found null; leave a label out that is not wanted");
        }
        let Some(text) = reader.text(value) else { return };
        let too_long = |what: &str, text: &str, most: usize| {
            let long = text.chars().count();
            (long > most).then(|| format!("the {what} of a label has {long} characters, and {most} is the most"))
        };
        let long =
            too_long("name", name, LABEL_NAME_MAX_CHARS).or_else(|| too_long("value", &text, LABEL_VALUE_MAX_CHARS));
        if let Some(long) = long {
            return reader.refuse(value, long);
        }
        if name.is_empty() || name.chars().chain(text.chars()).any(char::is_control) {
            odd = Some(value);
        }
        all.insert(name.to_owned(), text);
    });
    match odd {
        Some(label) => reader.unsupported(label, "a label has an empty name, or a control character in it"),
        None if node.is_object() => Desired::Value(all),
        None => Desired::Absent,
    }
}

fn overrides<'t>(reader: &mut Reader<'t>, node: Node<'t>) -> CapacityOverrides {
    if node.is_null() {
        return CapacityOverrides {
            millicores: Desired::LocalDefault,
            memory_bytes: Desired::LocalDefault,
            cuda_gpus: Desired::LocalDefault,
        };
    }
    let mut all = CapacityOverrides::default();
    reader.object(node, |reader, name, value| match name {
        "cores" => all.millicores = reader.wish_millicores(value, CORES_MOST),
        "memory" => all.memory_bytes = reader.wish_whole(value, 0..=BYTES_MOST),
        "cuda_gpus" => all.cuda_gpus = count(reader, value),
        _ => reader.unknown(value),
    });
    all
}
