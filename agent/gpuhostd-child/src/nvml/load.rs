//! Finds and initialises the library.

use super::return_code;
use model::causes::with_causes;
use model::driver::ProbeError;
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use std::ffi::OsStr;
use std::path::Path;

/// The first place whose library initialises; else the most telling failure: a library that is there and refuses reports
/// more than one that is not there.
pub(super) fn nvml(paths: &[String]) -> Result<Nvml, ProbeError> {
    let mut telling = None;
    let mut absent = "no path is configured".to_owned();
    for path in paths {
        match Nvml::builder().lib_path(OsStr::new(path)).init() {
            Ok(nvml) => return Ok(nvml),
            Err(NvmlError::LibloadingError(error)) if is_missing(path) => absent = with_causes(&error),
            Err(error) => {
                telling = telling.or_else(|| Some(return_code::fault(&format!("libnvidia-ml.so.1 ({path})"), &error)))
            }
        }
    }
    let what = format!("libnvidia-ml.so.1 (looked for as {})", paths.join(", "));
    Err(telling.unwrap_or(ProbeError::Absent { what, said: absent }))
}

/// A bare name is the dynamic linker's to find: where it does not, nobody knows more.
fn is_missing(path: &str) -> bool {
    !path.contains('/') || !Path::new(path).exists()
}
