//! Each refusal and caution of the preflight: a host that has it alone, and one that nearly has it.

use super::*;
use crate::absence::{Absence, Reading};
use crate::host_facts::DiskUsage;

const KERNEL: &str = "6.8.0-45-generic";
const IMAGE: &str = "nvcr.io/nvidia/driver:580.126.16";
const GPU: &str = "0000:41:00.0";

type Change = fn(&mut DriverHostFacts);

fn none<T>() -> Reading<T> {
    Reading::Absent(Absence::None)
}

fn known(text: &str) -> Reading<String> {
    Reading::Known(text.to_owned())
}

fn gpu(driver: &str) -> Reading<Vec<GpuBinding>> {
    let driver = if driver.is_empty() { none() } else { Reading::Known(driver.parse().unwrap()) };
    Reading::Known(vec![GpuBinding { gpu: GPU.parse().unwrap(), driver }])
}

fn mounts(text: &str) -> Reading<RunNvidiaMounts> {
    Reading::Known(RunNvidiaMounts::read(text.as_bytes()))
}

const SHARED: &str = "1 0 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n2 1 0:9 / /run rw shared:2 - tmpfs tmpfs rw\n";
const ROOT: &str = "9 2 0:60 / /run/nvidia/driver rw shared:9 - overlay overlay rw\n";

fn disk(bytes: u64) -> Reading<DiskUsage> {
    let path = "/var/lib/docker".to_owned();
    Reading::Known(DiskUsage {
        path,
        total_bytes: 1 << 40,
        available_bytes: bytes,
        used_bytes: 0,
        inodes_total: 0,
        inodes_free: 0,
    })
}

fn module(name: &str, references: u32, used_by: &[&str]) -> KernelModule {
    KernelModule { name: name.to_owned(), references, used_by: used_by.iter().map(|user| (*user).to_owned()).collect() }
}

/// A server with a GPU and nothing of NVIDIA's software.
fn fresh() -> DriverHostFacts {
    DriverHostFacts {
        os_id: known("ubuntu"),
        os_version_id: known("24.04"),
        kernel: known(KERNEL),
        tool: PackageTool::Apt,
        systemd: true,
        gpus: gpu(""),
        secure_boot: Reading::Known(false),
        lockdown: known("none"),
        signatures_enforced: Reading::Known(false),
        modules: Reading::Known(Vec::new()),
        module_references: none(),
        module_version: none(),
        module_file: none(),
        host_library: none(),
        container_library: none(),
        packages: Reading::Known(Vec::new()),
        installer: none(),
        kernel_build: Reading::Known(true),
        headers_package: Reading::Known(true),
        kernel_package: Reading::Known(true),
        disk: disk(1 << 36),
        firmware_path: none(),
        mounts: mounts(SHARED),
        daemons_status: none(),
        installed_digest: none(),
        entrypoint_runs: none(),
        ..DriverHostFacts::default()
    }
}

/// A driver container of these settings was killed: module, stored digest and mounted root are left.
fn killed(facts: &mut DriverHostFacts) {
    facts.gpus = gpu("nvidia");
    facts.modules = Reading::Known(vec![
        module("nvidia", 2, &["nvidia_uvm", "nvidia_modeset"]),
        module("nvidia_uvm", 0, &[]),
        module("nvidia_modeset", 0, &[]),
    ]);
    facts.module_references = Reading::Known(2);
    facts.module_version = known("580.126.16");
    facts.container_library = known("580.126.16");
    facts.installed_digest = known("gpuhost1-0");
    facts.entrypoint_runs = Reading::Known(false);
    facts.mounts = mounts(&format!("{SHARED}{ROOT}"));
}

fn judged(image: &str, digest: Option<&str>, change: impl Fn(&mut DriverHostFacts)) -> Preflight {
    let mut facts = fresh();
    change(&mut facts);
    preflight(&facts, &DriverPlanned { image: &image.parse().unwrap(), config_digest: digest, is_pulled: false })
}

fn codes(found: &Preflight) -> Vec<&'static str> {
    let refused = found.refused.iter().map(PreflightRefused::code);
    refused.chain(found.cautions.iter().map(PreflightCaution::code)).collect()
}

#[test]
fn a_fresh_server_is_fine_and_gets_its_suffix() {
    let found = judged(IMAGE, None, |_| {});
    assert_eq!(codes(&found), [""; 0]);
    assert_eq!(found.image.unwrap().name.to_string(), format!("{IMAGE}-ubuntu24.04"));
}

/// Code, what makes a fresh host have it and nothing else, and what nearly does.
const CASES: [(&str, Change, Change); 22] = [
    (
        "wsl",
        |f| (f.kernel, f.gpus) = (known("5.15.90.1-microsoft-standard-WSL2"), Reading::Known(vec![])),
        |f| f.kernel = known("6.8.0-1017-azure"),
    ),
    ("no_nvidia_gpu", |f| f.gpus = Reading::Known(vec![]), |f| f.gpus = gpu("nvidia")),
    (
        "no_nvidia_gpu",
        |f| f.gpus = gpu("vfio-pci"),
        |f| {
            let mut both = gpu("vfio-pci").into_known().unwrap();
            both.extend(gpu("").into_known().unwrap());
            f.gpus = Reading::Known(both);
        },
    ),
    ("nouveau_bound", |f| f.gpus = gpu("nouveau"), |f| f.modules = Reading::Known(vec![module("nouveau", 0, &[])])),
    ("nova_bound", |f| f.gpus = gpu("NovaCore"), |f| f.gpus = gpu("nvidia")),
    ("nova_bound", |f| f.gpus = gpu("nova_core"), |f| f.modules = Reading::Known(vec![module("nova_core", 0, &[])])),
    ("secure_boot", |f| f.secure_boot = Reading::Known(true), |f| f.secure_boot = none()),
    ("secure_boot", |f| f.lockdown = known("integrity"), |f| f.lockdown = Reading::default()),
    ("secure_boot", |f| f.lockdown = known("confidentiality"), |f| f.lockdown = known("none")),
    ("secure_boot", |f| f.signatures_enforced = Reading::Known(true), |f| f.signatures_enforced = none()),
    (
        "host_driver_present",
        |f| (f.module_version, f.module_references) = (known("580.126.16"), Reading::Known(0)),
        |f| {
            killed(f);
            f.container_library = none();
        },
    ),
    (
        "host_driver_present",
        |f| f.module_file = known("updates/dkms/nvidia.ko.zst"),
        |f| f.module_file = Reading::default(),
    ),
    (
        "host_driver_present",
        |f| f.packages = Reading::Known(vec!["nvidia-driver-580 580.126.16".to_owned()]),
        |f| f.packages = Reading::default(),
    ),
    ("host_driver_present", |f| f.installer = known("/usr/bin/nvidia-uninstall"), killed),
    (
        "host_driver_present",
        |f| f.host_library = library(Some("580.126.16")),
        |f| f.container_library = known("580.126.16"),
    ),
    (
        "driver_mismatch",
        |f| {
            killed(f);
            f.container_library = known("570.1");
            f.modules = Reading::Known(vec![module("nvidia", 1, &[])]);
        },
        killed,
    ),
    (
        "modules_in_the_way",
        |f| {
            killed(f);
            f.modules =
                Reading::Known(vec![module("nvidia", 3, &["nvidia_uvm", "gdrdrv"]), module("nvidia_uvm", 0, &[])]);
        },
        killed,
    ),
    (
        "no_kernel_headers",
        |f| {
            (f.kernel_build, f.headers_package, f.kernel_package) =
                (Reading::Known(false), Reading::Known(false), Reading::Known(false))
        },
        |f| {
            (f.kernel_build, f.headers_package, f.kernel_package) =
                (Reading::Known(true), Reading::Known(false), Reading::Known(false))
        },
    ),
    (
        "no_driver_image_for_os",
        |f| (f.os_id, f.os_version_id) = (known("nixos"), known("25.11")),
        |f| (f.os_id, f.os_version_id) = (known("rocky"), known("9.4")),
    ),
    ("disk_short", |f| f.disk = disk(6 * 1024 * 1024 * 1024 - 1), |f| f.disk = disk(6 * 1024 * 1024 * 1024)),
    (
        "run_nvidia_not_shared",
        |f| (f.systemd, f.mounts) = (false, mounts("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n")),
        |f| f.mounts = mounts("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"),
    ),
    (
        "firmware_path_set",
        |f| f.firmware_path = known("/lib/firmware/ours"),
        |f| f.firmware_path = known("/run/nvidia/driver/lib/firmware"),
    ),
];

fn library(version: Option<&str>) -> Reading<HostLibrary> {
    let path = "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1".to_owned();
    Reading::Known(HostLibrary { path, version: version.map(str::to_owned) })
}

#[test]
fn each_code_has_a_host_that_has_it_alone_and_one_that_nearly_does() {
    for (code, has, nearly) in CASES {
        assert_eq!(codes(&judged(IMAGE, None, has)), [code]);
        assert_eq!(codes(&judged(IMAGE, None, nearly)), [""; 0], "nearly {code}");
    }
}

#[test]
fn every_code_is_in_a_case() {
    // The two that depend on the image have their own tests.
    let elsewhere = ["image_for_other_os", "image_for_other_kernel"];
    for code in PreflightRefused::CODES {
        let tested = CASES.iter().any(|(case, ..)| case == code) || elsewhere.contains(code);
        assert!(tested, "{code}");
    }
}

/// Reports of people who have lost a night to a driver container: where, what their host showed, and what is reported of it now.
const NIGHTS: [(&str, Change, &[&str]); 12] = [
    (
        "microsoft/pai#2962: the Nouveau kernel driver is currently in use",
        |f| f.gpus = gpu("nouveau"),
        &["nouveau_bound"],
    ),
    ("beclab/Olares#3963: already bound to NovaCore, Ubuntu 26.04", |f| f.gpus = gpu("NovaCore"), &["nova_bound"]),
    (
        "gpu-operator#1726: loading of unsigned module is rejected, 20 restarts",
        |f| f.lockdown = known("integrity"),
        &["secure_boot"],
    ),
    (
        "gpu-driver-container#44: Secure Boot, unable to load nvidia.ko",
        |f| (f.secure_boot, f.lockdown) = (Reading::Known(true), known("integrity")),
        &["secure_boot"],
    ),
    (
        "secureblue#1043: module.sig_enforce=1 without Secure Boot",
        |f| f.signatures_enforced = Reading::Known(true),
        &["secure_boot"],
    ),
    (
        "gpu-driver-container#869: gdrdrv holds the module, the restart loop never ends",
        |f| {
            killed(f);
            f.modules = Reading::Known(vec![module("nvidia", 3, &["nvidia_uvm", "nvidia_modeset", "gdrdrv"])]);
        },
        &["modules_in_the_way"],
    ),
    (
        "gpu-operator#155: could not resolve Linux kernel version, a kernel of ELRepo",
        |f| {
            (f.kernel_build, f.headers_package, f.kernel_package) =
                (Reading::Known(false), Reading::Known(false), Reading::Known(false))
        },
        &["no_kernel_headers"],
    ),
    (
        "gpu-operator#85: the same on a kernel that the mirror has dropped",
        |f| (f.kernel_build, f.headers_package) = (Reading::Known(false), Reading::Known(false)),
        &["headers_from_mirror"],
    ),
    (
        "container-engine-accelerators#101: headers of bionic looked for in xenial",
        |f| (f.os_id, f.os_version_id) = (known("linuxmint"), known("22")),
        &["no_driver_image_for_os"],
    ),
    (
        "gpu-operator#315: /run/nvidia is not a shared mount",
        |f| (f.systemd, f.mounts) = (false, mounts("1 0 8:1 / / rw - ext4 d rw\n2 1 0:9 / /run rw - tmpfs t rw\n")),
        &["run_nvidia_not_shared"],
    ),
    (
        "pando85/homelab#4110: unattended-upgrades replaced the libraries, 269 restarts",
        |f| {
            f.module_version = known("580.95.05");
            f.host_library = library(Some("580.105.08"));
            f.packages = Reading::Known(vec!["libnvidia-compute-580 580.105.08-0ubuntu1".to_owned()]);
        },
        &["host_driver_present", "driver_mismatch"],
    ),
    (
        "gpu-operator#1292: a driver of the host where the operator deploys its own",
        |f| f.packages = Reading::Known(vec!["nvidia-driver-550-server 550.144.03".to_owned()]),
        &["host_driver_present"],
    ),
];

#[test]
fn nights_that_others_have_lost() {
    for (report, change, expected) in NIGHTS {
        assert_eq!(codes(&judged(IMAGE, None, change)), expected, "{report}");
    }
}

#[test]
fn everything_is_reported_at_once() {
    let found = judged(IMAGE, None, |facts| {
        facts.gpus = gpu("nouveau");
        facts.secure_boot = Reading::Known(true);
        facts.host_library = library(Some("570.1"));
        facts.module_version = known("580.1");
        facts.disk = disk(0);
    });
    assert_eq!(codes(&found), ["nouveau_bound", "secure_boot", "host_driver_present", "driver_mismatch", "disk_short"]);
}

#[test]
fn an_image_for_another_host_is_refused() {
    let of = |image: &str| codes(&judged(image, None, |_| {}));
    assert_eq!(of("nvcr.io/nvidia/driver:580.126.16-ubuntu22.04"), ["image_for_other_os"]);
    assert_eq!(of("nvcr.io/nvidia/driver:580.126.16-ubuntu24.04"), [""; 0]);
    assert_eq!(of("nvcr.io/nvidia/driver:580-6.8.0-47-generic-ubuntu24.04"), ["image_for_other_kernel"]);
    assert_eq!(of("nvcr.io/nvidia/driver:580-6.8.0-45-generic-ubuntu24.04"), [""; 0]);
    let unknown = codes(&judged("r.example/d:580-ubuntu24.04", None, |f| {
        (f.os_id, f.os_version_id) = (known("pop"), known("22.04"))
    }));
    assert_eq!(unknown, [""; 0], "a suffix that an administrator has chosen");
}

#[test]
fn precompiled_modules_need_no_headers_and_may_be_signed() {
    let strict: Change = |f| {
        (f.kernel_build, f.headers_package, f.kernel_package) =
            (Reading::Known(false), Reading::Known(false), Reading::Known(false));
        f.secure_boot = Reading::Known(true);
    };
    let found = judged("nvcr.io/nvidia/driver:580-6.8.0-45-generic-ubuntu24.04", None, strict);
    assert_eq!(codes(&found), ["signed_by_unknown_key"]);
    let found = judged(IMAGE, None, strict);
    assert_eq!(codes(&found), ["secure_boot", "no_kernel_headers"]);
    let said = found.refused.first().unwrap().to_string();
    assert!(said.contains("`580-6.8.0-45-generic-ubuntu24.04`"), "{said}");
    // Of a bare digest it is not known what it holds.
    let pinned = format!("nvcr.io/nvidia/driver@sha256:{}", "a".repeat(64));
    assert_eq!(codes(&judged(&pinned, None, strict)), ["signed_by_unknown_key", "headers_from_mirror"]);
}

#[test]
fn headers_that_a_mirror_may_have_are_only_a_caution() {
    let of = |package: Reading<bool>| {
        codes(&judged(IMAGE, None, move |f| {
            (f.kernel_build, f.headers_package, f.kernel_package) =
                (Reading::Known(false), Reading::Known(false), package.clone());
        }))
    };
    assert_eq!(of(Reading::Known(true)), ["headers_from_mirror"]);
    assert_eq!(of(Reading::Known(false)), ["no_kernel_headers"]);
    assert_eq!(of(Reading::Absent(Absence::NotSupported)), ["not_checked"]);
}

#[test]
fn a_module_that_is_installed_as_wished_is_kept_and_not_judged_again() {
    let strict = |f: &mut DriverHostFacts| {
        killed(f);
        f.secure_boot = Reading::Known(true);
        f.kernel_package = Reading::Known(false);
        f.kernel_build = none();
        f.headers_package = none();
        f.disk = disk(5 * 1024 * 1024 * 1024);
        f.modules = Reading::Known(vec![module("nvidia", 9, &["gdrdrv", "nvidia_drm"])]);
    };
    let found = judged(IMAGE, Some("gpuhost1-0"), strict);
    assert!(found.keeps_module && codes(&found).is_empty(), "{found:?}");
    let found = judged(IMAGE, Some("gpuhost1-1"), strict);
    assert!(!found.keeps_module);
    assert_eq!(codes(&found), ["secure_boot", "modules_in_the_way", "no_kernel_headers", "disk_short"]);
    // Both digests unknown is not "equal".
    assert!(!judged(IMAGE, None, |f| f.module_references = Reading::Known(0)).keeps_module);
}

#[test]
fn what_an_earlier_container_left_is_replaced_unless_it_is_in_use() {
    let left = |references: u32| {
        codes(&judged(IMAGE, None, move |f| {
            killed(f);
            f.container_library = known("570.1");
            f.modules =
                Reading::Known(vec![module("nvidia", references, &["nvidia_uvm"]), module("nvidia_uvm", 0, &[])]);
        }))
    };
    assert_eq!(left(1), ["leftover_mismatch"]);
    assert_eq!(left(2), ["driver_mismatch"]);
}

#[test]
fn unread_facts_are_no_refusals() {
    let unread = || Reading::Absent(Absence::NoPermission);
    let found = judged(IMAGE, None, |f| {
        f.gpus = Reading::Absent(Absence::NoPermission);
        f.disk = Reading::Absent(Absence::NoPermission);
        f.mounts = Reading::Absent(Absence::NoPermission);
        f.secure_boot = Reading::Absent(Absence::NoPermission);
    });
    assert_eq!(codes(&found), ["not_checked"; 4]);
    let nothing = preflight(
        &DriverHostFacts { os_id: unread(), ..DriverHostFacts::default() },
        &DriverPlanned { image: &IMAGE.parse().unwrap(), config_digest: None, is_pulled: false },
    );
    assert!(nothing.refused.iter().all(|refused| refused.code() == "no_driver_image_for_os"), "{nothing:?}");
}

#[test]
fn a_driver_of_the_host_is_named_with_how_it_goes() {
    let said = |change: Change| judged(IMAGE, None, change).refused.first().unwrap().to_string();
    let packages = said(|f| {
        f.packages =
            Reading::Known(vec!["nvidia-driver-580 580.1".to_owned(), "libnvidia-compute-580 580.1".to_owned()])
    });
    assert!(packages.contains("`apt purge nvidia-driver-580 libnvidia-compute-580`"), "{packages}");
    let installer = said(|f| f.installer = known("/usr/bin/nvidia-uninstall"));
    assert!(installer.contains("`/usr/bin/nvidia-uninstall --silent`"), "{installer}");
    let library = said(|f| (f.host_library, f.tool) = (library(None), PackageTool::Dnf));
    assert!(library.contains("`rpm -qf /usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1`"), "{library}");
    let module = said(|f| f.module_references = Reading::Known(0));
    assert!(module.contains("modprobe -r nvidia_drm"), "{module}");
    let nouveau = said(|f| (f.gpus, f.tool) = (gpu("nouveau"), PackageTool::Dnf));
    assert!(nouveau.contains(GPU) && nouveau.contains("dracut -f"), "{nouveau}");
}

#[test]
fn a_refusal_survives_json() {
    for (_, has, _) in CASES {
        let found = judged(IMAGE, None, has);
        let text = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Preflight>(&text).unwrap(), found, "{text}");
        for refused in &found.refused {
            assert_eq!(serde_json::to_value(refused).unwrap()["code"], refused.code());
        }
    }
}

/// A driver that a start of the container has made ready.
fn ready(facts: &mut DriverHostFacts) {
    killed(facts);
    facts.entrypoint_runs = Reading::Known(true);
    facts.daemons_status = known("Ready");
}

fn readiness(change: Change, answer: Result<DriverAnswer, &str>) -> String {
    let mut facts = fresh();
    ready(&mut facts);
    change(&mut facts);
    match driver_readiness(&facts, answer.as_ref().map_err(|why| *why)) {
        DriverReadiness::Ready { fabric, .. } => format!("ready, {} with a fabric", fabric.len()),
        DriverReadiness::NotYet { lacks } => {
            assert!(lacks.to_string().len() > 40, "{lacks}");
            lacks.code().to_owned()
        }
    }
}

fn answer(version: &str, state: Option<(&str, Option<&str>)>) -> DriverAnswer {
    let fabric = state.map(|(state, status)| FabricOfGpu {
        gpu: GPU.parse().unwrap(),
        state: state.to_owned(),
        status: status.map(str::to_owned),
    });
    DriverAnswer { version: Some(version.to_owned()), gpus: 1, fabric: fabric.into_iter().collect() }
}

#[test]
fn a_driver_is_ready_when_each_step_of_its_start_is_done() {
    let fine = || Ok(answer("580.126.16", None));
    assert_eq!(readiness(|_| {}, fine()), "ready, 0 with a fabric");
    assert_eq!(readiness(|f| f.daemons_status = none(), fine()), "ready, 0 with a fabric", "an image before 2026-08");
    assert_eq!(readiness(|f| f.mounts = Reading::default(), fine()), "ready, 0 with a fabric", "not known");
    let cases: [(Change, &str); 6] = [
        (|f| f.module_references = none(), "module"),
        (|f| f.daemons_status = known("NotReady"), "daemons"),
        (|f| f.daemons_status = known(""), "daemons"),
        (|f| f.mounts = mounts(SHARED), "root"),
        (|f| (f.daemons_status, f.mounts) = (none(), mounts(SHARED)), "root"),
        (|f| f.module_version = known("570.1"), "version"),
    ];
    for (change, lacks) in cases {
        assert_eq!(readiness(change, fine()), lacks);
    }
    assert_eq!(readiness(|_| {}, Err("nvidia-smi exited with 9")), "answer");
    assert_eq!(readiness(|_| {}, Ok(DriverAnswer { gpus: 0, ..answer("580.126.16", None) })), "no_gpu");
}

#[test]
fn the_fabric_counts_where_there_are_nvswitches() {
    let of = |state: &str, status: Option<&str>| Ok(answer("580.126.16", Some((state, status))));
    let switched: Change = |f| f.nvswitches = vec!["0000:07:00.0".parse().unwrap()];
    assert_eq!(readiness(|_| {}, of("Not Started", None)), "ready, 0 with a fabric", "no NVSwitch");
    assert_eq!(readiness(switched, of("Completed", Some("Success"))), "ready, 1 with a fabric");
    assert_eq!(readiness(switched, of("Completed", None)), "ready, 1 with a fabric");
    for (state, status) in [("Not Started", None), ("In Progress", None), ("Completed", Some("Initialization error"))] {
        assert_eq!(readiness(switched, of(state, status)), "fabric", "{state}");
    }
    assert_eq!(readiness(switched, Ok(answer("580.126.16", None))), "ready, 0 with a fabric", "it reports none");
}
