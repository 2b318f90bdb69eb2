//! Whether a driver container can work on this host, found out before anything is pulled: everything that speaks against it at once.

use super::driver_host_facts::{DriverHostFacts, GpuBinding};
use super::driver_image::{DriverImage, DriverImageFault, DriverImageTag, OsTag, driver_image, is_for_kernel};
use super::mounts::DRIVER_ROOT;
use super::preflight_refused::{HostDriverTrace, PreflightCaution, PreflightRefused};
use crate::absence::{Absence, Reading};
use crate::ids::PciAddress;
use crate::image_ref::ImageRef;
use serde::{Deserialize, Serialize};

const GIB: u64 = 1024 * 1024 * 1024;

/// A driver image as it comes and unpacked: an Ubuntu or RHEL base with a compiler, and the installer of some 400 MB. Estimated from
/// its recipe (gpu-driver-container, `ubuntu24.04/Dockerfile`), with room for the archive beside the layers.
pub const DRIVER_IMAGE_BYTES: u64 = 3 * GIB;
/// What a start writes into the container: the installer unpacked (1.2 GB), headers and kernel packages (0.4 GB), the objects of the
/// build (0.5 GB) and the installed libraries (0.9 GB). Estimated from the entrypoint's steps.
pub const DRIVER_BUILD_BYTES: u64 = 3 * GIB;
/// The same without a build: packages of a precompiled driver, or the libraries alone.
pub const DRIVER_INSTALL_BYTES: u64 = 3 * GIB / 2;

/// Modules that NVIDIA's entrypoint unloads together with `nvidia`, in each of its versions.
const UNLOADED: [&str; 3] = ["nvidia_modeset", "nvidia_uvm", "nvidia_peermem"];

/// What is to be started.
#[derive(Debug, Clone, Copy)]
pub struct DriverPlanned<'a> {
    /// The image as it is in the settings.
    pub image: &'a ImageRef,
    /// The digest of the settings (`driver_config_digest`), where the image's digest is known already.
    pub config_digest: Option<&'a str>,
    /// The image is on this host.
    pub is_pulled: bool,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Preflight {
    /// The image to pull, where one fits.
    pub image: Option<DriverImage>,
    /// The entrypoint leaves the loaded module alone: it was installed with these settings.
    pub keeps_module: bool,
    /// What speaks against it, all of it.
    pub refused: Vec<PreflightRefused>,
    /// What may go wrong, and what could not be checked.
    pub cautions: Vec<PreflightCaution>,
}

/// Judges the host. Without a refusal the container can be started, once `share_plan` is done.
#[must_use]
pub fn preflight(facts: &DriverHostFacts, planned: &DriverPlanned<'_>) -> Preflight {
    let stored = facts.installed_digest.known().map(String::as_str);
    let keeps_module = facts.module_references.known().is_some() && stored.is_some() && stored == planned.config_digest;
    let mut found = Preflight { keeps_module, ..Preflight::default() };
    wsl(facts, &mut found);
    gpus(facts, &mut found);
    image(facts, planned.image, &mut found);
    signatures(facts, &mut found);
    host_driver(facts, &mut found);
    mismatch(facts, &mut found);
    modules_in_the_way(facts, &mut found);
    headers(facts, &mut found);
    disk(facts, planned.is_pulled, &mut found);
    shared(facts, &mut found);
    firmware(facts, &mut found);
    found
}

impl Preflight {
    fn refuse(&mut self, refused: PreflightRefused) {
        self.refused.push(refused);
    }

    /// A fact that is not known makes no refusal; one that the host does not have is known.
    fn not_checked<T>(&mut self, what: &str, reading: &Reading<T>) {
        if let Reading::Absent(why) = reading
            && *why != Absence::None
        {
            self.cautions.push(PreflightCaution::NotChecked { what: what.to_owned(), why: why.code().to_owned() });
        }
    }

    /// What the tag shows of the image; an image that could not be composed builds its module.
    fn tag(&self) -> &DriverImageTag {
        self.image.as_ref().map_or(&DriverImageTag::Version, |image| &image.tag)
    }
}

/// The kernel of WSL: `5.15.90.1-microsoft-standard-WSL2`. Azure's is called `azure`.
fn wsl(facts: &DriverHostFacts, found: &mut Preflight) {
    let Some(kernel) = facts.kernel.known() else { return };
    let lower = kernel.to_lowercase();
    if lower.contains("microsoft") || lower.contains("wsl") {
        found.refuse(PreflightRefused::Wsl { kernel: kernel.clone() });
    }
}

fn gpus(facts: &DriverHostFacts, found: &mut Preflight) {
    let Some(gpus) = facts.gpus.known() else {
        found.not_checked("which NVIDIA GPUs there are, and which drivers they have", &facts.gpus);
        return;
    };
    let driver = |binding: &GpuBinding| binding.driver.known().map_or("", |driver| driver.as_str()).to_owned();
    let bound = |is_wanted: &dyn Fn(&str) -> bool| -> Vec<PciAddress> {
        gpus.iter().filter(|binding| is_wanted(&driver(binding))).map(|binding| binding.gpu).collect()
    };
    let passthrough = bound(&|driver| driver.contains("vfio") || driver == "pci-stub");
    if passthrough.len() == gpus.len() {
        // In WSL there is no PCI bus with a GPU, which is no news beside the other.
        if !found.refused.iter().any(|refused| matches!(refused, PreflightRefused::Wsl { .. })) {
            found.refuse(PreflightRefused::NoNvidiaGpu { passthrough });
        }
        return;
    }
    let nouveau = bound(&|driver| driver == "nouveau");
    if !nouveau.is_empty() {
        found.refuse(PreflightRefused::NouveauBound { gpus: nouveau, tool: facts.tool });
    }
    let is_nova = |driver: &str| driver.to_lowercase().starts_with("nova");
    let nova = bound(&is_nova);
    if let Some(name) = gpus.iter().map(driver).find(|driver| is_nova(driver)) {
        found.refuse(PreflightRefused::NovaBound { gpus: nova, driver: name, tool: facts.tool });
    }
}

/// The name to pull, and whether it is for this distribution and kernel.
fn image(facts: &DriverHostFacts, wanted: &ImageRef, found: &mut Preflight) {
    let (id, version) = (facts.os_id.known().map(String::as_str), facts.os_version_id.known().map(String::as_str));
    let image = match driver_image(wanted, id, version) {
        Ok(image) => image,
        Err(DriverImageFault::NoImageForOs { id, version }) => {
            return found.refuse(PreflightRefused::NoDriverImageForOs { id, version });
        }
        // The suffix makes the tag longer than a tag may be: the name as it is goes to Docker, which reports what it lacks.
        Err(DriverImageFault::Name(_)) => DriverImage { name: wanted.clone(), tag: DriverImageTag::Version },
    };
    let host = id.zip(version).and_then(|(id, version)| OsTag::of_host(id, version));
    if let Some((tag, host)) = image.tag.os().zip(host.as_ref())
        && !tag.fits(host)
    {
        found.refuse(PreflightRefused::ImageForOtherOs { image_os: tag.to_string(), host_os: host.to_string() });
    }
    if let (DriverImageTag::Precompiled { kernel, .. }, Some(running)) = (&image.tag, facts.kernel.known())
        && !is_for_kernel(kernel, running)
    {
        let (image_kernel, running) = (kernel.clone(), running.clone());
        found.refuse(PreflightRefused::ImageForOtherKernel { image_kernel, running });
    }
    found.image = Some(image);
}

/// Secure Boot and lockdown reject what the image builds.
fn signatures(facts: &DriverHostFacts, found: &mut Preflight) {
    let secure_boot = facts.secure_boot.get();
    let lockdown = facts.lockdown.known().cloned();
    let is_locked = lockdown.as_deref().is_some_and(|mode| mode != "none");
    let enforces = secure_boot == Some(true) || is_locked || facts.signatures_enforced.get() == Some(true);
    if !enforces {
        // Without UEFI there is no such variable, and without the security module no such file: then nothing is enforced by them.
        let unread = matches!(
            facts.secure_boot,
            Reading::Absent(Absence::NoPermission | Absence::Unreadable(_) | Absence::Garbled(_))
        );
        if unread {
            found.not_checked("Secure Boot", &facts.secure_boot);
        }
        return;
    }
    // What is loaded already has been accepted.
    if found.keeps_module {
        return;
    }
    match found.tag() {
        DriverImageTag::Precompiled { .. } | DriverImageTag::Untagged => {
            found.cautions.push(PreflightCaution::SignedByUnknownKey { secure_boot, lockdown });
        }
        DriverImageTag::Version | DriverImageTag::ForOs { .. } => {
            let precompiled = precompiled_tag(facts, found.image.as_ref());
            found.refuse(PreflightRefused::SecureBoot { secure_boot, lockdown, precompiled });
        }
    }
}

/// `580-6.8.0-45-generic-ubuntu24.04`: NVIDIA publishes such images for Ubuntu, with modules that Canonical has signed.
fn precompiled_tag(facts: &DriverHostFacts, image: Option<&DriverImage>) -> Option<String> {
    let branch = image?.name.tag()?.split(['.', '-']).next()?;
    let is_branch = (1..=4).contains(&branch.len()) && branch.bytes().all(|byte| byte.is_ascii_digit());
    let os = image?.tag.os().filter(|os| os.as_str().starts_with("ubuntu") && is_branch)?;
    Some(format!("{branch}-{}-{os}", facts.kernel.known()?))
}

fn host_driver(facts: &DriverHostFacts, found: &mut Preflight) {
    let mut traces = Vec::new();
    if facts.is_module_loaded() && !facts.has_container_trace() {
        traces.push(HostDriverTrace::Module { version: facts.module_version.known().cloned() });
    }
    if let Some(path) = facts.module_file.known() {
        let release = facts.kernel.known().map_or("", String::as_str);
        traces.push(HostDriverTrace::ModuleFile { path: format!("/lib/modules/{release}/{path}") });
    }
    if let Some(library) = facts.host_library.known() {
        traces.push(HostDriverTrace::Library { path: library.path.clone(), version: library.version.clone() });
    }
    if let Some(names) = facts.packages.known().filter(|names| !names.is_empty()) {
        traces.push(HostDriverTrace::Packages { names: names.clone() });
    }
    if let Some(path) = facts.installer.known() {
        traces.push(HostDriverTrace::Installer { path: path.clone() });
    }
    if !traces.is_empty() {
        found.refuse(PreflightRefused::HostDriverPresent { found: traces, tool: facts.tool });
    }
}

fn mismatch(facts: &DriverHostFacts, found: &mut Preflight) {
    let Some(module) = facts.module_version.known() else { return };
    let host = facts.host_library.known().and_then(|library| library.version.as_ref());
    let (library, place) = match (host, facts.container_library.known()) {
        (Some(library), _) => (library, "the host"),
        (None, Some(library)) => (library, "the driver container"),
        (None, None) => return,
    };
    if module == library {
        return;
    }
    let (module, library) = (module.clone(), library.clone());
    // The entrypoint replaces what an earlier one has left, unless a process uses the module.
    if host.is_none() && is_unloaded_by_entrypoint(facts) {
        found.cautions.push(PreflightCaution::LeftoverMismatch { module, library });
    } else {
        found.refuse(PreflightRefused::DriverMismatch { module, library, place: place.to_owned() });
    }
}

/// The rule of the entrypoint (`_unload_driver`): no reference but those of the modules that it unloads too.
fn is_unloaded_by_entrypoint(facts: &DriverHostFacts) -> bool {
    let Some(nvidia) = facts.module("nvidia") else {
        return facts.module_references.get().is_none_or(|count| count == 0);
    };
    let companions = || UNLOADED.iter().filter_map(|name| facts.module(name));
    let own = u32::try_from(companions().count()).unwrap_or(u32::MAX);
    nvidia.references <= own && companions().all(|module| module.references == 0)
}

/// `nvidia_drm`, `nvidia_fs`, `gdrdrv`, `nvidia_vgpu_vfio` and others that hold `nvidia` or its companions.
fn modules_in_the_way(facts: &DriverHostFacts, found: &mut Preflight) {
    if found.keeps_module || !facts.has_container_trace() {
        return;
    }
    let held = ["nvidia"].into_iter().chain(UNLOADED).filter_map(|name| facts.module(name));
    let mut modules: Vec<String> = held.flat_map(|module| module.used_by.iter().cloned()).collect();
    modules.retain(|name| !UNLOADED.contains(&name.as_str()));
    modules.sort_unstable();
    modules.dedup();
    if !modules.is_empty() {
        found.refuse(PreflightRefused::ModulesInTheWay { modules });
    }
}

/// The container downloads the headers itself, so that those of the host are only a sign that a mirror has them.
fn headers(facts: &DriverHostFacts, found: &mut Preflight) {
    let builds = match found.tag() {
        DriverImageTag::Precompiled { .. } => false,
        DriverImageTag::Untagged | DriverImageTag::Version | DriverImageTag::ForOs { .. } => !found.keeps_module,
    };
    let Some(kernel) = facts.kernel.known().filter(|_| builds) else { return };
    let is = |reading: &Reading<bool>| reading.get() == Some(true);
    if is(&facts.kernel_build) || is(&facts.headers_package) {
        return;
    }
    let kernel = kernel.clone();
    match facts.kernel_package.get() {
        // Of an image without a tag it is not known whether it builds one.
        Some(false) if *found.tag() != DriverImageTag::Untagged => {
            found.refuse(PreflightRefused::NoKernelHeaders { kernel });
        }
        Some(_) => found.cautions.push(PreflightCaution::HeadersFromMirror { kernel }),
        None => found.not_checked("whether the kernel is from a package of the distribution", &facts.kernel_package),
    }
}

fn disk(facts: &DriverHostFacts, is_pulled: bool, found: &mut Preflight) {
    let Some(disk) = facts.disk.known() else {
        found.not_checked("free space of Docker's root directory", &facts.disk);
        return;
    };
    let builds = !found.keeps_module && !matches!(found.tag(), DriverImageTag::Precompiled { .. });
    let start = if builds { DRIVER_BUILD_BYTES } else { DRIVER_INSTALL_BYTES };
    let needed_bytes = start + if is_pulled { 0 } else { DRIVER_IMAGE_BYTES };
    if disk.available_bytes < needed_bytes {
        let (path, free_bytes) = (disk.path.clone(), disk.available_bytes);
        found.refuse(PreflightRefused::DiskShort { path, free_bytes, needed_bytes });
    }
}

/// Where systemd runs the machine it is asked to share the folder.
fn shared(facts: &DriverHostFacts, found: &mut Preflight) {
    let Some(mounts) = facts.mounts.known() else {
        found.not_checked("whether /run/nvidia is shared", &facts.mounts);
        return;
    };
    let holder = mounts.holder.as_ref().filter(|holder| holder.shared.is_none() && !facts.systemd);
    if let Some(holder) = holder {
        found.refuse(PreflightRefused::RunNvidiaNotShared { mount_point: holder.point.clone() });
    }
}

/// The entrypoint writes its own path there only where none is.
fn firmware(facts: &DriverHostFacts, found: &mut Preflight) {
    let ours = format!("{}/lib/firmware", DRIVER_ROOT);
    if let Some(path) = facts.firmware_path.known().filter(|path| **path != ours) {
        found.cautions.push(PreflightCaution::FirmwarePathSet { path: path.clone() });
    }
}
