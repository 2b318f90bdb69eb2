//! `mig assert`: whether this host is as a configuration states, or whether the file alone is right; with mig-parted's flags.

use super::mig_args::Assert;
use super::mig_live::LiveHost;
use super::mig_variables::{flag, selected};
use super::usage;
use crate::failure::Failure;
use crate::text::{Look, clean, paint, print, print_json};
use model::mig::files::assert::{Asserted, assert};

/// Checks the file, or compares it with the host.
pub(super) async fn run(bus: Option<String>, how: &Assert, json: bool) -> Result<(), Failure> {
    let valid_config = flag(how.valid_config, "MIG_PARTED_VALID_CONFIG")?;
    let mode_only = flag(how.mode_only, "MIG_PARTED_MODE_CHANGE_ONLY")?;
    let (file, config) = selected(&how.config)?;
    if valid_config {
        if json {
            return print_json(&serde_json::json!({ "valid": true, "selected-config": config.name }));
        }
        return print(&[format!("{file}: valid, and has the configuration {}", clean(&config.name))]);
    }
    let live = LiveHost::read(bus).await?;
    let host = live.as_files_have_it()?;
    let asserted = assert(&config, &host, mode_only).map_err(|fault| usage(&file, &fault))?;
    // What could not be looked at is neither as wanted nor otherwise.
    for gpu in live.gpus.iter().filter(|gpu| gpu.look.as_ref().is_some_and(Result::is_err)) {
        let is_named = !asserted.unnamed.iter().any(|address| address.to_string() == gpu.view.address);
        if is_named || how.all_gpus {
            gpu.look()?;
        }
    }
    let holds = asserted.holds(how.all_gpus);
    if json {
        let differs = asserted.differs.iter();
        let differs = differs.map(|(gpu, what)| serde_json::json!({ "gpu": gpu, "differs": what.to_string() }));
        let differs: Vec<_> = differs.collect();
        let view = serde_json::json!({
            "holds": holds, "selected-config": config.name, "differs": differs, "unnamed": asserted.unnamed,
        });
        print_json(&view)?;
    } else {
        print(&lines(&live, &asserted, &config.name, holds, how.all_gpus))?;
    }
    if holds { Ok(()) } else { Err(Failure::NotAsWanted) }
}

fn lines(live: &LiveHost, asserted: &Asserted, name: &str, holds: bool, all_gpus: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for gpu in &live.gpus {
        let is_it = |address: &model::PciAddress| address.to_string() == gpu.view.address;
        let differs = asserted.differs.iter().filter(|(address, _)| is_it(address));
        let said: Vec<String> = differs.map(|(_, what)| what.to_string()).collect();
        let said = if asserted.unnamed.iter().any(is_it) {
            let word =
                if all_gpus { "not named by any entry (--all-gpus)" } else { "not named by any entry: not compared" };
            word.to_owned()
        } else if said.is_empty() {
            continue;
        } else {
            said.join("; ")
        };
        lines.push(format!("{:>2}  {}  {}", gpu.index, gpu.view.address, clean(&said)));
    }
    let name = clean(name);
    lines.push(if holds {
        paint(&format!("This host is as the configuration {name} states."), Look::Good)
    } else {
        paint(&format!("This host is not as the configuration {name} states."), Look::Bad)
    });
    lines
}
