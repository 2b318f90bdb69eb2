//! Candidates that the host knows: its GPUs, the MIG profiles that they can have, its workspaces.

use super::found::{Found, PARTS, VALUES};
use crate::daemon::Daemon;
use model::features::FeatureName;
use model::mig::products::{PRODUCTS, Product};
use model::policy::{Act, SettingAct};
use std::collections::BTreeSet;
use std::time::Duration;
use wire::dbus::gpu::GpuView;
use wire::dbus::snapshot::Snapshot;

/// Longer nobody waits for a word: without an answer by then there are no candidates.
const WITHIN: Duration = Duration::from_millis(800);

/// The arguments whose values are completed here, by their names in the description of the commands.
#[cfg(test)]
pub(super) const ARGUMENTS: [&str; 10] =
    ["gpu", "address", "gpus", "id", "layout", "want", "present", "product", "feature", "operation"];

/// What an argument of that name could be; none where it is no matter of the host.
pub(super) fn of(argument: &str, current: &str, bus: Option<String>) -> Option<Found> {
    let plain = |values: Vec<(String, String)>| Found {
        how: VALUES,
        values: values.into_iter().filter(|(value, _)| value.starts_with(current)).collect(),
    };
    Some(match argument {
        "gpu" | "address" => Found { how: VALUES, values: gpus(ask(bus).as_ref(), current) },
        "gpus" => listed(current, |part| gpus(ask(bus).as_ref(), part)),
        "id" => plain(workspaces(ask(bus).as_ref())),
        "layout" => listed(current, |part| profiles(&of_host(ask(bus).as_ref()), part)),
        "want" | "present" => listed(current, |part| profiles(&PRODUCTS.iter().collect::<Vec<_>>(), part)),
        "product" => plain(PRODUCTS.iter().map(|product| (product.name.to_owned(), String::new())).collect()),
        "feature" => plain(FeatureName::ALL.iter().map(|name| (name.code().to_owned(), String::new())).collect()),
        "operation" => plain(operations()),
        _ => return None,
    })
}

/// What the daemon shows; none where it does not answer in time.
fn ask(bus: Option<String>) -> Option<Snapshot> {
    let asked =
        async { Ok(tokio::time::timeout(WITHIN, async { Daemon::connect(bus).await?.snapshot().await }).await) };
    crate::block_on(asked).ok()?.ok()?.ok()
}

/// A list with commas: its last part is completed, and what is before stays.
fn listed(current: &str, of: impl FnOnce(&str) -> Vec<(String, String)>) -> Found {
    let part = current.rsplit(',').next().unwrap_or_default();
    let before = current.strip_suffix(part).unwrap_or_default();
    let values = of(part).into_iter().map(|(value, what)| (format!("{before}{value}"), what)).collect();
    Found { how: PARTS, values }
}

/// GPUs by address, as much of it as was typed; by UUID where that was begun.
fn gpus(seen: Option<&Snapshot>, current: &str) -> Vec<(String, String)> {
    let all = seen.iter().flat_map(|snapshot| &snapshot.gpus);
    all.filter_map(|gpu| Some((name_of(gpu, current)?, described(gpu)))).collect()
}

fn name_of(gpu: &GpuView, current: &str) -> Option<String> {
    let address = gpu.address.as_str();
    let short = address.strip_prefix("0000:");
    let names = [Some(address), short, gpu.uuid.as_deref().filter(|_| !current.is_empty())];
    names.into_iter().flatten().find(|name| name.starts_with(current)).map(str::to_owned)
}

fn described(gpu: &GpuView) -> String {
    let name = gpu.name.clone().unwrap_or_else(|| gpu.pci_id.clone());
    format!("{name}, {}", gpu.usage)
}

fn workspaces(seen: Option<&Snapshot>) -> Vec<(String, String)> {
    let all = seen.iter().flat_map(|snapshot| &snapshot.workspaces);
    all.map(|one| (one.workspace_id.clone(), format!("{}, {}", one.kind, one.state))).collect()
}

/// The products of this host that can be cut up.
fn of_host(seen: Option<&Snapshot>) -> Vec<&'static Product> {
    let all = seen.iter().flat_map(|snapshot| &snapshot.gpus);
    let ids: BTreeSet<&str> = all.map(|gpu| gpu.pci_id.as_str()).collect();
    ids.into_iter().filter_map(Product::find).collect()
}

fn profiles(products: &[&'static Product], current: &str) -> Vec<(String, String)> {
    let catalogs = products.iter().filter_map(|product| Some((product.name, product.catalog()?)));
    let mut named: Vec<(String, String)> = Vec::new();
    for (product, catalog) in catalogs {
        for name in catalog.names().into_iter().filter(|name| name.starts_with(current)) {
            if !named.iter().any(|(known, _)| *known == name) {
                named.push((name, product.to_owned()));
            }
        }
    }
    named
}

fn operations() -> Vec<(String, String)> {
    let acts = Act::ALL.iter().map(|act| act.code());
    acts.chain(SettingAct::ALL.iter().map(|act| act.code())).map(|code| (code.to_owned(), String::new())).collect()
}
