//! CDI specifications of NVIDIA's: which devices they define, and what of the host they name that is not there.

use super::place::Place;
use model::absence::Absence;
use model::absence::Reading;
use model::docker::DockerFacts;
use model::doctor::facts::CdiSpec;

/// Where specifications lie unless Docker says otherwise.
const FOLDERS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];
const KIND: &str = "nvidia.com/gpu";

/// Reads those in Docker's folders.
pub(super) fn read(place: &Place, docker: Option<&DockerFacts>) -> Reading<Vec<CdiSpec>> {
    let told = docker.map(|docker| docker.cdi_spec_dirs.clone()).filter(|folders| !folders.is_empty());
    let folders = told.unwrap_or_else(|| FOLDERS.map(str::to_owned).to_vec());
    let mut specs = Vec::new();
    for folder in folders {
        for name in place.names(&folder).unwrap_or_default() {
            let path = format!("{folder}/{name}");
            let text = match place.text(&path) {
                Ok(text) => text,
                Err(Absence::None) => continue,
                Err(why) => return Reading::Absent(why),
            };
            specs.extend(pairs(&name, &text).and_then(|pairs| spec(place, path, &pairs)));
        }
    }
    Reading::Known(specs)
}

type Pairs = Vec<(String, String)>;

/// Every key with a text as its value, in the order of the file.
fn pairs(name: &str, text: &str) -> Option<Pairs> {
    let mut pairs = Pairs::new();
    if name.ends_with(".json") {
        collect(&serde_json::from_str(text).ok()?, &mut pairs);
    } else if name.ends_with(".yaml") || name.ends_with(".yml") {
        pairs.extend(text.lines().filter_map(yaml_pair));
    } else {
        return None;
    }
    Some(pairs)
}

fn collect(value: &serde_json::Value, pairs: &mut Pairs) {
    match value {
        serde_json::Value::Object(fields) => fields.iter().for_each(|(key, value)| match value.as_str() {
            Some(text) => pairs.push((key.clone(), text.to_owned())),
            None => collect(value, pairs),
        }),
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, pairs)),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}

/// `- path: "/dev/nvidia0"`: block style, as every writer of CDI specifications uses it.
fn yaml_pair(line: &str) -> Option<(String, String)> {
    let (key, value) = line.trim().trim_start_matches("- ").split_once(": ")?;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| (key.trim().to_owned(), value.to_owned()))
}

fn spec(place: &Place, path: String, pairs: &Pairs) -> Option<CdiSpec> {
    let of = |key: &'static str| pairs.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str());
    (of("kind").next() == Some(KIND)).then_some(())?;
    // Where a device lies elsewhere on the host, `path` is its place in the container.
    let elsewhere = of("hostPath").any(|path| path.contains("/dev/"));
    let own = of("path").filter(|path| !elsewhere || !path.starts_with("/dev/"));
    let mut missing: Vec<String> =
        own.chain(of("hostPath")).filter(|path| path.starts_with('/') && !place.has(path)).map(str::to_owned).collect();
    missing.sort_unstable();
    missing.dedup();
    let mut versions: Vec<String> = of("hostPath").filter_map(version).map(str::to_owned).collect();
    versions.sort_unstable();
    versions.dedup();
    Some(CdiSpec { path, devices: of("name").map(str::to_owned).collect(), missing, versions })
}

/// The driver's version in the name of one of its own libraries; others have versions of their own.
fn version(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?;
    let version = name.strip_prefix("libcuda.so.").or_else(|| name.strip_prefix("libnvidia-ml.so."))?;
    (version.contains('.') && version.starts_with(|c: char| c.is_ascii_digit())).then_some(version)
}
