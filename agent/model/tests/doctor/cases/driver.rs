//! Cases of the kernel driver.

use super::{Case, all_on, case, cmdline, driverless, first, known, named, on, said};
use crate::world::setting;
use model::absence::{Absence, Reading};
use model::doctor::doctor_facts::{DoctorFacts, Library};
use model::mig::MigMaster;

fn no_module(facts: &mut DoctorFacts) {
    driverless(facts);
    facts.kernel.nvidia_module_file = Reading::Absent(Absence::None);
}

fn amd(facts: &mut DoctorFacts) {
    first(facts).id = "1002:740f".parse().unwrap();
    first(facts).driver = Reading::Absent(Absence::None);
}

pub(super) fn cases() -> Vec<Case> {
    [bound(), unloaded(), versions()].into_iter().flatten().collect()
}

fn bound() -> Vec<Case> {
    vec![
        case(
            "mig_second_master",
            |f| {
                f.host
                    .host
                    .mig_masters
                    .extend(MigMaster::of_link("multi-user.target.wants", "nvidia-mig-manager.service"))
            },
            |f| {
                f.host
                    .host
                    .mig_masters
                    .extend(MigMaster::of_link("multi-user.target.wants", "nvidia-fabricmanager.service"))
            },
        ),
        case("nouveau_bound", |f| on(first(f), "nouveau"), |f| on(first(f), "vfio-pci")),
        case("nova_bound", |f| on(first(f), "NovaCore"), |f| on(first(f), "nouveau")),
        case(
            "gpu_without_driver",
            |f| first(f).driver = Reading::Absent(Absence::None),
            // The user set it aside.
            |f| {
                first(f).driver = Reading::Absent(Absence::None);
                first(f).driver_override = Reading::Known("pci-stub".to_owned());
            },
        ),
        case(
            "open_modules_required",
            |f| {
                driverless(f);
                f.kernel.modules = Reading::Known(vec!["nvidia".to_owned()]);
                said(
                    f,
                    "NVRM: GPU 0000:41:00.0: installed in this system requires use of the NVIDIA open kernel modules.",
                );
            },
            // Said at an earlier attempt; now the driver answers.
            |f| {
                said(
                    f,
                    "NVRM: GPU 0000:41:00.0: installed in this system requires use of the NVIDIA open kernel modules.",
                )
            },
        ),
        case(
            "firmware_missing",
            |f| {
                amd(f);
                said(f, "amdgpu 0000:41:00.0: Direct firmware load for amdgpu/aldebaran_sos.bin failed with error -2");
            },
            |f| said(f, "amdgpu 0000:41:00.0: Direct firmware load for amdgpu/isp_4_1_1.bin failed with error -2"),
        ),
        case(
            "no_render_node",
            |f| {
                amd(f);
                on(first(f), "amdgpu");
            },
            |f| {
                amd(f);
                on(first(f), "amdgpu");
                first(f).drm.render = Some("renderD128".to_owned());
            },
        ),
    ]
}

fn unloaded() -> Vec<Case> {
    vec![
        case(
            "driver_not_installed",
            |f| {
                no_module(f);
                f.nvidia.libraries = Reading::Known(Vec::new());
            },
            |f| {
                // All GPUs are set aside for virtual machines.
                all_on(f, "vfio-pci");
                f.kernel.nvidia_module_file = Reading::Absent(Absence::None);
                f.nvidia.libraries = Reading::Known(Vec::new());
            },
        ),
        case(
            "kernel_headers_missing",
            |f| {
                no_module(f);
                f.kernel.headers = Reading::Known(false);
            },
            |f| f.kernel.headers = Reading::Known(false),
        ),
        case("module_not_built", no_module, driverless),
        case(
            "secure_boot_rejects_module",
            |f| {
                driverless(f);
                said(f, "Loading of module with unavailable key is rejected");
                said(f, "nvidia: Key was rejected by service");
            },
            |f| {
                driverless(f);
                said(f, "vboxdrv: loading module vboxdrv with unavailable key: Key was rejected by service");
            },
        ),
        case(
            "module_blacklisted",
            |f| {
                driverless(f);
                known(&mut f.kernel.modprobe).push(setting("blacklist nvidia"));
            },
            |f| {
                driverless(f);
                known(&mut f.kernel.modprobe).push(setting("blacklist nvidia_drm"));
                cmdline(f, "module_blacklist=nouveau");
            },
        ),
        case("module_not_loaded", driverless, |f| {
            // The driver of a container has the GPUs in its hands.
            driverless(f);
            f.nvidia.container_driver = Reading::Known(true);
            f.nvidia.container_driver_alive = Reading::Known(true);
        }),
    ]
}

fn library(version: &str, current: bool) -> Library {
    let path = format!("/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.{version}");
    Library { path, version: version.to_owned(), current }
}

fn versions() -> Vec<Case> {
    vec![
        case(
            "driver_version_mismatch",
            |f| f.nvidia.libraries = Reading::Known(vec![library("580.126.16", true)]),
            |f| {
                f.nvidia.libraries = Reading::Known(vec![library(crate::world::DRIVER, true), library("550.1", false)]);
            },
        ),
        case(
            "two_driver_installations",
            |f| f.nvidia.runfile = Reading::Known(true),
            |f| {
                f.nvidia.runfile = Reading::Known(true);
                f.nvidia.packages = Reading::Known(Vec::new());
            },
        ),
        case(
            "driver_upgrades_by_itself",
            |f| f.nvidia.upgrade_exceptions.clear(),
            |f| {
                f.nvidia.upgrade_exceptions.clear();
                known(&mut f.nvidia.packages).iter_mut().for_each(|package| package.held = true);
            },
        ),
        case(
            "reboot_required",
            |f| known(&mut f.kernel.reboot_required).push("linux-image-6.8.0-62-generic".to_owned()),
            |f| known(&mut f.kernel.reboot_required).push("dbus".to_owned()),
        ),
        case(
            "persistenced_failed",
            |f| named(f, "nvidia-persistenced.service").active = "failed".to_owned(),
            |f| named(f, "nvidia-persistenced.service").active = "inactive".to_owned(),
        ),
    ]
}
