//! Where descriptions come from: the built-in ones by name, files by path, and synthetic ones by size.

use crate::bad_description::BadDescription;
use crate::bus::Bus;
use crate::description::Description;
use std::path::Path;

/// The built-in hosts: name and text, sorted by name.
pub const BUILT_IN: [(&str, &str); 14] = [
    ("amd-mi300", include_str!("../../../tests/hosts/amd-mi300.toml")),
    ("dgx-a100", include_str!("../../../tests/hosts/dgx-a100.toml")),
    ("gb200", include_str!("../../../tests/hosts/gb200.toml")),
    ("hgx-b200", include_str!("../../../tests/hosts/hgx-b200.toml")),
    ("hgx-h100", include_str!("../../../tests/hosts/hgx-h100.toml")),
    ("intel-arc", include_str!("../../../tests/hosts/intel-arc.toml")),
    ("l40s-server", include_str!("../../../tests/hosts/l40s-server.toml")),
    ("mixed-faults", include_str!("../../../tests/hosts/mixed-faults.toml")),
    ("mixed-old-cards", include_str!("../../../tests/hosts/mixed-old-cards.toml")),
    ("no-iommu", include_str!("../../../tests/hosts/no-iommu.toml")),
    ("nouveau-desktop", include_str!("../../../tests/hosts/nouveau-desktop.toml")),
    ("t4-cloud-vm", include_str!("../../../tests/hosts/t4-cloud-vm.toml")),
    ("vgpu-host-16vf", include_str!("../../../tests/hosts/vgpu-host-16vf.toml")),
    ("workstation-rtx", include_str!("../../../tests/hosts/workstation-rtx.toml")),
];

/// Loads a built-in host by name, or else a file by path.
///
/// # Errors
/// There is neither, or what is there is no description.
pub fn load(name_or_path: &str) -> Result<Description, BadDescription> {
    match BUILT_IN.iter().find(|(name, _)| *name == name_or_path) {
        Some((name, text)) => parse(text, name),
        None => load_file(Path::new(name_or_path)),
    }
}

/// Loads a file.
///
/// # Errors
/// It cannot be read, or it is not a description.
pub fn load_file(path: &Path) -> Result<Description, BadDescription> {
    let text = std::fs::read_to_string(path).map_err(|source| BadDescription::NotFound {
        name: path.display().to_string(),
        known: BUILT_IN.map(|(name, _)| name).join(", "),
        source,
    })?;
    parse(&text, &path.display().to_string())
}

/// Reads a description from its text; `origin` names it in errors.
///
/// # Errors
/// The text is no TOML, has an unknown field, or describes a bus that cannot be.
pub fn parse(text: &str, origin: &str) -> Result<Description, BadDescription> {
    let description: Description =
        toml::from_str(text).map_err(|source| BadDescription::Syntax { origin: origin.to_owned(), source })?;
    Bus::lay_out(&description)?;
    Ok(description)
}

impl Description {
    /// The description as TOML text, as [`parse`] takes it.
    ///
    /// # Errors
    /// TOML has no form for it (a number beyond 63 bits).
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}
