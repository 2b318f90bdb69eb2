//! Which files of NVIDIA's user space are there, on the host or in the driver container.

use model::absence::{Absence, Reading};
use model::stack::StackFile;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where a driver container shows its root.
const DRIVER_CONTAINER: &str = "run/nvidia/driver";

/// Folders of libraries: Debian's, the one of 64 bits elsewhere, NVIDIA's installer's, and those of other machines and WSL.
const LIBRARIES: [&str; 8] = [
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "usr/lib64",
    "usr/lib",
    "usr/lib/x86_64-linux-gnu/nvidia/current",
    "usr/lib/aarch64-linux-gnu/nvidia/current",
    "usr/lib/wsl/lib",
    "opt/nvidia/lib64",
];

/// Folders of the files that name NVIDIA's EGL and Vulkan drivers.
const EGL_VENDORS: [&str; 2] = ["etc/glvnd/egl_vendor.d", "usr/share/glvnd/egl_vendor.d"];
const VULKAN_ICDS: [&str; 3] = ["etc/vulkan/icd.d", "usr/share/vulkan/icd.d", "usr/local/share/vulkan/icd.d"];

/// More files than any of these folders has.
const FILES_MAX: usize = 4096;

/// The files that are there.
pub(super) fn files(root: &Path) -> Reading<BTreeSet<StackFile>> {
    if !root.join("usr").is_dir() {
        return Reading::Absent(Absence::NotReported);
    }
    let roots = roots(root);
    Reading::Known(
        StackFile::ALL.iter().copied().filter(|file| roots.iter().any(|root| is_there(root, *file))).collect(),
    )
}

fn roots(root: &Path) -> [PathBuf; 2] {
    [root.to_owned(), root.join(DRIVER_CONTAINER)]
}

fn is_there(root: &Path, file: StackFile) -> bool {
    let library = |name: &str| LIBRARIES.iter().any(|folder| root.join(folder).join(name).exists());
    let named = |folders: &[&str]| folders.iter().any(|folder| !matching(&root.join(folder), is_nvidias).is_empty());
    match file {
        StackFile::EglVendor => named(&EGL_VENDORS),
        StackFile::VulkanIcd => named(&VULKAN_ICDS),
        StackFile::Nvml
        | StackFile::Cuda
        | StackFile::Encode
        | StackFile::Decode
        | StackFile::EglLibrary
        | StackFile::GlxLibrary
        | StackFile::VaNvidia => library(file.file()),
    }
}

/// `10_nvidia.json`, `nvidia_icd.x86_64.json`.
fn is_nvidias(name: &str) -> bool {
    name.contains("nvidia") && name.ends_with(".json")
}

fn matching(folder: &Path, is_wanted: fn(&str) -> bool) -> Vec<String> {
    let listed = std::fs::read_dir(folder).into_iter().flatten().flatten().take(FILES_MAX);
    listed.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| is_wanted(name)).collect()
}

/// The version behind `libnvidia-ml.so.`, on the host first. Where no name has one nothing can be determined.
pub(super) fn version(root: &Path) -> Reading<String> {
    let found: Vec<Option<String>> =
        roots(root).iter().filter_map(|root| nvml_below(root).map(|(_, version)| version)).collect();
    let absence = if found.is_empty() { Absence::None } else { Absence::NotReported };
    found.into_iter().flatten().next().map_or(Reading::Absent(absence), Reading::Known)
}

/// `libnvidia-ml.so.1` below one root: where it is, relative to the root, and the version in the name that it leads to. Of several the
/// first that has a version.
pub(in crate::front::facts) fn nvml_below(root: &Path) -> Option<(String, Option<String>)> {
    let mut without_version = None;
    for folder in LIBRARIES {
        let path = format!("{folder}/{}", StackFile::Nvml.file());
        let Ok(target) = std::fs::canonicalize(root.join(&path)) else { continue };
        let name = target.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match name.strip_prefix("libnvidia-ml.so.").filter(|version| is_version(version)) {
            Some(version) => return Some((path, Some(version.to_owned()))),
            None => without_version = without_version.or(Some((path, None))),
        }
    }
    without_version
}

/// The same in the root that a driver container mounts.
pub(in crate::front::facts) fn nvml_of_container(root: &Path) -> Option<(String, Option<String>)> {
    nvml_below(&root.join(DRIVER_CONTAINER))
}

/// At least two numbers: `580.82`.
fn is_version(text: &str) -> bool {
    let mut parts = text.split('.');
    text.len() < 32
        && text.contains('.')
        && parts.all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}
