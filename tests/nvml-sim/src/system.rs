//! Functions of the library and the driver as a whole.

use crate::answer::{known, put, put_text};
use crate::codes::{Code, INVALID_ARGUMENT, NOT_FOUND};
use crate::library::{initialize, shut_down};
use sim::smi::nvml_error_text;
use std::ffi::{CString, c_char, c_int, c_uint};
use std::sync::OnceLock;

crate::nvml! {
    /// Begins the use of the library.
    fn nvmlInit_v2(library) {
        initialize(library)
    }

    /// Begins the use of the library, with flags that change nothing here.
    fn nvmlInitWithFlags(library, _flags: c_uint) {
        initialize(library)
    }

    /// Ends the use of the library.
    fn nvmlShutdown(_library) {
        shut_down();
        Ok(())
    }

    /// Version of the kernel driver.
    fn nvmlSystemGetDriverVersion(library, version: *mut c_char, length: c_uint) {
        // SAFETY: as the function's contract.
        unsafe { put_text(version, length, known(&library.report.driver_version)?) }
    }

    /// Version of NVML: its API generation and the driver's version.
    fn nvmlSystemGetNVMLVersion(library, version: *mut c_char, length: c_uint) {
        let text = format!("12.{}", known(&library.report.driver_version)?);
        // SAFETY: as the function's contract.
        unsafe { put_text(version, length, &text) }
    }

    /// CUDA version: 1000 × major + 10 × minor.
    fn nvmlSystemGetCudaDriverVersion_v2(library, version: *mut c_int) {
        let number = cuda_number(known(&library.report.cuda_version)?).ok_or(NOT_FOUND)?;
        // SAFETY: as the function's contract.
        unsafe { put(version, number) }
    }

    /// CUDA version, as the version 2 of the function.
    fn nvmlSystemGetCudaDriverVersion(library, version: *mut c_int) {
        let number = cuda_number(known(&library.report.cuda_version)?).ok_or(NOT_FOUND)?;
        // SAFETY: as the function's contract.
        unsafe { put(version, number) }
    }

    /// Name of a process that uses a GPU.
    fn nvmlSystemGetProcessName(library, pid: c_uint, name: *mut c_char, length: c_uint) {
        let mut all = library.report.gpus.iter().filter_map(|gpu| gpu.processes.known()).flatten();
        let process = all.find(|process| process.pid == pid).ok_or(NOT_FOUND)?;
        // The real one cuts the name off where the buffer is short.
        let room = usize::try_from(length).unwrap_or(0).checked_sub(1).ok_or(INVALID_ARGUMENT)?;
        let text: String = known(&process.name)?.chars().take(room).collect();
        // SAFETY: as the function's contract.
        unsafe { put_text(name, length, &text) }
    }
}

fn cuda_number(text: &str) -> Option<c_int> {
    let (major, minor) = text.split_once('.')?;
    major.parse::<c_int>().ok()?.checked_mul(1000)?.checked_add(minor.parse::<c_int>().ok()?.checked_mul(10)?)
}

/// The text of a return code. It lives as long as the library.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlErrorString(result: c_uint) -> *const c_char {
    static TEXTS: OnceLock<Vec<CString>> = OnceLock::new();
    let texts = TEXTS.get_or_init(|| (0..=31).filter_map(|code| CString::new(nvml_error_text(code)).ok()).collect());
    let Code(code) = Code(result);
    let text = usize::try_from(code).ok().and_then(|index| texts.get(index));
    text.map_or(c"Unknown Error".as_ptr(), |text| text.as_ptr())
}
