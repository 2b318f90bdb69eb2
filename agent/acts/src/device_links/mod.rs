//! The links of NVIDIA's device files in `/dev/char`, as the answers of the host hand.

use host::front::{LinkError, keep_device_links, read_device_links};
use model::device_links::DeviceLinks;
use model::os_cause::OsCause;
use model::ports::ActError;
use std::path::Path;

/// What is there. Blocking.
pub(crate) fn look(proc: &Path, dev: &Path) -> Result<DeviceLinks, ActError> {
    read_device_links(proc, dev).map_err(|fault| refused("look at the links in /dev/char", &fault))
}

/// Makes and removes what has to be. Blocking.
pub(crate) fn keep(proc: &Path, dev: &Path) -> Result<(), ActError> {
    let attempted = "link NVIDIA's device files in /dev/char";
    let plan = keep_device_links(proc, dev).map_err(|fault| refused(attempted, &fault))?;
    match plan.in_the_way.first() {
        None => Ok(()),
        Some(number) => {
            let path = dev.join("char").join(number.to_string());
            let said = format!("{} is not a link: find out what created it, and remove it", path.display());
            Err(ActError::Refused { attempted: attempted.to_owned(), cause: OsCause::found(said) })
        }
    }
}

fn refused(attempted: &str, fault: &LinkError) -> ActError {
    let cause = OsCause { said: fault.to_string(), errno: fault.errno() };
    ActError::Refused { attempted: attempted.to_owned(), cause }
}
