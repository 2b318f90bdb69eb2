//! What of the driver's software on a simulated host is not as an installed driver would have it.

use model::stack::{Dkms, StackFile};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What of the software is not as the installed driver would have it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SoftwareDescription {
    /// UEFI Secure Boot; a host that was not started by UEFI where nothing is set.
    pub secure_boot: Option<bool>,
    /// Lockdown of the kernel; a kernel without it where nothing is set.
    pub lockdown: Option<String>,
    /// Version of the loaded module; the driver's where nothing is set.
    pub module_loaded: Option<String>,
    /// File of the module below `/lib/modules/RELEASE`; DKMS's place where there is a driver.
    pub module_file: Option<String>,
    /// That file is signed.
    pub module_signed: bool,
    /// The file of modprobe's that bars the module.
    pub module_barred_by: Option<String>,
    /// What DKMS made of the module; built, where there is a driver.
    pub dkms: Option<Dkms>,
    /// Version of the libraries; the driver's where nothing is set.
    pub library_version: Option<String>,
    /// Files of the user space that are missing.
    pub missing: BTreeSet<StackFile>,
    /// The kernel's command line; empty where nothing is set.
    pub cmdline: String,
}
