//! CDI specifications of NVIDIA's: which devices they define, and what of the host they name that is not there.

use super::place::Place;
use model::absence::{Absence, Reading};
use model::cdi::{Spec, is_spec, parse};
use model::docker::DockerFacts;
use model::doctor::doctor_facts::CdiSpec;

/// Where specifications lie unless Docker reports otherwise.
const FOLDERS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// Reads those in Docker's folders.
pub(super) fn read(place: &Place, docker: Option<&DockerFacts>) -> Reading<Vec<CdiSpec>> {
    let told = docker.map(|docker| docker.cdi_spec_dirs.clone()).filter(|folders| !folders.is_empty());
    let folders = told.unwrap_or_else(|| FOLDERS.map(str::to_owned).to_vec());
    let mut specs = Vec::new();
    for folder in folders {
        for name in place.names(&folder).unwrap_or_default().into_iter().filter(|name| is_spec(name)) {
            let path = format!("{folder}/{name}");
            let text = match place.text(&path) {
                Ok(text) => text,
                Err(Absence::None) => continue,
                Err(why) => return Reading::Absent(why),
            };
            match parse(&name, text.as_bytes()) {
                Ok(Some(read)) => specs.push(spec(place, path, &read)),
                Ok(None) => {}
                Err(why) => specs.push(CdiSpec { path, broken: Some(why), ..CdiSpec::default() }),
            }
        }
    }
    Reading::Known(specs)
}

fn spec(place: &Place, path: String, read: &Spec) -> CdiSpec {
    let named = read.host_paths();
    let missing = named.iter().filter(|path| path.starts_with('/') && !place.has(path));
    CdiSpec {
        path,
        devices: read.devices.iter().map(|device| device.name.clone()).collect(),
        missing: missing.map(|path| (*path).to_owned()).collect(),
        versions: read.driver_versions().into_iter().map(str::to_owned).collect(),
        broken: None,
    }
}
