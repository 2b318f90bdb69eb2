//! Settings by which vfio-pci or pci-stub takes functions by their id: the kernel's command line, modprobe's files, lists of modules.

use super::module::MODPROBE;
use crate::front::facts::text::content;
use model::claim::{Claim, in_file, on_cmdline};
use std::path::Path;

/// More files than any host has there.
const FILES_MAX: usize = 512;
/// Lists of modules in which options may stand.
const LISTS: [&str; 2] = ["etc/modules", "etc/initramfs-tools/modules"];

/// All of them. A file of modprobe's takes the place of one of the same name in a later folder.
pub(super) fn read(root: &Path, proc: &Path) -> Vec<Claim> {
    let line = content(&proc.join("cmdline")).unwrap_or_default();
    let mut claims = on_cmdline(&line, "/proc/cmdline");
    let mut seen: Vec<String> = Vec::new();
    for folder in MODPROBE {
        let listed = std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
        let names = listed.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(".conf")).take(FILES_MAX).collect();
        names.sort_unstable();
        names.retain(|name| !seen.contains(name));
        claims.extend(names.iter().flat_map(|name| of_file(root, &format!("{folder}/{name}"))));
        seen.extend(names);
    }
    claims.extend(LISTS.iter().flat_map(|list| of_file(root, list)));
    claims
}

/// A pipe or a device in place of a file is not waited for.
fn of_file(root: &Path, name: &str) -> Vec<Claim> {
    let path = root.join(name);
    let text = if path.is_file() { content(&path).unwrap_or_default() } else { String::new() };
    in_file(&text, &format!("/{name}"))
}
