//! Faults of CDI specifications: files that name what is no longer there.

use super::doctor_facts::{CdiSpec, DoctorFacts};
use super::rule::{Check, Hit, Ruled, Severity, known};
use std::collections::BTreeMap;

pub(super) const CHECKS: [Check; 4] = [
    Check {
        code: "cdi_spec_stale",
        severity: Severity::Error,
        why: "a container that asks for this GPU by CDI cannot be started",
        cure: "generate it again: `nvidia-ctk cdi generate --output={}`",
        rule: stale,
    },
    Check {
        code: "cdi_spec_of_other_driver",
        severity: Severity::Error,
        why: "containers get libraries of a driver that is not loaded: 'Driver/library version mismatch' inside",
        cure: "generate it again: `nvidia-ctk cdi generate --output={}`",
        rule: other_driver,
    },
    Check {
        code: "cdi_spec_broken",
        severity: Severity::Error,
        why: "container engines skip a specification that they cannot read, and so does gpuhostd: its devices do not exist",
        cure: "generate it again (`nvidia-ctk cdi generate --output={}`) or remove it",
        rule: broken,
    },
    Check {
        code: "cdi_device_defined_twice",
        severity: Severity::Error,
        why: "Docker refuses a device that two specifications of one directory define",
        cure: "keep one of the files and remove the other: {}",
        rule: twice,
    },
];

fn specs(facts: &DoctorFacts) -> Result<&[CdiSpec], super::rule::Skipped> {
    facts.served()?;
    known(&facts.nvidia.cdi, "the CDI specifications").map(Vec::as_slice)
}

fn stale(facts: &DoctorFacts) -> Ruled {
    // One written for another driver misses its files too, and is reported there.
    let driver = facts.kernel.nvidia_module.known();
    let same = |spec: &&CdiSpec| driver.is_none_or(|driver| spec.versions.iter().all(|version| version == driver));
    let found = |spec: &CdiSpec| {
        let few: Vec<&str> = spec.missing.iter().map(String::as_str).take(3).collect();
        format!("{} of its paths are not there: {}", spec.missing.len(), few.join(", "))
    };
    let stale = specs(facts)?.iter().filter(|spec| !spec.missing.is_empty()).filter(same);
    Ok(stale.map(|spec| Hit::of(&spec.path, found(spec))).collect())
}

fn broken(facts: &DoctorFacts) -> Ruled {
    let broken = specs(facts)?.iter().filter_map(|spec| Some(Hit::of(&spec.path, spec.broken.as_ref()?)));
    Ok(broken.collect())
}

fn other_driver(facts: &DoctorFacts) -> Ruled {
    let specs = specs(facts)?;
    let driver = known(&facts.kernel.nvidia_module, "/sys/module/nvidia/version")?;
    let wrong = specs.iter().filter_map(|spec| {
        let other = spec.versions.iter().find(|version| *version != driver)?;
        Some(Hit::of(&spec.path, format!("it names libraries of {other}, the loaded driver is {driver}")))
    });
    Ok(wrong.collect())
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A file in /run/cdi goes before one in /etc/cdi; only two of one folder are a conflict.
fn twice(facts: &DoctorFacts) -> Ruled {
    let mut owners: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for spec in specs(facts)? {
        for device in &spec.devices {
            owners.entry((folder(&spec.path), device)).or_default().push(&spec.path);
        }
    }
    let conflict = owners.into_iter().find(|(_, paths)| paths.len() > 1);
    Ok(conflict
        .map(|((_, device), paths)| Hit::of(paths.join(" "), format!("both define nvidia.com/gpu={device}")))
        .into_iter()
        .collect())
}
