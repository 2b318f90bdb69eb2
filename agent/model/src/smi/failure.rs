//! What nvidia-smi reports instead of XML when it fails, and what to do about it.
//!
//! The text is on stdout. The exit status drifts from driver to driver (`GPU requires reset` ends with 231, 255 or 16), so
//! the text decides.

use super::one_line::one_line;
use super::{WHAT, garbled, parse};
use crate::driver::{DriverReport, ProbeError};

/// Longest answer that is repeated, in characters.
const SAID_MAX: usize = 200;

/// Known answers: words of nvidia-smi and of NVML that they contain (lower case), and what to do.
const ANSWERS: [(&[&str], &str); 13] = [
    (
        &["couldn't communicate with the nvidia driver", "driver is not loaded", "driver not loaded"],
        "no NVIDIA kernel module is loaded: `modprobe nvidia`; if that fails, `dmesg | grep -i nvrm` shows why (module not \
         built for this kernel, Secure Boot, nouveau bound)",
    ),
    (
        &["version mismatch"],
        "the driver's libraries were changed while the old module stayed loaded: stop what uses the GPUs, then `rmmod nvidia_drm \
         nvidia_modeset nvidia_uvm nvidia && modprobe nvidia`, or reboot",
    ),
    (
        &["insufficient permissions", "does not have permission"],
        "the devices may not be opened: try as root and check `ls -l /dev/nvidia*`",
    ),
    (
        &["device handle for"],
        "this GPU does not answer, and nvidia-smi then reports none of the others: `dmesg | grep -iE 'NVRM|Xid'` shows why; \
         `nvidia-smi -q -i <PCI address>` asks each of the others; a reboot or a power cycle brings back a lost GPU",
    ),
    (
        &["gpu is lost", "fell off the bus"],
        "a GPU fell off the PCI bus: `dmesg | grep -i xid` names it; a reboot or a power cycle brings it back",
    ),
    (
        &["gpu requires reset", "requires a reset"],
        "stop what uses the GPU, then `nvidia-smi --gpu-reset -i <PCI address>`, or reboot",
    ),
    (
        &["blocked by the operating system"],
        "the driver's devices cannot be opened: check the device cgroup, SELinux or AppArmor denials and `ls -l /dev/nvidia*`",
    ),
    (
        &["in use by another client", "device in use", "currently in use"],
        "another client has exclusive access to the driver: `fuser -v /dev/nvidia*` shows it",
    ),
    (
        &["no devices were found"],
        "no GPU is bound to the driver: `lspci -nnk -d 10de:` shows what is bound; `dmesg | grep -iE 'NVRM|Xid'` shows why \
         one failed",
    ),
    (&["inforom is corrupted"], "the board's InfoROM is damaged: have the card checked"),
    (
        &["not supported"],
        "this nvidia-smi does not know the request: install the one that belongs to the loaded driver",
    ),
    (&["unknown error", "internal driver error"], "`dmesg | grep -iE 'NVRM|Xid'` shows more"),
    (&["failed to initialize nvml"], "`dmesg | grep -iE 'NVRM|Xid'` shows more"),
];

/// Words with which the dynamic linker and nvidia-smi say that the library is not there.
const NO_LIBRARY: [&str; 3] = ["couldn't find libnvidia-ml", "libnvidia-ml.so", "nvml shared library not found"];

/// Takes the whole answer of one run: the report where it is one, even with a non-zero status (a corrupted infoROM gives 14
/// and a full document), else the fault that the text explains.
///
/// # Errors
/// There is no document, or it is cut off or garbled.
pub fn answer(exit_status: i32, stdout: &[u8], stderr: &[u8]) -> Result<DriverReport, ProbeError> {
    match parse(stdout) {
        Ok(mut report) => {
            if exit_status != 0 {
                report
                    .problems
                    .push(format!("nvidia-smi printed a complete document and exited with status {exit_status}"));
            }
            Ok(report)
        }
        Err(fault) if is_xml(stdout) => Err(fault),
        Err(_) => Err(explain_failure(exit_status, stdout, stderr)),
    }
}

fn is_xml(stdout: &[u8]) -> bool {
    String::from_utf8_lossy(stdout).contains("<nvidia_smi_log")
}

/// Explains an answer that is no document, with what to do about it.
#[must_use]
pub fn explain_failure(exit_status: i32, stdout: &[u8], stderr: &[u8]) -> ProbeError {
    let (stdout, stderr) = (String::from_utf8_lossy(stdout), String::from_utf8_lossy(stderr));
    let both =
        [stdout.trim(), stderr.trim()].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" / ");
    let said = one_line(&both, SAID_MAX);
    let lower = said.to_lowercase();
    if NO_LIBRARY.iter().any(|words| lower.contains(words)) {
        let what = "libnvidia-ml.so.1 (asked by nvidia-smi)".to_owned();
        return ProbeError::Absent { what, said: with_remedy(&said, Some(NO_LIBRARY_REMEDY)) };
    }
    if matches!(exit_status, 126 | 127) {
        return ProbeError::Absent { what: "nvidia-smi".to_owned(), said: with_remedy(&said, Some(NO_LIBRARY_REMEDY)) };
    }
    ProbeError::Failed { what: WHAT.to_owned(), status: exit_status, said: with_remedy(&said, remedy(&lower)) }
}

const NO_LIBRARY_REMEDY: &str =
    "install the driver's user space in the version of the loaded module (`cat /sys/module/nvidia/version`)";

/// What to do about an answer of the driver, where its words are known.
pub(crate) fn remedy(said: &str) -> Option<&'static str> {
    let lower = said.to_lowercase();
    let knows = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    ANSWERS.iter().find(|(words, _)| knows(words)).map(|(_, remedy)| *remedy)
}

fn with_remedy(said: &str, remedy: Option<&str>) -> String {
    let said = if said.is_empty() { "nothing at all" } else { said };
    let remedy = remedy.unwrap_or("run it by hand; `dmesg | grep -iE 'NVRM|Xid'` may show why");
    format!("{said}; {remedy}").chars().take(400).collect()
}

/// A text that holds no XML at all, where no exit status is known.
pub(super) fn no_xml(text: &str) -> ProbeError {
    if text.trim().is_empty() {
        return garbled("it is empty".to_owned());
    }
    let said = one_line(text, SAID_MAX);
    let lower = said.to_lowercase();
    let known =
        if NO_LIBRARY.iter().any(|words| lower.contains(words)) { Some(NO_LIBRARY_REMEDY) } else { remedy(&lower) };
    match known {
        Some(remedy) => garbled(format!("there is no XML; nvidia-smi printed: {said}; {remedy}")),
        None => garbled(format!("there is no XML; nvidia-smi printed: {said}")),
    }
}
