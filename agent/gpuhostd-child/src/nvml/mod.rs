//! Asks libnvidia-ml.so.1 for everything that it reports about its GPUs. It may hang or crash: it runs in a disposable process, which
//! hands over each GPU's answer as it comes.

mod ffi;
mod gpu;
mod health;
mod load;
mod mig;
pub(super) mod mig_act;
mod mig_calls;
pub(super) mod mig_look;
mod mig_profiles;
mod return_code;
mod value;
mod words;

use host::front::gpus_to_ask;
use model::absence::Reading;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Nvml, cuda_driver_version_major, cuda_driver_version_minor};
use protocol::lines::{AskedGpu, ChildLine, Question};
use return_code::reading;
use std::io;
use std::time::{Duration, Instant};

/// No host has more; a library that claims more is not counted up to.
const GPUS_MAX: u32 = 256;

/// Loads the library from the first of the places that works, and asks it for one GPU after the other. Blocking, without a
/// deadline of its own; one that was slow is the last that this process asks, because by then another process asks the rest.
///
/// # Errors
/// What was reported could not be handed over.
pub(super) fn tell(question: &Question, mut out: impl FnMut(ChildLine) -> io::Result<()>) -> io::Result<()> {
    let nvml = match load::nvml(&question.paths) {
        Ok(nvml) => nvml,
        Err(fault) => return out(ChildLine::Refused(fault)),
    };
    let found = match found(&nvml, question) {
        Ok(found) => found,
        Err(error) => return out(ChildLine::Refused(return_code::fault("nvmlDeviceGetCount", &error))),
    };
    let wanted = question.wanted(&found);
    let (driver_version, cuda_version) = (reading(nvml.sys_driver_version()), cuda_version(&nvml));
    out(ChildLine::Opened { driver_version, cuda_version, found })?;
    for which in wanted {
        out(ChildLine::Asking(which))?;
        let begin = Instant::now();
        let mut problems = Vec::new();
        out(match gpu::read(&nvml, which, &mut problems) {
            Ok(gpu) => ChildLine::Answered { which, gpu: Box::new(gpu), problems },
            Err((why, said)) => ChildLine::Silent { which, why, said },
        })?;
        if begin.elapsed() >= Duration::from_millis(question.patience_ms) {
            return Ok(());
        }
    }
    out(ChildLine::Done)
}

/// By address where sysfs shows them: only those that are asked for are opened. Else by index, which opens all up to that one.
fn found(nvml: &Nvml, question: &Question) -> Result<Vec<AskedGpu>, NvmlError> {
    let bound = gpus_to_ask(&question.bus);
    if bound.is_empty() {
        return Ok((0..nvml.device_count()?.min(GPUS_MAX)).map(AskedGpu::Index).collect());
    }
    Ok(bound.into_iter().map(AskedGpu::At).collect())
}

fn cuda_version(nvml: &Nvml) -> Reading<String> {
    let printed = |version| format!("{}.{}", cuda_driver_version_major(version), cuda_driver_version_minor(version));
    reading(nvml.sys_cuda_driver_version()).map(printed)
}

#[cfg(test)]
mod tests;
