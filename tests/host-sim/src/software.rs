//! Writes the driver's software: module, libraries, and what may keep the module from loading.

use crate::place::text;
use crate::tree::driver_root;
use anyhow::Context;
use model::stack::{Dkms, StackFacts, StackFile};
use sim::Description;
use std::fs;
use std::path::Path;

const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
const SIGNATURE: &str = "~Module signature appended~\n";

/// Writes the files below `root`. The libraries are empty: only that they are there counts.
///
/// # Errors
/// A file cannot be written; the text names it.
pub(crate) fn write(description: &Description, root: &Path) -> anyhow::Result<()> {
    let facts = sim::software::facts(description);
    fs::create_dir_all(root.join("usr")).context("cannot make usr")?;
    write_firmware(&facts, root)?;
    write_module(description, &facts, root)?;
    let home = driver_root(description, root);
    for file in facts.files.known().into_iter().flatten().filter(|file| **file != StackFile::Nvml) {
        text(&home.join(place(*file)), "")?;
    }
    Ok(())
}

fn place(file: StackFile) -> String {
    match file {
        StackFile::EglVendor => "usr/share/glvnd/egl_vendor.d/10_nvidia.json".to_owned(),
        StackFile::VulkanIcd => "usr/share/vulkan/icd.d/nvidia_icd.json".to_owned(),
        StackFile::Nvml
        | StackFile::Cuda
        | StackFile::Encode
        | StackFile::Decode
        | StackFile::EglLibrary
        | StackFile::GlxLibrary
        | StackFile::VaNvidia => format!("{LIBRARIES}/{}", file.file()),
    }
}

fn write_firmware(facts: &StackFacts, root: &Path) -> anyhow::Result<()> {
    if let Some(on) = facts.secure_boot.get() {
        let variable = root.join("sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c");
        text(&variable, "")?;
        fs::write(&variable, [6, 0, 0, 0, u8::from(on)])?;
    }
    if let Some(mode) = facts.lockdown.known() {
        let modes = ["none", "integrity", "confidentiality"];
        let shown = modes.map(|each| if each == mode { format!("[{each}]") } else { each.to_owned() });
        text(&root.join("sys/kernel/security/lockdown"), &format!("{}\n", shown.join(" ")))?;
    }
    Ok(())
}

fn write_module(description: &Description, facts: &StackFacts, root: &Path) -> anyhow::Result<()> {
    let kernel = &description.host.kernel;
    let folder = root.join("lib/modules").join(kernel);
    let file = facts.module_file.known();
    let named = file.map(|file| format!("{file}: kernel/drivers/i2c/i2c-core.ko\n")).unwrap_or_default();
    text(&folder.join("modules.dep"), &format!("kernel/drivers/video/nvidiafb.ko:\n{named}"))?;
    if let Some(file) = file {
        text(&folder.join(file), if facts.module_signed.get() == Some(true) { SIGNATURE } else { "\u{7f}ELF" })?;
    }
    if let Some(version) = facts.module_loaded.known() {
        text(&root.join("sys/module/nvidia/version"), &format!("{version}\n"))?;
    }
    if let Some(path) = facts.module_barred_by.known() {
        text(&root.join(path.trim_start_matches('/')), "blacklist nvidia\n")?;
    }
    match facts.dkms.known() {
        Some(Dkms::Built { version }) => {
            text(&root.join(format!("var/lib/dkms/nvidia/{version}/{kernel}/x86_64/log/make.log")), "")
        }
        Some(Dkms::NotBuilt { version }) => {
            text(&root.join(format!("var/lib/dkms/nvidia/{version}/source/dkms.conf")), "")
        }
        Some(Dkms::Failed { log, .. }) => text(&root.join(log.trim_start_matches('/')), "error\n"),
        None => Ok(()),
    }
}
