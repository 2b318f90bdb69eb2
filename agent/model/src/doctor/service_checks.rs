//! Faults of the daemon itself: not running, another version, wrong configuration, files that others may read.

use super::doctor_facts::{DoctorFacts, Guarded, GuardedKind};
use super::rule::{Check, Hit, Ruled, Severity, Skipped, hit_if, known, only_if};

pub(super) const CHECKS: [Check; 15] = [
    Check {
        code: "daemon_failed",
        severity: Severity::Error,
        why: "the daemon exits as soon as it is started",
        cure: "`journalctl -u {} -b -n 50` shows why",
        rule: failed,
    },
    Check {
        code: "daemon_not_running",
        severity: Severity::Error,
        why: "this host is not observed and does not check in with the manager",
        cure: "`systemctl enable --now {}`",
        rule: not_running,
    },
    Check {
        code: "daemon_masked",
        severity: Severity::Error,
        why: "a masked unit is never started",
        cure: "`systemctl unmask {} && systemctl enable --now gpuhostd`",
        rule: masked,
    },
    Check {
        code: "daemon_not_enabled",
        severity: Severity::Warning,
        why: "it runs now, but will not start at the next boot",
        cure: "`systemctl enable {}`",
        rule: not_enabled,
    },
    Check {
        code: "daemon_not_on_bus",
        severity: Severity::Error,
        why: "the daemon runs, but no program can talk to it",
        cure: "`systemctl restart gpuhostd`; `journalctl -u gpuhostd -b | grep -i bus` shows why it did not take its name",
        rule: not_on_bus,
    },
    Check {
        code: "version_differs",
        severity: Severity::Warning,
        why: "the running daemon is another version than the installed programs: it was not restarted after an upgrade",
        cure: "`systemctl restart gpuhostd` (workspaces go on running)",
        rule: version_differs,
    },
    Check {
        code: "config_invalid",
        severity: Severity::Error,
        why: "an invalid configuration is not applied: the daemon uses the last valid one, or the defaults",
        cure: "`gpuhostctl config check` names everything that is wrong; correct it, then `systemctl reload gpuhostd`",
        rule: config,
    },
    Check {
        code: "policy_invalid",
        severity: Severity::Error,
        why: "an invalid policy is not applied: the strictest one is in force, and every change is refused",
        cure: "correct what the message names in {}; `gpuhostctl doctor` again shows whether it is right",
        rule: policy,
    },
    Check {
        code: "configured_file_missing",
        severity: Severity::Error,
        why: "the configuration names a file that does not exist: the host cannot enrol, or trusts no manager",
        cure: "put the file there, or correct the setting; `gpuhostctl config check` shows its place",
        rule: file_missing,
    },
    Check {
        code: "secret_readable_by_others",
        severity: Severity::Error,
        why: "every user of this host can act as this host towards the manager",
        cure: "`chmod o-rwx {}`; then enrol again, because the secret may be known",
        rule: secret,
    },
    Check {
        code: "rules_writable_by_others",
        severity: Severity::Error,
        why: "anyone who can write this file decides what a manager may do to this host",
        cure: "`chown root {} && chmod go-w {}`",
        rule: rules,
    },
    Check {
        code: "hand_socket_missing",
        severity: Severity::Error,
        why: "without this hand the daemon cannot query the driver or Docker",
        cure: "`systemctl restart gpuhostd-host.socket gpuhostd-holders.socket gpuhostd-containers.socket gpuhostd-mig.socket gpuhostd-mig-mode.socket`",
        rule: sockets,
    },
    Check {
        code: "hand_unreachable",
        severity: Severity::Error,
        why: "without this hand the daemon cannot query the driver or Docker; where another process has replaced its socket, \
              systemd \
              still counts it as active",
        cure: "`systemctl restart gpuhostd-host.socket gpuhostd-holders.socket gpuhostd-containers.socket gpuhostd-mig.socket gpuhostd-mig-mode.socket`",
        rule: unreachable,
    },
    Check {
        code: "bus_missing",
        severity: Severity::Error,
        why: "without the message bus gpuhostctl and other programs cannot talk to the daemon",
        cure: "`apt install dbus` (or dbus-broker), `systemctl enable --now dbus.socket`",
        rule: bus,
    },
    Check {
        code: "polkit_missing",
        severity: Severity::Hint,
        why: "without polkit only root may change anything; no group of administrators can be authorized",
        cure: "`apt install polkitd` (`dnf install polkit`)",
        rule: polkit,
    },
];

const DAEMON: &str = "gpuhostd.service";

fn failed(facts: &DoctorFacts) -> Ruled {
    let unit = facts.unit(DAEMON)?;
    // One that is started again and again waits in between.
    let ill =
        unit.active == "failed" || (unit.active == "activating" && !["success", ""].contains(&unit.result.as_str()));
    hit_if(ill, || Hit::of("gpuhostd", format!("{DAEMON} is {} ({})", unit.active, unit.result)))
}

fn not_running(facts: &DoctorFacts) -> Ruled {
    let unit = facts.unit(DAEMON)?;
    only_if(unit.load != "masked")?;
    hit_if(unit.active == "inactive", || Hit::of("gpuhostd", format!("{DAEMON} is inactive")))
}

fn masked(facts: &DoctorFacts) -> Ruled {
    let units = known(&facts.service.units, "the units of systemd")?;
    let masked = units.iter().filter(|unit| unit.name.starts_with("gpuhostd") && unit.load == "masked");
    Ok(masked.map(|unit| Hit::of(&unit.name, "it is masked")).collect())
}

fn not_enabled(facts: &DoctorFacts) -> Ruled {
    let unit = facts.unit(DAEMON)?;
    hit_if(unit.active == "active" && unit.enabled == "disabled", || {
        Hit::of("gpuhostd", format!("{DAEMON} is active but disabled"))
    })
}

fn not_on_bus(facts: &DoctorFacts) -> Ruled {
    only_if(facts.unit(DAEMON)?.active == "active" && facts.service.bus_socket.get() == Some(true))?;
    hit_if(facts.service.daemon.is_none(), || {
        Hit::of("org.gpuhost.Agent1", format!("{DAEMON} is active, but its bus name has no owner"))
    })
}

fn version_differs(facts: &DoctorFacts) -> Ruled {
    let daemon = known(&facts.service.daemon, "the daemon on the bus")?;
    let found = || format!("the daemon is {}, the program {}", daemon.version, facts.gpuhostd);
    hit_if(daemon.version != facts.gpuhostd, || Hit::of("gpuhostd", found()))
}

fn config(facts: &DoctorFacts) -> Ruled {
    let error = known(&facts.service.config_error, "the configuration")?;
    Ok(vec![Hit::of("/etc/gpuhostd", error)])
}

fn policy(facts: &DoctorFacts) -> Ruled {
    let error = known(&facts.service.policy_error, "/etc/gpuhostd/policy.toml")?;
    Ok(vec![Hit::of("/etc/gpuhostd/policy.toml", error)])
}

fn file_missing(facts: &DoctorFacts) -> Ruled {
    let missing = facts.service.missing_files.iter();
    Ok(missing.map(|(setting, path)| Hit::of(path, format!("{setting} names it, but it does not exist"))).collect())
}

fn guarded(facts: &DoctorFacts, wrong: impl Fn(&Guarded) -> Option<String>) -> Ruled {
    Ok(facts.service.guarded.iter().filter_map(|file| wrong(file).map(|found| Hit::of(&file.path, found))).collect())
}

fn secret(facts: &DoctorFacts) -> Ruled {
    guarded(facts, |file| {
        let forbidden = match file.what {
            GuardedKind::Token => 0o007,
            GuardedKind::Credentials => 0o077,
            GuardedKind::Rules => return None,
        };
        (file.mode & forbidden != 0).then(|| format!("its mode is {:o}", file.mode))
    })
}

fn rules(facts: &DoctorFacts) -> Ruled {
    guarded(facts, |file| match file.what {
        GuardedKind::Rules if file.uid != 0 => Some(format!("it belongs to uid {}", file.uid)),
        GuardedKind::Rules if file.mode & 0o022 != 0 => Some(format!("its mode is {:o}", file.mode)),
        GuardedKind::Rules | GuardedKind::Token | GuardedKind::Credentials => None,
    })
}

/// Only a daemon of systemd's has them; one that starts its hands itself passes descriptors.
fn sockets(facts: &DoctorFacts) -> Ruled {
    only_if(facts.unit(DAEMON)?.active == "active")?;
    let missing = known(&facts.service.missing_sockets, "/run/gpuhostd/hands")?;
    Ok(missing.iter().map(|path| Hit::of(path, "it is not there")).collect())
}

fn unreachable(facts: &DoctorFacts) -> Ruled {
    only_if(facts.unit(DAEMON)?.active == "active")?;
    // A socket that is not there is reported already.
    only_if(facts.service.missing_sockets.known().is_none_or(Vec::is_empty))?;
    let daemon = known(&facts.service.daemon, "the daemon on the bus")?;
    Ok(daemon.hands_unreachable.iter().map(|why| Hit::of("gpuhostd", why)).collect())
}

/// Without the daemon's unit there is nobody to speak to.
fn installed(facts: &DoctorFacts) -> Result<(), Skipped> {
    facts.unit(DAEMON).map(|_| ())
}

fn bus(facts: &DoctorFacts) -> Ruled {
    installed(facts)?;
    let there = *known(&facts.service.bus_socket, "/run/dbus/system_bus_socket")?;
    hit_if(!there, || Hit::of("/run/dbus/system_bus_socket", "it is not there"))
}

fn polkit(facts: &DoctorFacts) -> Ruled {
    installed(facts)?;
    let there = *known(&facts.service.polkit, "polkit")?;
    hit_if(!there, || Hit::of("org.freedesktop.PolicyKit1", "no program on the bus provides it"))
}
