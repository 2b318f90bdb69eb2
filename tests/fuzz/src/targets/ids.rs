//! Names of devices, drivers and workspaces: what is taken prints as a text that means the same and cannot leave its folder.

use crate::Target;
use crate::bounds::Bounds;
use model::ids::WorkspaceId;
use model::{DriverName, GpuUuid, MigUuid, PciAddress, PciId};
use std::fmt::{Debug, Display};
use std::str::FromStr;

/// The target.
pub const TARGET: Target = Target {
    name: "ids",
    what: "PCI addresses, UUIDs, names of drivers and workspaces",
    run,
    seeds,
    words: &["0000:", "00000000:41:00.0", "GPU-", "MIG-", "..", "/", "10de:2330", "vfio-pci", "\u{0}"],
    bounds: Bounds::USUAL,
};

fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Some(address) = same_again::<PciAddress>(&text) {
        assert!(address.device < 32 && address.function < 8);
        let element = address.path_element();
        assert!(element.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{element}");
    }
    same_again::<PciId>(&text);
    let names = [
        same_again::<GpuUuid>(&text).map(String::from),
        same_again::<DriverName>(&text).map(String::from),
        same_again::<WorkspaceId>(&text).map(String::from),
    ];
    for name in names.into_iter().flatten() {
        assert!(
            !name.contains('/') && name != "." && name != ".." && !name.is_empty() && name.len() <= 128,
            "{name:?}"
        );
    }
    if let Some(uuid) = same_again::<MigUuid>(&text) {
        assert!(uuid.as_str().starts_with("MIG-") && !uuid.as_str().contains(".."));
    }
}

/// The value that the text stands for; its own text stands for the same.
fn same_again<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(text: &str) -> Option<T> {
    let value: T = text.parse().ok()?;
    assert_eq!(value.to_string().parse::<T>().expect("what was printed is read"), value);
    Some(value)
}

fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "0000:41:00.0",
        "00001580:0A:1F.7",
        "10de:2330",
        "GPU-5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7",
        "MIG-GPU-5f2ae64e/1/0",
        "vfio-pci",
        "..",
        "0000:41:00.0/../x",
    ];
    texts.into_iter().map(|text| text.as_bytes().to_vec()).collect()
}
