//! Finds the GPUs that nvidia-smi's words name as those that do not answer.

use super::leaf::absence_of;
use super::one_line::one_line;
use crate::absence::Absence;
use crate::driver::SilentGpu;
use crate::ids::PciAddress;

/// What each of these sentences has, in lower case.
const MARK: &str = "device handle for";
/// Longest sentence that is repeated, in characters.
const SAID_MAX: usize = 200;
/// More GPUs than these are not looked for.
const GPUS_MAX: usize = 256;

/// The GPUs that the text names as such:
/// `Unable to determine the device handle for GPU0000:41:00.0: Unknown Error`,
/// `… for GPU2: 0000:41:00.0: GPU is lost.  Reboot the system to recover this GPU`.
#[must_use]
pub fn silent_in(text: &str) -> Vec<SilentGpu> {
    let mut found: Vec<SilentGpu> = Vec::new();
    // ASCII only: every offset in the one is an offset in the other.
    let lower = text.to_ascii_lowercase();
    let starts: Vec<usize> = lower.match_indices(MARK).map(|(at, _)| at).take(GPUS_MAX).collect();
    for (nth, start) in starts.iter().enumerate() {
        let end = starts.get(nth.saturating_add(1)).copied().unwrap_or(text.len());
        let sentence = text.get(start.saturating_add(MARK.len())..end).and_then(|rest| rest.lines().next());
        let Some((address, words)) = sentence.and_then(address_and_words) else { continue };
        if found.iter().all(|known| known.address != address) {
            let said = format!("nvidia-smi cannot open the GPU at {address}: {}", one_line(words, SAID_MAX));
            found.push(SilentGpu { address, why: reason(words), said });
        }
    }
    found
}

/// `GPU0000:41:00.0: Unknown Error` and `GPU2: 0000:41:00.0: Unknown Error` as address and words.
fn address_and_words(sentence: &str) -> Option<(PciAddress, &str)> {
    let mut rest = sentence.trim_start();
    for _ in 0..3 {
        let (token, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let bare = token.trim_end_matches([':', ',', '.']);
        let bare = bare
            .get(..3)
            .filter(|start| start.eq_ignore_ascii_case("gpu"))
            .map_or(bare, |_| bare.get(3..).unwrap_or(bare));
        if let Ok(address) = bare.parse() {
            return Some((address, after.trim_start_matches([':', ' '])));
        }
        rest = after.trim_start();
    }
    None
}

/// The driver's words may have advice after them: `GPU is lost.  Reboot the system to recover this GPU`.
fn reason(words: &str) -> Absence {
    let first = words.split(['.', ';']).next().unwrap_or(words).trim();
    match absence_of(first) {
        Some(Absence::GpuLost) => Absence::GpuLost,
        Some(Absence::ResetRequired) => Absence::ResetRequired,
        Some(Absence::NoPermission) => Absence::NoPermission,
        Some(_) | None => Absence::UnknownError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<(String, Absence)> {
        silent_in(text).into_iter().map(|gpu| (gpu.address.to_string(), gpu.why)).collect()
    }

    #[test]
    fn every_form_names_its_gpu() {
        for (text, address, why) in [
            (
                "Unable to determine the device handle for GPU0000:BA:00.0: Unknown Error",
                "0000:ba:00.0",
                Absence::UnknownError,
            ),
            (
                "Unable to determine the device handle for GPU 0000:0B:00.0: Unknown Error\n",
                "0000:0b:00.0",
                Absence::UnknownError,
            ),
            (
                "Unable to determine the device handle for gpu 00000000:65:00.0: GPU requires reset",
                "0000:65:00.0",
                Absence::ResetRequired,
            ),
            (
                "Unable to determine the device handle for GPU2: 0000:41:00.0: GPU is lost.  Reboot the system to recover this GPU",
                "0000:41:00.0",
                Absence::GpuLost,
            ),
            (
                "Unable to detect the device handle for GPU0001:B1:00.0: Insufficient Permissions",
                "0001:b1:00.0",
                Absence::NoPermission,
            ),
            ("Unable to determine the device handle for GPU0000:41:00.0:", "0000:41:00.0", Absence::UnknownError),
        ] {
            assert_eq!(of(text), [(address.to_owned(), why)], "{text}");
        }
    }

    #[test]
    fn several_are_several_also_in_one_line() {
        let two = "Unable to determine the device handle for GPU0000:BA:00.0: GPU is lost Unable to determine the device handle for \
                   GPU0000:BB:00.0: Unknown Error";
        assert_eq!(of(two).len(), 2, "{two}");
        assert_eq!(of(&format!("{two}\n{two}")).len(), 2);
    }

    #[test]
    fn what_names_no_gpu_is_none() {
        // The second is as a public report has it: there is no device 80.
        for text in [
            "",
            "No devices were found",
            "Unable to determine the device handle for GPU 000:BA:80.0: Unknown Error",
            "device handle for",
            "device handle for é",
        ] {
            assert_eq!(of(text), [], "{text}");
        }
    }
}
