//! The example for cloud-init: valid for cloud-init itself, as it is and filled in, and its line enrols through a shell.

use crate::rig::core::core;
use crate::rig::private_bus::PrivateBus;
use crate::rig::{Served, hosts};
use model::enrol::{CheckinState, CheckinStatus};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

const EXAMPLE: &str = include_str!("../../../../docs/autoscale/user-data.yaml");
const ID: &str = "7b0f42a1-58a4-4b13-9f3d-0a1b2c3d4e5f";
const TOKEN: &str = "a/b&c+d=e==";

/// The example as an autoscaler fills it in.
fn filled(values: &[(&str, &str)]) -> String {
    let filled =
        values.iter().fold(EXAMPLE.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value));
    assert!(!filled.contains('{'), "{filled}");
    filled
}

fn values<'a>(server_id: &'a str, name: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("manager_token", TOKEN),
        ("checkin_jwt", "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2ln-_"),
        ("upstream_auth_address", "upstream.example"),
        ("manager_address", "manager.example"),
        ("server_id", server_id),
        ("provider_name", "aws"),
        ("server_external_fqdn", name),
    ]
}

/// cloud-init's own check, of the copy that tests/setup.sh unpacks.
fn check(folder: &Path, text: &str) -> Output {
    let file = folder.join("user-data.yaml");
    std::fs::write(&file, text).unwrap();
    let packages = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/cloud-init/usr/lib/python3/dist-packages");
    assert!(Path::new(packages).join("cloudinit").exists(), "{packages} is not there: run tests/setup.sh build test");
    let mut python = Command::new("/usr/bin/python3");
    python.env("PYTHONPATH", packages).args(["-m", "cloudinit.cmd.main", "schema", "--config-file"]).arg(file);
    python.output().unwrap()
}

#[test]
fn cloud_init_takes_it_as_it_is_and_filled_in_and_would_say_if_not() {
    let folder = tempfile::tempdir().unwrap();
    for text in [EXAMPLE.to_owned(), filled(&values(ID, "gpu-7.example")), filled(&values("None", ""))] {
        let done = check(folder.path(), &text);
        assert!(done.status.success(), "{done:?}");
    }
    let wrong = EXAMPLE.replace("runcmd:", "runcmd: 7\nothers:");
    let refused = check(folder.path(), &wrong);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned() + &String::from_utf8_lossy(&refused.stdout);
    assert!(!refused.status.success() && why.contains("runcmd"), "it would take anything: {why}");
}

#[test]
fn its_settings_are_settings_of_the_daemon() {
    for (upstream, expected) in [("upstream.example", Some("https://upstream.example")), ("None", None), ("", None)] {
        let text = filled(&values(ID, "")).replace("upstream.example", upstream);
        let lines =
            text.lines().skip_while(|line| !line.contains("[readiness]")).take_while(|line| line.starts_with("      "));
        let toml: String = lines.map(|line| format!("{}\n", line.trim())).collect();
        let merged = model::settings::merge(&[("autoscale.toml".to_owned(), toml.clone())]);
        assert_eq!(merged.faults, [], "{toml}");
        let readiness = merged.settings.readiness;
        assert_eq!(readiness.upstream.as_deref(), expected);
        assert_eq!(readiness.jwt_file.as_deref(), Some("/etc/gpuhostd/readiness.jwt"));
    }
}

#[test]
fn its_line_enrols_whatever_the_template_leaves() {
    for (server_id, name, given) in [
        (ID, "gpu-7.example", (Some(ID), Some("gpu-7.example"))),
        ("None", "None", (None, None)),
        ("", "", (None, None)),
    ] {
        let (folder, bus) = (tempfile::tempdir().unwrap(), PrivateBus::start());
        let served = Served::start(&bus, core(hosts::two_gpus()));
        let ok = CheckinStatus { state: CheckinState::Ok, server_id: Some(ID.to_owned()), ..CheckinStatus::default() };
        served.core.checkin.send_replace(Arc::new(ok));
        let token = folder.path().join("token");
        std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
        let text = filled(&values(server_id, name));
        let line =
            text.lines().find_map(|line| line.trim().strip_prefix("- ").filter(|line| line.starts_with("gpuhostctl")));
        let line = line.unwrap().replace("/run/gpuhostd-enrol/token", token.to_str().unwrap());
        let program = Path::new(env!("CARGO_BIN_EXE_gpuhostctl"));
        let done = Command::new("sh")
            .args(["-euc", &line])
            .env("PATH", format!("{}:/usr/bin:/bin", program.parent().unwrap().display()))
            .env("GPUHOSTD_BUS", &bus.address)
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
        let out = String::from_utf8(done.stdout).unwrap();
        assert!(out.contains("is enrolled as") && out.contains("accepted its heartbeat"), "{out}");
        let got = served.core.got.borrow();
        let spec = got[0].enrolment.as_ref().unwrap();
        assert_eq!((spec.urls.as_slice(), spec.token.expose()), (&["https://manager.example".to_owned()][..], TOKEN));
        assert_eq!((spec.named.server_id.as_deref(), spec.named.public_hostname.as_deref()), given);
        assert!(spec.unless_enrolled && spec.named.provider.as_deref() == Some("aws"));
    }
}

#[test]
fn a_template_that_was_not_filled_in_is_refused_and_waits_for_nothing() {
    let (folder, bus) = (tempfile::tempdir().unwrap(), PrivateBus::start());
    let served = Served::start(&bus, core(hosts::two_gpus()));
    let token = folder.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let token = token.to_str().unwrap();
    for args in [
        ["--manager", "m.example", "--server-id", "{server_id}"],
        ["--manager", "m.example", "--public-hostname", "{server_external_fqdn}"],
        ["--manager", "{manager_address}", "--server-id", ID],
        ["--manager", "None", "--server-id", ID],
    ] {
        let mut all = vec!["enroll", "--token-file", token, "--wait", "10m"];
        all.extend(args);
        let ran = crate::run::gpuhostctl(&bus, &all);
        assert!(ran.status == 2 && !ran.err.contains(TOKEN), "{ran:?}");
    }
    assert!(served.core.got.borrow().is_empty());
}

#[test]
fn an_enrolment_that_is_not_accepted_in_time_says_how_far_it_is() {
    let (folder, bus) = (tempfile::tempdir().unwrap(), PrivateBus::start());
    let served = Served::start(&bus, core(hosts::two_gpus()));
    let pending = CheckinStatus { state: CheckinState::PendingApproval, ..CheckinStatus::default() };
    served.core.checkin.send_replace(Arc::new(pending));
    let token = folder.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let args = ["enroll", "--manager", "m.example", "--token-file", token.to_str().unwrap(), "--wait", "2s"];
    let ran = crate::run::gpuhostctl(&bus, &args);
    assert!(
        ran.status == 9 && ran.err.contains("pending approval") && ran.err.contains("goes on by itself"),
        "{ran:?}"
    );
}
