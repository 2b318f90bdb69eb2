//! Which entry of a configuration is about which GPU of a host.

use super::host_gpus::HostGpu;
use super::{DeviceName, Devices, FileError, MigConfig, MigConfigEntry};

/// Finds for each GPU the entry that is about it; none where no entry names it.
///
/// `all` passes over GPUs that cannot do MIG, whatever `mig-enabled` reports.
///
/// # Errors
/// An entry names a GPU that the host does not have, or wants MIG on one that cannot do it; or two entries are about one GPU.
pub fn choose<'a>(config: &'a MigConfig, host: &[HostGpu]) -> Result<Vec<Option<&'a MigConfigEntry>>, FileError> {
    let mut chosen: Vec<Option<(usize, &MigConfigEntry)>> = vec![None; host.len()];
    for (number, entry) in config.entries.iter().enumerate() {
        let field = |field: &str| format!("mig-configs.{}[{number}].{field}", super::shown(&config.name));
        let fault = |why: String| FileError { line: Some(entry.line), field: field("devices"), why };
        for at in named(entry, host).map_err(fault)? {
            let Some(place) = chosen.get_mut(at) else { continue };
            if let Some((earlier, other)) = place
                && *earlier != number
            {
                let gpu = host.get(at).map(|gpu| gpu.address.to_string()).unwrap_or_default();
                let why = format!(
                    "GPU {gpu} is named by entry [{earlier}] (line {}) too; only one entry may name it",
                    other.line
                );
                return Err(fault(why));
            }
            *place = Some((number, entry));
        }
    }
    Ok(chosen.into_iter().map(|place| place.map(|(_, entry)| entry)).collect())
}

/// The GPUs that an entry is about, by their place in the list.
fn named(entry: &MigConfigEntry, host: &[HostGpu]) -> Result<Vec<usize>, String> {
    let passes = |gpu: &HostGpu| entry.filter.is_empty() || entry.filter.iter().any(|id| id.matches(gpu.id));
    let names = match &entry.devices {
        Devices::All => {
            let all = host.iter().enumerate().filter(|(_, gpu)| gpu.is_capable() && passes(gpu));
            return Ok(all.map(|(at, _)| at).collect());
        }
        Devices::These(names) => names,
    };
    let mut found = Vec::new();
    for name in names {
        let at = find(name, host).ok_or_else(|| unknown(name, host))?;
        let Some(gpu) = host.get(at).filter(|gpu| passes(gpu)) else { continue };
        match (gpu.is_capable(), entry.enabled) {
            (true, _) => found.push(at),
            (false, true) => return Err(format!("GPU {name} ({}, {}) cannot do MIG", gpu.address, gpu.id)),
            (false, false) => {}
        }
    }
    Ok(found)
}

fn find(name: &DeviceName, host: &[HostGpu]) -> Option<usize> {
    match name {
        DeviceName::Index(index) => usize::try_from(*index).ok().filter(|at| *at < host.len()),
        DeviceName::Address(address) => host.iter().position(|gpu| gpu.address == *address),
        DeviceName::Uuid(uuid) => host.iter().position(|gpu| gpu.uuid.as_ref() == Some(uuid)),
    }
}

fn unknown(name: &DeviceName, host: &[HostGpu]) -> String {
    let numbered = host.iter().enumerate().map(|(index, gpu)| format!("{index} = {} ({})", gpu.address, gpu.id));
    let all = numbered.collect::<Vec<_>>().join(", ");
    let all = if all.is_empty() { "there is no GPU that the driver lists".to_owned() } else { all };
    format!("there is no GPU {name}; this host has {all}")
}
