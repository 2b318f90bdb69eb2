//! The file of NVIDIA's kernel module for the running kernel, its signature, and what keeps modprobe from loading it.

use crate::front::facts::text::content;
use files::ReadError;
use model::absence::{Absence, Reading};
use model::printable::printable;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// `modules.dep` of a distribution with all modules has half of it.
const MODULES_DEP_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// What is at the end of a signed module (`include/linux/module_signature.h`).
const SIGNATURE: &[u8] = b"~Module signature appended~\n";

/// Folders of modprobe's files, the strongest first (`modprobe.d(5)`).
pub(super) const MODPROBE: [&str; 4] = ["etc/modprobe.d", "run/modprobe.d", "usr/lib/modprobe.d", "lib/modprobe.d"];

/// More files than any host has there.
const FILES_MAX: usize = 512;

/// The module, as `modules.dep` names it: Debian's is `nvidia-current.ko`, which an alias makes `nvidia`.
pub(super) fn file(root: &Path, kernel: Option<&str>) -> Reading<String> {
    let Some(folder) = folder(root, kernel) else { return Reading::default() };
    let list = match files::open(&folder.join("modules.dep")) {
        Ok(plain) => BufReader::new(plain.file.take(MODULES_DEP_MAX_BYTES)),
        Err(fault) => return Reading::Absent(absence(&fault)),
    };
    let mut lines = list.split(b'\n').map_while(Result::ok);
    let found = lines.find_map(|line| {
        let path = line.split(|byte| *byte == b':').next()?;
        let path = std::str::from_utf8(path).ok()?;
        is_nvidia(path.rsplit('/').next()?).then(|| printable(path, 200))
    });
    found.map_or(Reading::Absent(Absence::None), Reading::Known)
}

fn folder(root: &Path, kernel: Option<&str>) -> Option<PathBuf> {
    let kernel = kernel.filter(|release| !release.contains('/') && *release != "..")?;
    Some(root.join("lib/modules").join(kernel))
}

fn absence(fault: &ReadError) -> Absence {
    if fault.is_denied() { Absence::NoPermission } else { Absence::Unreadable(fault.to_string()) }
}

/// `nvidia.ko`, `nvidia-current.ko.xz`, `nvidia-tesla-470.ko`; not `nvidia-uvm.ko` and its like.
fn is_nvidia(name: &str) -> bool {
    let Some((stem, _)) = name.split_once(".ko") else { return false };
    stem == "nvidia" || stem.strip_prefix("nvidia-").is_some_and(|rest| rest == "current" || is_branch(rest))
}

fn is_branch(rest: &str) -> bool {
    let digits = rest.strip_prefix("tesla-").or_else(|| rest.strip_prefix("legacy-")).unwrap_or(rest);
    let digits = digits.strip_suffix("xx").unwrap_or(digits);
    rest == "tesla" || (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The file ends with a signature. A compressed one cannot be determined without unpacking it.
pub(super) fn is_signed(root: &Path, kernel: Option<&str>, file: Option<&str>) -> Reading<bool> {
    let (Some(folder), Some(file)) = (folder(root, kernel), file) else { return Reading::default() };
    if !file.ends_with(".ko") {
        return Reading::Absent(Absence::NotSupported);
    }
    match tail(&folder.join(file)) {
        Ok(tail) => Reading::Known(tail == SIGNATURE),
        Err(fault) => Reading::Absent(absence(&fault)),
    }
}

fn tail(path: &Path) -> Result<Vec<u8>, ReadError> {
    let mut file = files::open(path)?.file;
    let refused = |error| ReadError::Host { path: path.to_owned(), error };
    let size = file.metadata().map_err(refused)?.len();
    let wanted = u64::try_from(SIGNATURE.len()).unwrap_or(size).min(size);
    file.seek(SeekFrom::Start(size - wanted)).map_err(refused)?;
    let mut tail = Vec::new();
    file.take(wanted).read_to_end(&mut tail).map_err(refused)?;
    Ok(tail)
}

/// The first file with a line that bars the module, or the kernel's command line.
pub(super) fn barred_by(root: &Path, proc: &Path) -> Reading<String> {
    for folder in MODPROBE {
        let listed = std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
        let names = listed.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(".conf")).take(FILES_MAX).collect();
        names.sort_unstable();
        let bars = |name: &&String| content(&root.join(folder).join(name)).is_ok_and(|text| text.lines().any(bars));
        if let Some(name) = names.iter().find(bars) {
            return Reading::Known(format!("/{folder}/{name}"));
        }
    }
    let line = content(&proc.join("cmdline")).unwrap_or_default();
    if line.split_ascii_whitespace().any(is_barring_option) {
        return Reading::Known("/proc/cmdline (the kernel's command line)".to_owned());
    }
    Reading::Absent(Absence::None)
}

/// `blacklist nvidia`, or `install nvidia /bin/false`; a `-` in a module's name is a `_`.
fn bars(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    match (words.next(), words.next().map(|name| name.replace('-', "_")).as_deref(), words.next()) {
        (Some("blacklist"), Some("nvidia" | "nvidia_current"), _) => true,
        (Some("install"), Some("nvidia" | "nvidia_current"), Some(command)) => {
            command.ends_with("/false") || command.ends_with("/true")
        }
        _ => false,
    }
}

/// `modprobe.blacklist=nouveau,nvidia`, `module_blacklist=nvidia`.
fn is_barring_option(option: &str) -> bool {
    let list = ["modprobe.blacklist=", "module_blacklist="].iter().find_map(|name| option.strip_prefix(name));
    list.is_some_and(|list| list.split(',').any(|module| module == "nvidia"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_itself_is_told_from_its_companions() {
        for name in ["nvidia.ko", "nvidia.ko.zst", "nvidia-current.ko.xz", "nvidia-tesla-470.ko", "nvidia-390xx.ko"] {
            assert!(is_nvidia(name), "{name}");
        }
        for name in
            ["nvidia-uvm.ko", "nvidia-drm.ko", "nvidia-modeset.ko", "nvidiafb.ko", "i2c-nvidia-gpu.ko", "nvidia"]
        {
            assert!(!is_nvidia(name), "{name}");
        }
    }

    #[test]
    fn lines_that_bar_the_module() {
        for line in
            ["blacklist nvidia", "  blacklist\tnvidia # x", "install nvidia /bin/false", "install nvidia /bin/true"]
        {
            assert!(bars(line), "{line}");
        }
        for line in [
            "# blacklist nvidia",
            "blacklist nvidiafb",
            "blacklist nvidia-uvm",
            "install nvidia /sbin/modprobe x",
            "alias nvidia off",
        ] {
            assert!(!bars(line), "{line}");
        }
        assert!(is_barring_option("modprobe.blacklist=nouveau,nvidia") && is_barring_option("module_blacklist=nvidia"));
        assert!(!is_barring_option("modprobe.blacklist=nvidiafb") && !is_barring_option("nvidia"));
    }
}
