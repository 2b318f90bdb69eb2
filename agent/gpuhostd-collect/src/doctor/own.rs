//! The daemon's own files: who may read and write them, its sockets, its disk, and the bus that it speaks on.

use super::place::{Place, absence};
use super::{DoctorRequest, disk};
use model::absence::{Absence, Reading};
use model::doctor::doctor_facts::{Guarded, ServiceFacts};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

const POLKIT: [&str; 2] = [
    "/usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service",
    "/usr/local/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service",
];

/// Reads them.
pub(super) fn read(place: &Place, request: &DoctorRequest) -> ServiceFacts {
    let manager = &request.settings.manager;
    let named = [
        ("manager.ca_file", &manager.ca_file),
        ("manager.enrolment_token_file", &manager.enrolment_token_file),
        ("manager.shared_token_file", &manager.shared_token_file),
    ];
    let missing = named.into_iter().filter_map(|(setting, path)| Some((setting, path.as_ref()?)));
    // A one-use token is removed once it is used.
    let missing = missing.filter(|(setting, _)| *setting != "manager.enrolment_token_file");
    let is_gone = |path: &str| place.is_there(path).get() == Some(false);
    ServiceFacts {
        bus_socket: either(place, &["/run/dbus/system_bus_socket", "/var/run/dbus/system_bus_socket"]),
        polkit: either(place, &POLKIT),
        policy_error: policy_error(place),
        insecure: Reading::Known(manager.insecure_skip_verify),
        guarded: request
            .guarded
            .iter()
            .filter_map(|(path, what)| guarded(place, &path.display().to_string(), *what))
            .collect(),
        missing_files: missing
            .filter(|(_, path)| is_gone(path))
            .map(|(s, path)| (s.to_owned(), path.clone()))
            .collect(),
        missing_sockets: sockets(place, request),
        state_disk: disk(&place.path("/"), &request.state),
        ..ServiceFacts::default()
    }
}

const POLICY: &str = "/etc/gpuhostd/policy.toml";

fn policy_error(place: &Place) -> Reading<String> {
    match place.text(POLICY) {
        Ok(text) => match model::policy::read(POLICY, &text) {
            Ok(_) => Reading::Absent(Absence::None),
            Err(fault) => Reading::Known(fault.to_string().replace('\n', "; ")),
        },
        Err(why) => Reading::Absent(why),
    }
}

fn either(place: &Place, paths: &[&str]) -> Reading<bool> {
    Reading::Known(paths.iter().any(|path| place.has(path)))
}

/// What cannot be looked at is well guarded from the caller.
fn guarded(place: &Place, path: &str, what: model::doctor::doctor_facts::GuardedKind) -> Option<Guarded> {
    let found = place.path(path).metadata().ok()?;
    Some(Guarded { path: path.to_owned(), what, mode: found.permissions().mode() & 0o7777, uid: found.uid() })
}

fn sockets(place: &Place, request: &DoctorRequest) -> Reading<Vec<String>> {
    let mut missing = Vec::new();
    for socket in &request.sockets {
        let path = socket.display().to_string();
        match place.path(&path).symlink_metadata() {
            Ok(_) => {}
            Err(error) if absence(&error) == Absence::None => missing.push(path),
            Err(error) => return Reading::Absent(absence(&error)),
        }
    }
    Reading::Known(missing)
}
