//! The section `gpus`: what each GPU is for.

use super::document_reader::Reader;
use super::json_node::Node;
use super::mig_wishes;
use model::desired::{Desired, DesiredUse, GpuEntry, GpuMatch};
use model::features::FeatureName;
use model::printable::printable;
use std::str::FromStr;

/// Most entries.
pub(super) const GPUS_MOST: usize = 256;
/// Most unknown names of features that are kept of one entry, and most characters of one.
const UNKNOWN_MOST: usize = 16;
const NAME_MAX_CHARS: usize = 64;

pub(super) fn read<'t>(reader: &mut Reader<'t>, node: Node<'t>) -> Vec<GpuEntry> {
    let mut all = Vec::new();
    if !node.is_null() {
        reader.list(node, GPUS_MOST, |reader, value| all.push(entry(reader, value)));
    }
    all
}

fn entry<'t>(reader: &mut Reader<'t>, node: Node<'t>) -> GpuEntry {
    let mut entry = GpuEntry::default();
    let mut has_match = false;
    reader.object(node, |reader, name, value| match name {
        "match" => {
            has_match = true;
            entry.of = matched(reader, value);
        }
        "use" => entry.usage = reader.wish_text(value, usage),
        "features" => features(reader, value, &mut entry),
        "mig" if value.is_null() => {}
        "mig" => entry.mig = mig_wishes::read(reader, value),
        "security_context" if value.is_null() => {}
        "security_context" => {
            entry.security_context = reader.text(value);
        }
        _ => reader.unknown(value),
    });
    if !has_match && node.is_object() {
        entry.of.wrong = Some(nothing(reader, node));
    }
    entry
}

/// Nothing names the GPU.
fn nothing<'t>(reader: &mut Reader<'t>, node: Node<'t>) -> String {
    let why = "the entry has no match: expected at least one of uuid, bdf and pci_id".to_owned();
    reader.item(node, &why);
    why
}

fn matched<'t>(reader: &mut Reader<'t>, node: Node<'t>) -> GpuMatch {
    let mut of = GpuMatch::default();
    if node.is_null() {
        of.wrong = Some(nothing(reader, node));
        return of;
    }
    let mut wrong = None;
    reader.object(node, |reader, name, value| {
        let read = match name {
            "uuid" => key(reader, value, &mut of.uuid),
            "bdf" => key(reader, value, &mut of.bdf),
            "pci_id" => key(reader, value, &mut of.pci_id),
            // All keys must agree, and nothing is known of this one: to leave it out could name another GPU.
            _ => Err("this version does not know this key, so that nothing matches".to_owned()),
        };
        if let Err(why) = read {
            reader.item(value, &why);
            wrong.get_or_insert(format!("{}: {why}", printable(name, NAME_MAX_CHARS)));
        }
    });
    if wrong.is_none() && of == GpuMatch::default() && node.is_object() {
        wrong = Some(nothing(reader, node));
    }
    GpuMatch { wrong, ..of }
}

/// A key of a match; `null` is no key.
fn key<'t, T: FromStr<Err: ToString>>(
    reader: &mut Reader<'t>,
    node: Node<'t>,
    to: &mut Option<T>,
) -> Result<(), String> {
    if let Some(text) = reader.text(node) {
        *to = Some(text.parse().map_err(|fault: T::Err| fault.to_string())?);
    }
    Ok(())
}

fn usage(text: &str) -> Result<DesiredUse, String> {
    let known = || DesiredUse::ALL.iter().map(|one| one.code()).collect::<Vec<_>>().join(", ");
    DesiredUse::from_code(text).ok_or_else(|| format!("expected one of {}", known()))
}

fn features<'t>(reader: &mut Reader<'t>, node: Node<'t>, entry: &mut GpuEntry) {
    if node.is_null() {
        entry.features.extend(FeatureName::ALL.iter().map(|name| (*name, Desired::LocalDefault)));
        return;
    }
    reader.object(node, |reader, name, value| {
        let wish = switch(reader, value);
        match FeatureName::from_code(name) {
            Some(feature) if wish.is_said() => {
                entry.features.insert(feature, wish);
            }
            Some(_) => {}
            None => {
                let known = FeatureName::ALL.iter().map(|name| name.code()).collect::<Vec<_>>().join(", ");
                reader.item(value, &format!("this feature is not known: expected one of {known}"));
                if entry.unknown_features.len() < UNKNOWN_MOST {
                    entry.unknown_features.push(printable(name, NAME_MAX_CHARS));
                }
            }
        }
    });
}

/// `{"enabled": true}`.
fn switch<'t>(reader: &mut Reader<'t>, node: Node<'t>) -> Desired<bool> {
    if node.is_null() {
        return Desired::LocalDefault;
    }
    let mut wish = Desired::Absent;
    reader.object(node, |reader, name, value| match name {
        "enabled" => wish = reader.wish_truth(value),
        _ => reader.unknown(value),
    });
    wish
}
