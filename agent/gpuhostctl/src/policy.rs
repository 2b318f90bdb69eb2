//! `policy show` and `policy explain`: what the policy file allows, and which key shows it. They need no daemon.

use crate::args::PolicyCommand;
use crate::failure::Failure;
use crate::input;
use crate::text::{Look, paint, print, print_json};
use files::ReadError;
use model::PciAddress;
use model::policy::{Act, Explanation, Policy, Requester, SettingAct, read};
use std::path::{Path, PathBuf};

/// Where an administrator writes it.
const FILE: &str = "/etc/gpuhostd/policy.toml";
/// More than any policy needs.
const FILE_MAX_BYTES: usize = 1024 * 1024;

/// Runs one of them.
pub(crate) fn run(what: &PolicyCommand, json: bool) -> Result<(), Failure> {
    match what {
        PolicyCommand::Show { file } => show(&policy(file.as_deref())?, json),
        PolicyCommand::Explain { operation, gpu, file } => {
            explain(&policy(file.as_deref())?, operation, gpu.as_deref(), json)
        }
    }
}

/// The policy in a file; in the daemon's own place no file means the defaults.
pub(crate) fn policy(named: Option<&Path>) -> Result<Policy, Failure> {
    let path = named.map_or_else(|| PathBuf::from(FILE), Path::to_owned);
    let text = match input::read_text(&path, FILE_MAX_BYTES) {
        Err(Failure::File(ReadError::Missing { .. })) if named.is_none() => String::new(),
        other => other?,
    };
    read(&path.display().to_string(), &text).map_err(|fault| Failure::Usage { why: fault.to_string() })
}

fn show(policy: &Policy, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(policy);
    }
    let list = |addresses: &[PciAddress], nothing: &str| {
        let named: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        if named.is_empty() { nothing.to_owned() } else { named.join(", ") }
    };
    let (host, mig, nvidia) = (&policy.host.passthrough, &policy.host.mig, &policy.host.nvidia);
    let manager = &policy.manager;
    print(&[
        "[host.passthrough]  the upper limit for all changes".to_owned(),
        format!("  allowed             {}", host.allowed),
        format!("  never               {}", list(&host.never, "none")),
        format!("  boot_vga            {}", host.boot_vga),
        format!("  memory_reserve_mib  {}", host.memory_reserve_mib),
        format!("  changes_per_minute  {}", host.changes_per_minute),
        "[host.mig]".to_owned(),
        format!("  allowed             {}", mig.allowed),
        format!("  never               {}", list(&mig.never, "none")),
        format!("  changes_per_minute  {}", mig.changes_per_minute),
        "[host.nvidia]".to_owned(),
        format!("  driver              {}", nvidia.driver),
        format!("  toolkit             {}", nvidia.toolkit),
        format!(
            "  images              {}",
            if nvidia.images.is_empty() { "none".to_owned() } else { nvidia.images.join(", ") }
        ),
        format!("  docker_config       {}", nvidia.docker_config),
        format!("  cdi                 {}", nvidia.cdi),
        format!("  docker_restart      {}", nvidia.docker_restart),
        "[manager]  within that limit".to_owned(),
        format!("  enable              {}", manager.enable),
        format!("  drain               {}", manager.drain),
        format!("  labels              {}", manager.labels),
        format!("  intervals           {}", manager.intervals),
        format!("  overrides           {}", manager.overrides),
        format!("  features            {}", manager.features),
        format!("  passthrough         {}", manager.passthrough),
        format!("  passthrough_gpus    {}", list(&manager.passthrough_gpus, "all that [host] allows")),
        format!("  mig                 {}", manager.mig),
        format!("  mig_gpus            {}", list(&manager.mig_gpus, "all that [host] allows")),
        format!("  nvidia              {}", manager.nvidia),
        format!("  docker_restart      {}", manager.docker_restart),
        format!("  changes_per_minute  {}", manager.changes_per_minute),
    ])
}

fn explain(policy: &Policy, operation: &str, gpu: Option<&str>, json: bool) -> Result<(), Failure> {
    let address = gpu.map(str::parse::<PciAddress>).transpose();
    let address = address.map_err(|fault| Failure::Usage { why: fault.to_string() })?;
    let of = |requester| explanation(policy, operation, requester, address);
    let (local, manager) = (of(Requester::Local)?, of(Requester::Manager)?);
    if json {
        return print_json(&serde_json::json!({ "local": local, "manager": manager }));
    }
    let line = |who: &str, said: &Explanation| {
        let (word, look) = if said.allowed { ("allowed", Look::Good) } else { ("denied", Look::Bad) };
        format!("{who}  {}  {}: {}", paint(word, look), said.rule, said.why)
    };
    print(&[line("on this host  ", &local), line("for a manager ", &manager)])
}

/// What the policy reports about a change of a GPU or about a kind of settings.
fn explanation(
    policy: &Policy,
    operation: &str,
    requester: Requester,
    gpu: Option<PciAddress>,
) -> Result<Explanation, Failure> {
    if let Some(act) = Act::from_code(operation) {
        return Ok(policy.explain(act, requester, gpu));
    }
    match (SettingAct::from_code(operation), gpu) {
        (Some(act), None) => Ok(policy.explain_setting(act, requester)),
        (Some(_), Some(_)) => {
            Err(Failure::Usage { why: format!("{operation} is allowed or denied for the whole host: name no GPU") })
        }
        (None, _) => {
            let codes = Act::ALL.iter().map(|act| act.code()).chain(SettingAct::ALL.iter().map(|act| act.code()));
            let known = codes.collect::<Vec<_>>().join(", ");
            Err(Failure::Usage { why: format!("{operation:?} is not an operation; expected one of: {known}") })
        }
    }
}
