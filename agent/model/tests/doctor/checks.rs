//! Every check of the doctor: facts that trip it, facts that nearly do, and hosts where it must be silent.

use crate::cases::cases;
use crate::world::healthy;
use model::absence::{Absence, Reading};
use model::docker::ContainerEngine;
use model::doctor::doctor_facts::{DoctorFacts, KernelFacts, NvidiaFacts, Reach, ServiceFacts, TlsError};
use model::doctor::{CATALOGUE, Severity, diagnose};
use std::collections::BTreeSet;

fn codes(facts: &DoctorFacts) -> Vec<String> {
    diagnose(facts).findings.into_iter().map(|finding| finding.code).collect()
}

#[test]
fn nothing_is_found_on_a_healthy_host() {
    let diagnosis = diagnose(&healthy());
    assert!(diagnosis.findings.is_empty(), "{:#?}", diagnosis.findings);
    assert!(diagnosis.unchecked.is_empty(), "{:#?}", diagnosis.unchecked);
    assert!(!diagnosis.is_ill() && diagnosis.checks >= 40, "{}", diagnosis.checks);
}

#[test]
fn each_check_has_a_case_and_a_code_of_its_own() {
    let checks: Vec<&str> = CATALOGUE.iter().flat_map(|(_, checks)| checks.iter().map(|check| check.code)).collect();
    let codes: BTreeSet<&str> = checks.iter().copied().collect();
    assert_eq!(codes.len(), checks.len(), "a code stands for two checks");
    let tried: BTreeSet<&str> = cases().iter().map(|case| case.code).collect();
    assert_eq!(codes, tried, "checks and cases");
}

#[test]
fn each_check_finds_its_fault_and_nothing_else() {
    for case in cases() {
        let mut facts = healthy();
        (case.trip)(&mut facts);
        let found = codes(&facts);
        let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(found, [case.code].into(), "{}", case.code);
    }
}

#[test]
fn each_check_is_silent_where_it_is_only_nearly_so() {
    for case in cases() {
        let mut facts = healthy();
        (case.near)(&mut facts);
        let found = codes(&facts);
        assert!(!found.iter().any(|code| code == case.code), "{}: {found:?}", case.code);
    }
}

#[test]
fn each_finding_names_the_thing_and_the_cure() {
    for case in cases() {
        let mut facts = healthy();
        (case.trip)(&mut facts);
        for finding in diagnose(&facts).findings {
            let words = [&finding.subject, &finding.found, &finding.why, &finding.cure];
            assert!(words.iter().all(|text| !text.trim().is_empty()), "{finding:?}");
            assert!(!finding.cure.contains("{}"), "{finding:?}");
        }
    }
}

#[test]
fn a_way_to_the_manager_that_the_doctor_cannot_go_is_no_fault_while_the_daemon_is_heard() {
    let said = || "invalid peer certificate".to_owned();
    for reach in [
        Reach::NoName { said: said() },
        Reach::NoConnection { address: "192.0.2.1:443".to_owned(), said: said() },
        Reach::NoAnswer { said: said() },
        Reach::Answered { status: 502 },
        Reach::Tls { fault: TlsError::UnknownIssuer, said: said() },
    ] {
        let mut facts = healthy();
        facts.managers[0].reach = reach.clone();
        facts.managers[0].trust_known = false;
        assert_eq!((codes(&facts), diagnose(&facts).unchecked.len()), (Vec::<String>::new(), 0), "{reach:?}");
        facts.service.daemon = Reading::Absent(Absence::None);
        let diagnosis = diagnose(&facts);
        assert!(!diagnosis.findings.is_empty() || !diagnosis.unchecked.is_empty(), "{reach:?}");
    }
}

#[test]
fn what_is_not_known_is_said_and_never_an_alarm() {
    let mut facts = healthy();
    let refused = || Absence::NoPermission;
    facts.kernel.cmdline = Reading::Absent(refused());
    facts.kernel.log = Reading::Absent(refused());
    facts.nvidia.nodes = Reading::Absent(refused());
    facts.service.units = Reading::Absent(refused());
    facts.service.state_disk = Reading::Absent(refused());
    let diagnosis = diagnose(&facts);
    assert!(diagnosis.findings.is_empty(), "{:#?}", diagnosis.findings);
    for code in ["acs_override", "xid_logged", "device_nodes_missing", "daemon_failed", "state_disk_full"] {
        let unchecked = diagnosis.unchecked.iter().find(|unchecked| unchecked.code == code);
        assert!(unchecked.is_some_and(|u| u.why.contains("no_permission")), "{code}: {unchecked:?}");
    }
}

#[test]
fn a_host_of_which_nothing_is_known_is_not_ill() {
    let mut facts = healthy();
    facts.kernel = KernelFacts::default();
    facts.nvidia = NvidiaFacts::default();
    facts.service = ServiceFacts::default();
    facts.docker = model::doctor::doctor_facts::DockerFiles::default();
    facts.managers = Vec::new();
    assert_eq!(codes(&facts), Vec::<String>::new());
}

#[test]
fn the_worst_stands_first_and_a_hint_makes_nobody_ill() {
    let mut facts = healthy();
    for code in ["persistence_off", "docker_disk_full", "nouveau_bound"] {
        (cases().iter().find(|case| case.code == code).unwrap().trip)(&mut facts);
    }
    let diagnosis = diagnose(&facts);
    let severities: Vec<Severity> = diagnosis.findings.iter().map(|finding| finding.severity).collect();
    assert!(severities.is_sorted() && severities.len() >= 3 && diagnosis.is_ill(), "{severities:?}");
    let mut facts = healthy();
    (cases().iter().find(|case| case.code == "persistence_off").unwrap().trip)(&mut facts);
    assert!(!diagnose(&facts).is_ill() && !diagnose(&facts).findings.is_empty());
}

#[test]
fn facts_survive_being_written_and_read() {
    for case in cases() {
        let mut facts = healthy();
        (case.trip)(&mut facts);
        let text = serde_json::to_string(&facts).unwrap();
        assert_eq!(serde_json::from_str::<DoctorFacts>(&text).unwrap(), facts, "{}", case.code);
    }
}

/// What the doctor finds, with its cure, where containers have no way to a GPU.
fn without_a_way(change: impl FnOnce(&mut DoctorFacts)) -> Vec<(String, String)> {
    let mut facts = healthy();
    let docker = facts.host.docker.as_mut().unwrap();
    docker.runtimes.retain(|name| name != "nvidia");
    docker.cdi_devices.clear();
    facts.nvidia.cdi = Reading::Known(Vec::new());
    change(&mut facts);
    diagnose(&facts).findings.into_iter().map(|finding| (finding.code, finding.cure)).collect()
}

#[test]
fn podman_and_a_docker_without_root_get_cures_of_their_own() {
    let no_toolkit = |facts: &mut DoctorFacts| facts.nvidia.toolkit = Reading::Absent(Absence::None);
    let with = |facts: &mut DoctorFacts, engine, rootless| {
        let docker = facts.host.docker.as_mut().unwrap();
        (docker.engine, docker.rootless) = (engine, rootless);
    };
    for toolkit in [true, false] {
        for rootless in [true, false] {
            let found = without_a_way(|facts| {
                with(facts, ContainerEngine::Podman, rootless);
                if !toolkit {
                    no_toolkit(facts);
                }
            });
            assert!(found.iter().all(|(_, cure)| !cure.contains("docker")), "{found:?}");
            assert!(found.iter().any(|(code, cure)| {
                ["toolkit_missing", "nvidia_runtime_missing"].contains(&code.as_str()) && cure.contains("cdi generate")
            }));
        }
    }
    let found = without_a_way(|facts| with(facts, ContainerEngine::Docker, true));
    let (code, cure) = &found[0];
    assert_eq!(code, "nvidia_runtime_missing");
    assert!(cure.contains("--config=$HOME/.config/docker/daemon.json") && !cure.contains("reload docker"), "{cure}");
    let (_, cure) = &without_a_way(|_| ())[0];
    assert!(cure.contains("systemctl reload docker"), "{cure}");
}

#[test]
fn no_cgroups_is_right_for_an_engine_without_root_and_wrong_for_any_other() {
    let found = |rootless: bool, no_cgroups: bool, cdi: bool| {
        let mut facts = healthy();
        facts.nvidia.no_cgroups = Reading::Known(no_cgroups);
        let docker = facts.host.docker.as_mut().unwrap();
        docker.rootless = rootless;
        if !cdi {
            docker.cdi_devices.clear();
        }
        let findings = diagnose(&facts).findings.into_iter().filter(|finding| finding.code == "toolkit_no_cgroups");
        findings.map(|finding| finding.cure).collect::<Vec<_>>()
    };
    assert!(found(false, true, true)[0].contains("no-cgroups = false"));
    assert!(found(true, false, false)[0].contains("no-cgroups=true"));
    // A container that gets its GPU by CDI is not touched by the setting.
    for right in [(true, true, false), (true, true, true), (true, false, true), (false, false, true)] {
        assert_eq!(found(right.0, right.1, right.2), Vec::<String>::new(), "{right:?}");
    }
}
