//! What our launcher started: it ends with the launcher, and has the name of its program.

use nix::sys::signal::Signal;
use std::ffi::CString;

/// Has the kernel end this process when the launcher ends, however it ends, and call it by the name of its program. To be called first
/// thing by what it started.
///
/// # Errors
/// The kernel does not know the request, or the launcher has ended already.
pub fn end_with(launcher: u32) -> Result<(), nix::Error> {
    // It was started through a descriptor, and `ps -C` and `pgrep` would know it by that one's number.
    let called = std::env::args_os().next().unwrap_or_default();
    let name = std::path::Path::new(&called).file_name().unwrap_or_default();
    if let Ok(name) = CString::new(name.as_encoded_bytes()) {
        nix::sys::prctl::set_name(&name)?;
    }
    nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
    let parent = nix::unistd::getppid().as_raw();
    if u32::try_from(parent).is_ok_and(|parent| parent != launcher) {
        return Err(nix::Error::ESRCH);
    }
    Ok(())
}
