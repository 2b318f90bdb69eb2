//! The machine's id as managers get it: derived with a key of this application, never the machine id itself.

use host::front::read_bounded;
use ring::hmac;
use std::path::{Path, PathBuf};

/// The application key: any other application derives another id from the same machine id.
const APPLICATION: [u8; 16] =
    [0x7c, 0x1f, 0x0e, 0x52, 0x9d, 0x3b, 0x4a, 0x86, 0xb1, 0x64, 0x2d, 0xe0, 0x95, 0x4f, 0x88, 0x13];
const PLACES: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

/// There is no machine id.
#[derive(Debug, thiserror::Error)]
#[error("there is no machine id in {} ({said}); run systemd-machine-id-setup", PLACES.join(" or "))]
pub(super) struct NoMachineId {
    said: String,
}

/// 128 bits of HMAC-SHA256 with the machine id as key, marked as a random UUID: the same as `sd_id128_get_machine_app_specific`.
#[must_use]
pub(super) fn app_specific(machine_id: [u8; 16], application: [u8; 16]) -> uuid::Uuid {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &machine_id);
    let tag = hmac::sign(&key, &application);
    let mut bytes = [0_u8; 16];
    for (to, from) in bytes.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// This machine's id for managers. Blocking.
///
/// # Errors
/// There is no machine id, or it is not 32 hexadecimal digits.
pub(super) fn of_this_machine() -> Result<uuid::Uuid, NoMachineId> {
    let mut said = String::new();
    for place in PLACES {
        let path = std::fs::canonicalize(place).unwrap_or_else(|_| PathBuf::from(place));
        match read(&path) {
            Ok(id) => return Ok(app_specific(id, APPLICATION)),
            Err(why) => said = why,
        }
    }
    Err(NoMachineId { said })
}

fn read(path: &Path) -> Result<[u8; 16], String> {
    let bytes = read_bounded(path, 256).map_err(|fault| fault.to_string())?;
    let text = String::from_utf8_lossy(&bytes);
    let id = uuid::Uuid::try_parse(text.trim()).map_err(|fault| format!("{}: {fault}", path.display()))?;
    Ok(id.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `systemd-id128 machine-id --app-specific` and an independent HMAC give.
    #[test]
    fn it_is_what_systemd_derives() {
        let machine: uuid::Uuid = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
        let id = app_specific(machine.into_bytes(), APPLICATION);
        assert_eq!(id.simple().to_string(), "cf19f77c9e124944baa3cb574e0e8c4e");
    }

    #[test]
    fn another_application_or_machine_gives_another_id() {
        let id = |machine, application| app_specific([machine; 16], [application; 16]);
        assert_ne!(id(1, 1), id(1, 2));
        assert_ne!(id(1, 1), id(2, 1));
        assert_eq!(id(1, 1).get_version_num(), 4);
    }
}
