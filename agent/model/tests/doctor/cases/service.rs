//! Cases of the daemon itself.

use super::{Case, case, known, named, units};
use model::absence::{Absence, Reading};
use model::doctor::doctor_facts::DoctorFacts;

const DAEMON: &str = "gpuhostd.service";

fn mode(facts: &mut DoctorFacts, path: &str, mode: u32) {
    facts.service.guarded.iter_mut().find(|file| file.path == path).unwrap().mode = mode;
}

fn off_the_bus(facts: &mut DoctorFacts) {
    facts.service.daemon = Reading::Absent(Absence::None);
}

/// Nothing of the daemon is installed.
fn without_daemon(facts: &mut DoctorFacts) {
    units(facts).retain(|unit| unit.name != DAEMON);
    off_the_bus(facts);
}

pub(super) fn cases() -> Vec<Case> {
    [unit(), bus(), files()].into_iter().flatten().collect()
}

fn unit() -> Vec<Case> {
    vec![
        case(
            "daemon_failed",
            |f| {
                off_the_bus(f);
                named(f, DAEMON).active = "failed".to_owned();
                named(f, DAEMON).result = "exit-code".to_owned();
            },
            |f| {
                // Just being started.
                off_the_bus(f);
                named(f, DAEMON).active = "activating".to_owned();
            },
        ),
        case(
            "daemon_not_running",
            |f| {
                off_the_bus(f);
                named(f, DAEMON).active = "inactive".to_owned();
            },
            without_daemon,
        ),
        case(
            "daemon_masked",
            |f| {
                off_the_bus(f);
                named(f, DAEMON).active = "inactive".to_owned();
                named(f, DAEMON).load = "masked".to_owned();
            },
            |f| named(f, "nvidia-persistenced.service").load = "masked".to_owned(),
        ),
        case(
            "daemon_not_enabled",
            |f| named(f, DAEMON).enabled = "disabled".to_owned(),
            |f| named(f, DAEMON).enabled = "static".to_owned(),
        ),
        case(
            "hand_unreachable",
            |f| known(&mut f.service.daemon).hands_unreachable.push("the host hand is unreachable".to_owned()),
            |f| {
                // Its socket is not there: that is said already.
                known(&mut f.service.daemon).hands_unreachable.push("the host hand is unreachable".to_owned());
                known(&mut f.service.missing_sockets).push("/run/gpuhostd/hands/host.sock".to_owned());
            },
        ),
        case(
            "hand_socket_missing",
            |f| known(&mut f.service.missing_sockets).push("/run/gpuhostd/hands/host.sock".to_owned()),
            |f| {
                without_daemon(f);
                known(&mut f.service.missing_sockets).push("/run/gpuhostd/hands/host.sock".to_owned());
            },
        ),
    ]
}

fn bus() -> Vec<Case> {
    vec![
        case("daemon_not_on_bus", off_the_bus, |f| {
            off_the_bus(f);
            f.service.bus_socket = Reading::Known(false);
        }),
        case(
            "bus_missing",
            |f| {
                f.service.bus_socket = Reading::Known(false);
                off_the_bus(f);
            },
            |f| {
                without_daemon(f);
                f.service.bus_socket = Reading::Known(false);
            },
        ),
        case("version_differs", |f| f.gpuhostd = "0.2.0".to_owned(), off_the_bus),
        case(
            "polkit_missing",
            |f| f.service.polkit = Reading::Known(false),
            |f| {
                without_daemon(f);
                f.service.polkit = Reading::Known(false);
            },
        ),
    ]
}

fn files() -> Vec<Case> {
    vec![
        case(
            "config_invalid",
            |f| f.service.config_error = Reading::Known("/etc/gpuhostd/config.toml: line 2".to_owned()),
            |f| f.service.config_error = Reading::Absent(Absence::NoPermission),
        ),
        case(
            "policy_invalid",
            |f| f.service.policy_error = Reading::Known("line 3: unknown field".to_owned()),
            |f| f.service.policy_error = Reading::Absent(Absence::NoPermission),
        ),
        case(
            "configured_file_missing",
            |f| {
                let (setting, path) = ("manager.ca_file".to_owned(), "/etc/gpuhostd/ca.pem".to_owned());
                f.service.missing_files.push((setting, path));
            },
            |f| f.service.guarded.clear(),
        ),
        case(
            "secret_readable_by_others",
            |f| mode(f, "/etc/gpuhostd/token", 0o644),
            |f| mode(f, "/etc/gpuhostd/token", 0o440),
        ),
        case(
            "rules_writable_by_others",
            |f| mode(f, "/etc/gpuhostd/policy.toml", 0o664),
            |f| mode(f, "/etc/gpuhostd/policy.toml", 0o444),
        ),
    ]
}
