//! CDI files against the host: which way a GPU gets into a container, what is stale, and what becomes of a generator's output. The
//! cases are reports of users who lost a night to them.

use model::cdi::{
    CdiFile, CdiGpu, CdiHost, Generated, GeneratedError, GpuWay, SpecFault, SpecPlan, SpecVersion, cdi_state, faults,
    gpu_way, names_of_others, parse, prepared, spec_plan,
};
use model::docker::{ContainerEngine, DockerFacts};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const ONE: &str = "GPU-11111111-aaaa-4000-8000-000000000001";
const TWO: &str = "GPU-22222222-aaaa-4000-8000-000000000002";
const DRIVER: &str = "580.126.16";
const NVIDIAS: &str = "/var/run/cdi/nvidia.yaml";
const OURS: &str = "/var/run/cdi/gpuhostd-nvidia.json";

/// What `nvidia-ctk cdi generate --format=json` writes for GPUs with these names and minor numbers, in short.
fn spec(driver: &str, gpus: &[(&str, u32)]) -> Value {
    let device = |(name, minor): &(&str, u32)| {
        let nodes = json!([{ "path": format!("/dev/nvidia{minor}"), "hostPath": format!("/dev/nvidia{minor}") }]);
        json!({ "name": name, "containerEdits": { "deviceNodes": nodes } })
    };
    let library = format!("/usr/lib/x86_64-linux-gnu/libcuda.so.{driver}");
    json!({
        "cdiVersion": "0.5.0",
        "kind": "nvidia.com/gpu",
        "devices": gpus.iter().map(device).collect::<Vec<_>>(),
        "containerEdits": {
            "deviceNodes": [{ "path": "/dev/nvidiactl" }],
            "hooks": [{ "hookName": "createContainer", "path": "/usr/bin/nvidia-cdi-hook", "args": ["nvidia-cdi-hook", "update-ldcache"] }],
            "mounts": [{ "hostPath": library, "containerPath": library, "options": ["ro"] }],
        },
    })
}

fn two() -> Value {
    spec(DRIVER, &[(ONE, 0), (TWO, 1), ("0", 0), ("1", 1)])
}

fn file_of(path: &str, spec: &Value, newest: SpecVersion, missing: &[&str]) -> CdiFile {
    let read = parse("x.json", spec.to_string().as_bytes()).map(|spec| spec.expect("it is of GPUs"));
    CdiFile::of(path.to_owned(), read.as_ref().map_err(Clone::clone), newest, |path| missing.contains(&path))
}

fn file(path: &str, spec: &Value) -> CdiFile {
    file_of(path, spec, SpecVersion::NEWEST, &[])
}

fn gpu(uuid: &str, index: u32, minor: u32) -> CdiGpu {
    let address = format!("0000:{:02x}:00.0", 0x41 + index).parse().unwrap();
    CdiGpu { address, uuid: Some(uuid.to_owned()), index: Some(index), minor: Some(minor), mig: None }
}

fn host() -> CdiHost {
    CdiHost { driver: Some(DRIVER.to_owned()), gpus: vec![gpu(ONE, 0, 0), gpu(TWO, 1, 1)] }
}

/// A Docker that has CDI and lists what the files give it.
fn docker(files: &[CdiFile], runtimes: &[&str]) -> DockerFacts {
    let names = files.iter().filter(|file| file.broken.is_none()).flat_map(|file| &file.devices);
    DockerFacts {
        cdi_spec_dirs: vec!["/etc/cdi".to_owned(), "/var/run/cdi".to_owned()],
        cdi_devices: names.map(|device| format!("nvidia.com/gpu={}", device.name)).collect(),
        cdi_files: files.to_vec(),
        runtimes: runtimes.iter().map(|name| (*name).to_owned()).collect(),
        ..DockerFacts::default()
    }
}

fn way(docker: &DockerFacts, host: &CdiHost, wanted: &[&str]) -> GpuWay {
    gpu_way(&cdi_state(docker, host), docker, wanted)
}

fn cdi(devices: &[&str]) -> GpuWay {
    GpuWay::Cdi { devices: devices.iter().map(|device| format!("nvidia.com/gpu={device}")).collect() }
}

fn runtime() -> GpuWay {
    GpuWay::Runtime { name: "nvidia".to_owned() }
}

fn why_none(way: GpuWay) -> (String, String) {
    match way {
        GpuWay::None(broken) => (broken.why().join("; "), broken.remedy()),
        other @ (GpuWay::Cdi { .. } | GpuWay::Runtime { .. }) => panic!("{other:?}"),
    }
}

#[test]
fn a_fresh_file_is_the_way_and_all_wanted_gpus_go_by_the_same() {
    let fresh = docker(&[file(NVIDIAS, &two())], &["runc", "nvidia"]);
    assert_eq!(way(&fresh, &host(), &[ONE, TWO]), cdi(&[ONE, TWO]));
    let half = docker(&[file(NVIDIAS, &spec(DRIVER, &[(ONE, 0)]))], &["runc", "nvidia"]);
    assert_eq!(way(&half, &host(), &[ONE]), cdi(&[ONE]));
    assert_eq!(way(&half, &host(), &[ONE, TWO]), runtime(), "one of them has no device");
    // CDI is off in 25 to 28.1 unless it is enabled, whatever the files say; the version is not asked.
    let off = DockerFacts { cdi_spec_dirs: Vec::new(), version: Some("29.7.2".to_owned()), ..fresh.clone() };
    assert_eq!(way(&off, &host(), &[ONE]), runtime());
    let (why, remedy) = why_none(way(&DockerFacts { runtimes: Vec::new(), ..off }, &host(), &[ONE]));
    assert_eq!(why, "CDI is disabled in Docker; Docker has no runtime nvidia");
    assert!(remedy.contains("nvidia-ctk runtime configure"), "{remedy}");
}

/// Tdarr#1423, webkit-container-sdk#23, toolkit#450: the driver was upgraded, and the file names the old one.
#[test]
fn a_file_of_the_former_driver_is_stale() {
    let old = file(NVIDIAS, &spec("575.64.03", &[(ONE, 0), (TWO, 1)]));
    let other = SpecFault::OtherDriver { named: "575.64.03".to_owned(), loaded: DRIVER.to_owned() };
    assert_eq!(faults(&old, &host()), [other]);
    assert_eq!(way(&docker(std::slice::from_ref(&old), &["nvidia"]), &host(), &[ONE]), runtime());
    let (why, remedy) = why_none(way(&docker(&[old], &[]), &host(), &[ONE]));
    assert!(why.contains(NVIDIAS) && why.contains("575.64.03") && why.contains(DRIVER), "{why}");
    assert!(remedy.contains("nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml"), "{remedy}");
    // Where no driver is loaded its version cannot be compared.
    let unloaded = CdiHost { driver: None, ..host() };
    assert!(faults(&file(NVIDIAS, &spec("575.64.03", &[(ONE, 0), (TWO, 1)])), &unloaded).is_empty());
}

/// podman#23935, toolkit#1517: a library or the socket of a daemon that the file mounts is gone.
#[test]
fn a_path_that_is_gone_is_named_and_costs_the_devices_that_need_it() {
    let socket = "/usr/bin/nvidia-cdi-hook";
    let broken = file_of(NVIDIAS, &two(), SpecVersion::NEWEST, &[socket]);
    assert_eq!(faults(&broken, &host()), [SpecFault::MissingPaths { paths: vec![socket.to_owned()] }]);
    assert!(why_none(way(&docker(&[broken], &[]), &host(), &[ONE])).0.contains(socket));
    // The node of one GPU is gone (it was pulled out): the other is still given.
    let node = file_of(NVIDIAS, &two(), SpecVersion::NEWEST, &["/dev/nvidia1"]);
    let docker = docker(&[node], &[]);
    assert_eq!(way(&docker, &host(), &[ONE]), cdi(&[ONE]));
    assert!(why_none(way(&docker, &host(), &[TWO])).0.contains("/dev/nvidia1"));
}

/// toolkit#1828, HAMi#1903: MIG was changed, and no refresh came.
#[test]
fn mig_devices_are_named_by_their_uuid_and_a_former_one_is_of_no_gpu() {
    let (now, former) = ("MIG-aaaaaaaa-aaaa-4000-8000-00000000000a", "MIG-bbbbbbbb-bbbb-4000-8000-00000000000b");
    let mut cut = host();
    cut.gpus[1].mig = Some(vec![now.to_owned()]);
    let fresh = file(NVIDIAS, &spec(DRIVER, &[(ONE, 0), (now, 1), ("1:0", 1)]));
    assert_eq!(faults(&fresh, &cut), []);
    let stale = file(NVIDIAS, &spec(DRIVER, &[(ONE, 0), (former, 1)]));
    let no_device = SpecFault::NoDevice { gpu: cut.gpus[1].address, name: now.to_owned() };
    assert_eq!(faults(&stale, &cut), [no_device, SpecFault::NoSuchGpu { device: former.to_owned() }]);
    let docker = docker(&[stale], &[]);
    assert_eq!(way(&docker, &cut, &[ONE]), cdi(&[ONE]));
    assert!(why_none(way(&docker, &cut, &[former])).0.contains("of no GPU of this host"));
    assert!(why_none(way(&docker, &cut, &[now])).0.contains("no CDI file names"));
}

#[test]
fn a_gpu_that_is_gone_or_given_away_has_no_device_and_a_new_one_lacks_its() {
    let one_left = CdiHost { gpus: vec![gpu(ONE, 0, 0)], ..host() };
    let gone = |device: &str| SpecFault::NoSuchGpu { device: device.to_owned() };
    assert_eq!(faults(&file(NVIDIAS, &two()), &one_left), [gone(TWO), gone("1")]);
    let new = faults(&file(NVIDIAS, &spec(DRIVER, &[(ONE, 0), ("0", 0)])), &host());
    assert_eq!(new, [SpecFault::NoDevice { gpu: host().gpus[1].address, name: TWO.to_owned() }]);
    // A GPU that the driver does not report about yet: no name can be called unknown.
    let mut silent = host();
    silent.gpus[1] = CdiGpu { uuid: None, index: None, minor: None, ..silent.gpus[1].clone() };
    assert_eq!(faults(&file(NVIDIAS, &two()), &silent), []);
    // A name that an administrator chose.
    assert_eq!(faults(&file(NVIDIAS, &spec(DRIVER, &[(ONE, 0), (TWO, 1), ("rendering", 0)])), &host()), []);
}

/// The numbers of the device files changed at a boot: a container would get its neighbour's GPU.
#[test]
fn a_device_that_gives_the_node_of_another_gpu_is_never_used() {
    let swapped = file(NVIDIAS, &spec(DRIVER, &[(ONE, 1), (TWO, 0)]));
    let said: Vec<String> = faults(&swapped, &host()).iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("gives /dev/nvidia1, and that GPU is /dev/nvidia0"), "{said:?}");
    assert_eq!(way(&docker(&[swapped], &["nvidia"]), &host(), &[ONE]), runtime());
}

/// toolkit#1940, #1860, #38: a newer generator writes a version that this engine does not read.
#[test]
fn a_file_that_the_engine_skips_is_named() {
    let mut newer = two();
    newer["cdiVersion"] = json!("1.0.0");
    let skipped = file_of(NVIDIAS, &newer, SpecVersion::V0_7, &[]);
    let (why, remedy) = why_none(way(&docker(&[skipped], &[]), &host(), &[ONE]));
    assert!(why.contains("is skipped: its cdiVersion 1.0.0 is newer than this Docker reads (0.7.0)"), "{why}");
    assert!(remedy.contains(NVIDIAS), "{remedy}");
}

/// toolkit#146: `nvidia-ctk cdi generate` into both directories is no conflict, and twice into one is.
#[test]
fn two_files_of_one_directory_take_the_device_away() {
    let both = [file("/etc/cdi/nvidia.yaml", &two()), file(NVIDIAS, &two())];
    assert_eq!(way(&docker(&both, &[]), &host(), &[ONE]), cdi(&[ONE]));
    let twice = [file("/var/run/cdi/a.yaml", &two()), file(NVIDIAS, &two())];
    let (why, remedy) = why_none(way(&docker(&twice, &[]), &host(), &[ONE]));
    assert!(why.contains("/var/run/cdi/a.yaml and /var/run/cdi/nvidia.yaml both define"), "{why}");
    assert!(remedy.contains("remove /var/run/cdi/a.yaml"), "{remedy}");
    // The conflict of an earlier directory takes it from a later one too.
    let earlier = [file("/etc/cdi/a.yaml", &two()), file("/etc/cdi/b.yaml", &two()), file(NVIDIAS, &two())];
    assert!(why_none(way(&docker(&earlier, &[]), &host(), &[ONE])).0.contains("/etc/cdi/b.yaml"));
}

/// toolkit#1239, #1895: the driver container's file is of another kind and defines `all` alone.
#[test]
fn another_kind_is_no_way() {
    assert_eq!(parse("x.json", br#"{"kind": "management.nvidia.com/gpu", "devices": []}"#), Ok(None));
    assert!(why_none(way(&docker(&[], &[]), &host(), &[ONE])).0.starts_with("no CDI file names nvidia.com/gpu=GPU-1"));
}

#[test]
fn podman_has_no_runtime_and_an_engine_whose_files_are_not_seen_is_believed() {
    let podman = DockerFacts { engine: ContainerEngine::Podman, cdi_spec_dirs: Vec::new(), ..docker(&[], &["nvidia"]) };
    let (why, _) = why_none(way(&podman, &host(), &[ONE]));
    assert!(!why.contains("runtime"), "{why}");
    let listed = DockerFacts { cdi_devices: vec![format!("nvidia.com/gpu={ONE}")], ..docker(&[], &[]) };
    assert_eq!(way(&listed, &host(), &[ONE]), cdi(&[ONE]));
    // What the engine does not list it does not give, whatever the file says.
    let unlisted = DockerFacts { cdi_devices: Vec::new(), ..docker(&[file(NVIDIAS, &two())], &[]) };
    assert!(why_none(way(&unlisted, &host(), &[ONE])).0.contains("no CDI file names"));
}

fn ready(output: &str, newest: SpecVersion, taken: &[&str]) -> Result<Option<Generated>, GeneratedError> {
    prepared(output.as_bytes(), newest, &taken.iter().map(|name| (*name).to_owned()).collect())
}

fn text(generated: &Generated) -> String {
    String::from_utf8(generated.bytes.clone()).unwrap()
}

#[test]
fn only_the_version_of_the_output_is_rewritten() {
    let newer = two().to_string().replace("\"0.5.0\"", "\"1.0.0\"");
    let done = ready(&newer, SpecVersion::V0_7, &[]).unwrap().unwrap();
    assert_eq!(text(&done), format!("{}\n", two()));
    assert_eq!(done.spec.refused_by(SpecVersion::V0_5), None);
    // Spacing, order and what it does not know stay.
    let odd = "{ \"kind\" : \"nvidia.com/gpu\",\n \"x\": 1e400, \"devices\": [ {\"containerEdits\": {\"env\": [\"A=\\u0042\"]}, \"name\": \"a\"} ],\n\t\"cdiVersion\":\"0.7.0\"}";
    assert_eq!(
        text(&ready(odd, SpecVersion::V0_7, &[]).unwrap().unwrap()),
        format!("{}\n", odd.replace("0.7.0", "0.3.0"))
    );
    // toolkit#38: it stated 0.4.0 and used a field of 0.5.0.
    let low = two().to_string().replace("\"0.5.0\"", "\"0.4.0\"");
    assert_eq!(text(&ready(&low, SpecVersion::V0_7, &[]).unwrap().unwrap()), format!("{}\n", two()));
    let groups = two().to_string().replace("\"hooks\":", "\"additionalGids\":[44],\"hooks\":");
    assert!(text(&ready(&groups, SpecVersion::V0_7, &[]).unwrap().unwrap()).contains("\"cdiVersion\":\"0.7.0\""));
}

/// GB200: the generator writes documents of the kinds `gpu.coherent` and `gpu.noncoherent` behind the first.
#[test]
fn documents_of_other_kinds_behind_it_are_not_passed_on() {
    let coherent = two().to_string().replace("nvidia.com/gpu", "nvidia.com/gpu.coherent");
    let done = ready(&format!("{}{coherent}\n{coherent}\n", two()), SpecVersion::V0_7, &[]).unwrap().unwrap();
    assert_eq!(text(&done), format!("{}\n", two()));
    for (output, found) in [(String::new(), 0), (coherent, 0), (format!("{0}{0}", two()), 2)] {
        assert_eq!(ready(&output, SpecVersion::V0_7, &[]), Err(GeneratedError::Documents { found }), "{output}");
    }
}

#[test]
fn what_others_define_is_left_out() {
    let done = ready(&two().to_string(), SpecVersion::V0_7, &["0", "1", "all"]).unwrap().unwrap();
    assert_eq!(done.left_out, ["0", "1"]);
    let expected = spec(DRIVER, &[(ONE, 0), (TWO, 1)]);
    assert_eq!(serde_json::from_slice::<Value>(&done.bytes).unwrap(), expected);
    assert_eq!(ready(&two().to_string(), SpecVersion::V0_7, &["0", "1", ONE, TWO]), Ok(None));
    let others = [
        file(NVIDIAS, &spec(DRIVER, &[("0", 0)])),
        file(OURS, &two()),
        file("/etc/cdi/nvidia.yaml", &spec(DRIVER, &[("1", 1)])),
        // Unreadable for the engine of today, and read by the next.
        file_of(
            "/run/cdi/new.yaml",
            &{
                let mut new = two();
                new["cdiVersion"] = json!("1.0.0");
                new
            },
            SpecVersion::V0_7,
            &[],
        ),
    ];
    let taken = names_of_others(&others, OURS);
    assert_eq!(taken, BTreeSet::from(["0", "1", ONE, TWO].map(str::to_owned)));
    assert_eq!(names_of_others(&others[..3], OURS), BTreeSet::from(["0".to_owned()]));
}

#[test]
fn output_that_no_engine_would_take_is_refused() {
    let with = |from: &str, to: &str| two().to_string().replace(from, to);
    for (output, said) in [
        ("nvidia-ctk: panic: runtime error".to_owned(), "it is not JSON"),
        (two().to_string()[..200].to_owned(), "it is not JSON"),
        (format!("{} trailing", two()), "it is not JSON"),
        (format!("[{}]", "[".repeat(60)), "it is not JSON"),
        (with("\"0.5.0\"", "\"1.2.0\""), "none that exists"),
        (with("\"name\":\"1\"", "\"name\":\"0\""), "twice"),
        (with("\"name\":\"1\"", "\"name\":\"0/1\""), "not a device name"),
        (" ".repeat(1024 * 1024 + 1), "larger than"),
    ] {
        let fault = ready(&output, SpecVersion::V0_7, &[]).unwrap_err().to_string();
        assert!(fault.contains(said), "{said}: {fault}");
    }
    let network = with("\"hooks\":", "\"netDevices\":[{\"hostInterfaceName\":\"a\",\"name\":\"b\"}],\"hooks\":");
    let fault = ready(&network.replace("0.5.0", "1.1.0"), SpecVersion::V0_7, &[]).unwrap_err().to_string();
    assert!(fault.contains("newer than this Docker reads"), "{fault}");
}

#[test]
fn nothing_is_written_where_nothing_changes() {
    let done = ready(&two().to_string(), SpecVersion::V0_7, &[]).unwrap().unwrap();
    assert_eq!(spec_plan(Some(&done.bytes), Some(&done)), SpecPlan::Keep);
    assert_eq!(spec_plan(None, Some(&done)), SpecPlan::Write(done.bytes.clone()));
    assert_eq!(spec_plan(Some(b"{}"), Some(&done)), SpecPlan::Write(done.bytes.clone()));
    assert_eq!((spec_plan(Some(b"{}"), None), spec_plan(None, None)), (SpecPlan::Remove, SpecPlan::Keep));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// What is prepared is taken by an engine of the oldest version that can, has every device that no other file has, and none other.
    #[test]
    fn what_is_prepared_is_read_back(
        names in prop::collection::btree_set("[a-zA-Z0-9]([a-zA-Z0-9_.:-]{0,12}[a-zA-Z0-9])?", 1..12),
        taken in prop::collection::btree_set("[a-z0-9]{1,2}", 0..40),
        version in prop::sample::select(vec!["0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0"]),
        groups in any::<bool>(),
        pretty in any::<bool>(),
    ) {
        let gpus: Vec<(&str, u32)> = names.iter().zip(0..).map(|(name, minor)| (name.as_str(), minor)).collect();
        let mut whole = spec(DRIVER, &gpus);
        whole["cdiVersion"] = json!(if groups { "1.0.0" } else { version });
        if groups {
            whole["containerEdits"]["additionalGids"] = json!([44]);
        }
        let output = if pretty { serde_json::to_string_pretty(&whole).unwrap() } else { whole.to_string() };
        let left: Vec<(&str, u32)> = gpus.iter().copied().filter(|(name, _)| !taken.contains(*name)).collect();
        let done = prepared(output.as_bytes(), SpecVersion::V0_7, &taken).unwrap();
        prop_assert_eq!(done.is_none(), left.is_empty());
        if let Some(done) = done {
            let mut expected = spec(DRIVER, &left);
            expected["cdiVersion"] = json!(if groups { "0.7.0" } else { "0.5.0" });
            if groups {
                expected["containerEdits"]["additionalGids"] = json!([44]);
            }
            prop_assert_eq!(serde_json::from_slice::<Value>(&done.bytes).unwrap(), expected);
            // Once more changes nothing.
            let again = prepared(&done.bytes, SpecVersion::V0_7, &taken).unwrap().unwrap();
            prop_assert_eq!(again.bytes, done.bytes);
        }
    }

    /// Whatever a generator prints: an answer, never a panic, and nothing that an engine would not read.
    #[test]
    fn any_output_is_answered(at in 0_usize..2000, byte in any::<u8>(), cut in 0_usize..2000) {
        let mut output = two().to_string().into_bytes();
        let length = output.len();
        output[at % length] = byte;
        output.truncate(length - cut % 20);
        if let Ok(Some(done)) = prepared(&output, SpecVersion::V0_7, &BTreeSet::new()) {
            prop_assert_eq!(done.spec.refused_by(SpecVersion::V0_7), None);
            prop_assert!(parse("x.json", &done.bytes).unwrap().is_some());
        }
    }
}
