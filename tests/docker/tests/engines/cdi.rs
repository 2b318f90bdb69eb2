//! Real engines with CDI over `/dev/null` and `/dev/zero`: what each takes of its directories, which is what `model::cdi` says it takes.

use docker_engines::{Engine, Image, Release, releases, until};
use model::cdi::{CdiFolder, SpecVersion, is_spec, parse, prepared, taken};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A specification of these devices: each is `/dev/nvidia0` inside, and a device file of this machine outside.
fn spec(version: &str, devices: &[(&str, &str)]) -> Value {
    let device = |(name, node): &(&str, &str)| json!({ "name": name, "containerEdits": { "deviceNodes": [{ "path": "/dev/nvidia0", "hostPath": node }] } });
    let devices: Vec<Value> = devices.iter().map(device).collect();
    json!({ "cdiVersion": version, "kind": "nvidia.com/gpu", "devices": devices })
}

fn put(directory: &Path, name: &str, spec: &Value) {
    fs::write(directory.join(name), spec.to_string()).unwrap();
}

/// One request to the engine: its answer. The `docker` of a machine may be too old to name a CDI device.
fn ask(engine: &Engine, method: &str, path: &str, body: &Value) -> Value {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--request", method, "--unix-socket", &engine.socket()]);
    curl.args(["--header", "Content-Type: application/json", "--data", &body.to_string()]);
    let output = curl.arg(format!("http://docker{path}")).output().expect("curl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// Whether a container gets the device: what it is inside, or what the engine answers at the start.
fn given(engine: &Engine, device: &str) -> Result<String, String> {
    let wish = json!([{ "Driver": "cdi", "Count": 0, "DeviceIDs": [format!("nvidia.com/gpu={device}")] }]);
    let body = json!({
        "Image": "base:1",
        "Cmd": ["sh", "-c", "stat -c %t:%T /dev/nvidia0"],
        "HostConfig": { "NetworkMode": "none", "DeviceRequests": wish },
    });
    let created = ask(engine, "POST", "/containers/create", &body);
    let id = created["Id"].as_str().unwrap_or_else(|| panic!("{created}")).to_owned();
    let started = ask(engine, "POST", &format!("/containers/{id}/start"), &Value::Null);
    if let Some(why) = started["message"].as_str() {
        engine.docker(&["rm", &id]);
        return Err(why.to_owned());
    }
    engine.docker(&["wait", &id]);
    let said = engine.docker(&["logs", &id]);
    engine.docker(&["rm", &id]);
    Ok(said)
}

/// An engine with CDI on these directories. 26.1 has it only after a restart: a reload leaves `CDISpecDirs` empty.
fn with_cdi(release: Release, directories: &[&Path]) -> Engine {
    let config = json!({ "features": { "cdi": true }, "cdi-spec-dirs": directories }).to_string();
    let mut engine = Engine::start(release);
    fs::write(engine.config(), &config).unwrap();
    if release == Release::V26_1 {
        let reloads = |engine: &Engine| engine.log().matches("eloaded configuration").count();
        let before = reloads(&engine);
        engine.signal(Signal::SIGHUP);
        until("the reload", || (reloads(&engine) > before).then_some(()));
        assert!(engine.info()["CDISpecDirs"].as_array().is_none_or(Vec::is_empty), "{}", engine.info()["CDISpecDirs"]);
    }
    engine.stop();
    engine.start_again();
    assert_eq!(engine.info()["CDISpecDirs"], json!(directories), "{release}");
    Image::new().import(&engine, "base:1");
    engine
}

/// What `model::cdi` takes of the directories for an engine that reads up to `newest`.
fn modelled(directories: &[&Path], newest: SpecVersion) -> Vec<String> {
    let folder = |directory: &&Path| -> CdiFolder {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.filter(|name| is_spec(name)).collect();
        names.sort();
        let read = |name: String| {
            let spec = parse(&name, &fs::read(directory.join(&name)).unwrap()).ok()??;
            spec.refused_by(newest).is_none().then_some((name, spec))
        };
        names.into_iter().filter_map(read).collect()
    };
    taken(&directories.iter().map(folder).collect::<Vec<_>>()).names
}

#[test]
#[ignore = "make test-docker runs it"]
fn each_engine_takes_of_its_directories_what_the_model_says() {
    for release in releases().into_iter().filter(|release| *release != Release::V20_10) {
        let newest = if release == Release::V26_1 { SpecVersion::V0_7 } else { SpecVersion::V1_0 };
        let root = tempfile::TempDir::new().unwrap();
        let (early, late) = (root.path().join("etc"), root.path().join("run"));
        fs::create_dir(&early).unwrap();
        fs::create_dir(&late).unwrap();
        put(&early, "one.json", &spec("0.5.0", &[("one", "/dev/null"), ("twice", "/dev/null"), ("both", "/dev/null")]));
        put(&early, "two.json", &spec("0.5.0", &[("twice", "/dev/zero"), ("two", "/dev/zero")]));
        // A later directory wins, but not over a conflict of an earlier one.
        put(&late, "late.json", &spec("0.5.0", &[("both", "/dev/zero"), ("twice", "/dev/zero")]));
        put(&late, ".hidden.json", &spec("0.5.0", &[("hidden", "/dev/null")]));
        fs::write(late.join("yml.yml"), spec("0.5.0", &[("yml", "/dev/null")]).to_string()).unwrap();
        put(&late, "v08.json", &spec("0.8.0", &[("v08", "/dev/null")]));
        put(&late, "v10.json", &spec("1.0.0", &[("v10", "/dev/null")]));
        put(&late, "v11.json", &spec("1.1.0", &[("v11", "/dev/null")]));
        put(&late, "v99.json", &spec("9.9.0", &[("v99", "/dev/null")]));
        put(&late, "low.json", &spec("0.3.0", &[("low", "/dev/null")]));
        put(&late, "self.json", &spec("0.5.0", &[("self", "/dev/null"), ("self", "/dev/zero")]));
        put(
            &late,
            "empty.json",
            &json!({ "cdiVersion": "0.5.0", "kind": "nvidia.com/gpu",
            "devices": [{ "name": "empty", "containerEdits": {} }] }),
        );
        let directories = [early.as_path(), late.as_path()];
        let engine = with_cdi(release, &directories);
        let all = ["one", "two", "twice", "both", "hidden", "yml", "v08", "v10", "v11", "v99", "low", "self", "empty"];
        let real: BTreeSet<String> =
            all.iter().filter(|name| given(&engine, name).is_ok()).map(|name| (*name).to_owned()).collect();
        let model: BTreeSet<String> = modelled(&directories, newest).into_iter().collect();
        assert_eq!(real, model, "{release}");
        assert_eq!(given(&engine, "both").unwrap(), "1:5", "{release}: /dev/zero of the later directory");
        assert!(given(&engine, "twice").unwrap_err().contains("unresolvable"), "{release}");
    }
}

#[test]
#[ignore = "make test-docker runs it"]
fn what_is_prepared_is_read_by_every_engine_and_takes_no_device_away() {
    for release in releases().into_iter().filter(|release| *release != Release::V20_10) {
        let directory = tempfile::TempDir::new().unwrap();
        let engine = with_cdi(release, &[directory.path()]);
        let theirs = spec("0.5.0", &[("0", "/dev/null")]);
        put(directory.path(), "nvidia.yaml", &theirs);
        let output = spec("1.1.0", &[("0", "/dev/zero"), ("GPU-1", "/dev/zero")]).to_string();
        // As it came, no engine of these reads it, and if one did, the device of both would be gone.
        let ours = directory.path().join("gpuhostd-nvidia.json");
        let ready = prepared(output.as_bytes(), SpecVersion::V0_7, &BTreeSet::from(["0".to_owned()])).unwrap().unwrap();
        fs::write(&ours, &ready.bytes).unwrap();
        // Engines watch their directories, and take a moment.
        until("the engine to see the file", || given(&engine, "GPU-1").ok());
        assert_eq!(given(&engine, "GPU-1").unwrap(), "1:5", "{release}");
        assert_eq!(given(&engine, "0").unwrap(), "1:3", "{release}: theirs is still there");
        fs::write(&ours, output.replace("1.1.0", "0.5.0")).unwrap();
        until("the conflict", || given(&engine, "0").is_err().then_some(()));
        // A stale path is found at the start of a container, and nowhere before.
        fs::write(&ours, spec("0.5.0", &[("GPU-1", "/dev/none-such")]).to_string()).unwrap();
        until("the new file", || given(&engine, "0").ok());
        let why = given(&engine, "GPU-1").unwrap_err();
        assert!(why.contains("/dev/none-such"), "{release}: {why}");
    }
}
