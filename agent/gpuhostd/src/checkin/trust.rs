//! Which managers this host trusts: what was given at enrolment, else what is configured, else the system's authorities.

use crate::checkin::digest::sha256_hex;
use crate::checkin::fault::local;
use crate::checkin::identity::Trust;
use host::front::read_bounded;
use model::checkin::CheckinError;
use model::settings::ManagerSettings;
use std::path::PathBuf;

const CA_MAX_BYTES: usize = 1024 * 1024;

/// How managers are judged now. What is configured and cannot be used is a fault, never a reason to trust more.
///
/// # Errors
/// The file of authorities cannot be read, or a pin is none.
pub(super) async fn trust(settings: &ManagerSettings, given: &Trust) -> Result<Trust, CheckinError> {
    let insecure = settings.insecure_skip_verify;
    if !given.pins.is_empty() || given.ca_pem.is_some() {
        return Ok(Trust { insecure, ..given.clone() });
    }
    if !settings.pin_sha256.is_empty() {
        let pins = settings.pin_sha256.normal().map_err(|fault| local(format!("manager.pin_sha256: {fault}")))?;
        return Ok(Trust { pins, insecure, ..Trust::default() });
    }
    let Some(path) = settings.ca_file.clone() else { return Ok(Trust { insecure, ..Trust::default() }) };
    let read = tokio::task::spawn_blocking(move || read_ca(&path)).await;
    let ca_pem = read.unwrap_or_else(|_| Err("reading was interrupted".to_owned()));
    let ca_pem = ca_pem.map_err(|said| local(format!("manager.ca_file: {said}")))?;
    // What a manager added counts beside the file with which it was added, and goes when somebody changes the file.
    let is_same = given.added_beside_sha256.as_ref() == Some(&sha256_hex(ca_pem.as_bytes()));
    let added_ca_pem = given.added_ca_pem.clone().filter(|_| is_same);
    Ok(Trust { ca_pem: Some(ca_pem), added_ca_pem, insecure, ..Trust::default() })
}

fn read_ca(path: &str) -> Result<String, String> {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    let bytes = read_bounded(&real, CA_MAX_BYTES).map_err(|fault| fault.to_string())?;
    String::from_utf8(bytes).map_err(|_| format!("{path} is not PEM"))
}
