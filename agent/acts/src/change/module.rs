//! Has a vfio driver's module loaded: by systemd, which has the right to, or by modprobe where there is none.

use crate::exited::as_cause;
use model::ids::DriverName;
use model::os_cause::OsCause;
use model::ports::ActError;
use spawn::{Program, Supervisor};
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(20);
/// Where this folder is, systemd runs the machine (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";

/// Loads it, and looks whether it is there: `modprobe@.service` reports success also where modprobe failed.
pub(super) async fn load(supervisor: &Supervisor, sysfs: &Path, driver: &DriverName) -> Result<(), ActError> {
    if is_loaded(sysfs, driver) {
        return Ok(());
    }
    let module = driver.as_str().replace('-', "_");
    let (program, args) = if Path::new(SYSTEMD).exists() {
        ("/usr/bin/systemctl", ["start".to_owned(), format!("modprobe@{module}.service")])
    } else {
        ("/usr/sbin/modprobe", ["--".to_owned(), module])
    };
    let attempted = format!("load the module of {driver}: {program} {}", args.join(" "));
    let program = Program::new(program, args.map(OsString::from), WITHIN);
    let cause = match supervisor.run("modprobe", program).await {
        Ok(_) if is_loaded(sysfs, driver) => return Ok(()),
        Ok(finished) => {
            let words = String::from_utf8_lossy(&finished.stderr).trim().chars().take(400).collect::<String>();
            OsCause::found(format!("it exited with {}, and the driver is not loaded: {words}", finished.status))
        }
        Err(fault) => as_cause(&fault),
    };
    Err(ActError::Refused { attempted, cause })
}

fn is_loaded(sysfs: &Path, driver: &DriverName) -> bool {
    let wanted = driver.as_str().replace('-', "_");
    let drivers = std::fs::read_dir(sysfs.join("bus/pci/drivers")).into_iter().flatten().flatten();
    let mut names = drivers.filter_map(|entry| entry.file_name().into_string().ok());
    names.any(|name| name.replace('-', "_") == wanted)
}
