//! The products that can be planned for without having one: their profiles from published captures of `nvidia-smi mig -lgip -lgipp`.
//!
//! The table serves offline only. On a host NVML's numbers count: captures of one product differ between drivers.

use super::catalog::{ComputeProfile, Engines, GpuProfile, MigCatalog, Placement};
use crate::absence::Reading;
use crate::ids::PciId;

/// One profile of the table: name, index, id, slices, MiB, instances, SM, [CE, DEC, ENC, JPEG, OFA], slots, starts.
type Row = (&'static str, u32, u32, u32, u64, u32, u32, [u32; 5], u32, &'static [u32]);

/// A product of the table.
#[derive(Debug)]
pub struct Product {
    /// As it is named on the command line.
    pub name: &'static str,
    /// PCI device ids (vendor 10de) of the boards that are cut up alike.
    pub devices: &'static [u16],
    rows: &'static [Row],
}

const SEVEN: &[u32] = &[0, 1, 2, 3, 4, 5, 6];
const PAIRS: &[u32] = &[0, 2, 4, 6];
const TRIPLE: &[u32] = &[0, 2, 4];
const HALVES: &[u32] = &[0, 4];
const FIRST: &[u32] = &[0];

/// All products.
pub const PRODUCTS: [Product; 7] = [
    Product { name: "A30-24GB", devices: &[0x20b7], rows: &A30 },
    Product { name: "A100-40GB", devices: &[0x20b0, 0x20b1, 0x20f1, 0x20f6], rows: &A100_40 },
    Product { name: "A100-80GB", devices: &[0x20b2, 0x20b5, 0x20f3, 0x20f5], rows: &A100_80 },
    Product { name: "H100-80GB", devices: &[0x2330, 0x2331, 0x2322, 0x2324], rows: &H100_80 },
    Product { name: "H200-141GB", devices: &[0x2335, 0x233b], rows: &H200 },
    Product { name: "B200-180GB", devices: &[0x2901], rows: &B200 },
    Product { name: "RTX-PRO-6000-96GB", devices: &[0x2bb5], rows: &RTX_PRO_6000 },
];

const A30: [Row; 5] = [
    ("1g.6gb", 0, 14, 1, 5952, 4, 14, [1, 1, 0, 0, 0], 1, &[0, 1, 2, 3]),
    ("1g.6gb+me", 7, 21, 1, 5952, 1, 14, [1, 1, 0, 1, 1], 1, &[0, 1, 2, 3]),
    ("2g.12gb", 1, 5, 2, 11968, 2, 28, [2, 2, 0, 0, 0], 2, &[0, 2]),
    ("2g.12gb+me", 8, 6, 2, 11968, 1, 28, [2, 2, 0, 1, 1], 2, &[0, 2]),
    ("4g.24gb", 3, 0, 4, 24000, 1, 56, [4, 4, 0, 1, 1], 4, FIRST),
];

const A100_40: [Row; 7] = [
    ("1g.5gb", 0, 19, 1, 4864, 7, 14, [1, 0, 0, 0, 0], 1, SEVEN),
    ("1g.5gb+me", 7, 20, 1, 4864, 1, 14, [1, 1, 0, 1, 1], 1, SEVEN),
    ("1g.10gb", 9, 15, 1, 9984, 4, 14, [1, 1, 0, 0, 0], 2, PAIRS),
    ("2g.10gb", 1, 14, 2, 9984, 3, 28, [2, 1, 0, 0, 0], 2, TRIPLE),
    ("3g.20gb", 2, 9, 3, 20096, 2, 42, [3, 2, 0, 0, 0], 4, HALVES),
    ("4g.20gb", 3, 5, 4, 20096, 1, 56, [4, 2, 0, 0, 0], 4, FIRST),
    ("7g.40gb", 4, 0, 7, 40448, 1, 98, [7, 5, 0, 1, 1], 8, FIRST),
];

const A100_80: [Row; 7] = [
    ("1g.10gb", 0, 19, 1, 9856, 7, 14, [1, 0, 0, 0, 0], 1, SEVEN),
    ("1g.10gb+me", 7, 20, 1, 9856, 1, 14, [1, 1, 0, 1, 1], 1, SEVEN),
    ("1g.20gb", 9, 15, 1, 19968, 4, 14, [1, 1, 0, 0, 0], 2, PAIRS),
    ("2g.20gb", 1, 14, 2, 19968, 3, 28, [2, 1, 0, 0, 0], 2, TRIPLE),
    ("3g.40gb", 2, 9, 3, 40192, 2, 42, [3, 2, 0, 0, 0], 4, HALVES),
    ("4g.40gb", 3, 5, 4, 40192, 1, 56, [4, 2, 0, 0, 0], 4, FIRST),
    ("7g.80gb", 4, 0, 7, 80384, 1, 98, [7, 5, 0, 1, 1], 8, FIRST),
];

const H100_80: [Row; 7] = [
    ("1g.10gb", 0, 19, 1, 9984, 7, 16, [1, 1, 0, 1, 0], 1, SEVEN),
    ("1g.10gb+me", 7, 20, 1, 9984, 1, 16, [1, 1, 0, 1, 1], 1, SEVEN),
    ("1g.20gb", 9, 15, 1, 20096, 4, 26, [1, 1, 0, 1, 0], 2, PAIRS),
    ("2g.20gb", 1, 14, 2, 20096, 3, 32, [2, 2, 0, 2, 0], 2, TRIPLE),
    ("3g.40gb", 2, 9, 3, 40448, 2, 60, [3, 3, 0, 3, 0], 4, HALVES),
    ("4g.40gb", 3, 5, 4, 40448, 1, 64, [4, 4, 0, 4, 0], 4, FIRST),
    ("7g.80gb", 4, 0, 7, 81152, 1, 132, [8, 7, 0, 7, 1], 8, FIRST),
];

const H200: [Row; 7] = [
    ("1g.18gb", 0, 19, 1, 16384, 7, 16, [1, 1, 0, 1, 0], 1, SEVEN),
    ("1g.18gb+me", 7, 20, 1, 16384, 1, 16, [1, 1, 0, 1, 1], 1, SEVEN),
    ("1g.35gb", 9, 15, 1, 33024, 4, 26, [1, 1, 0, 1, 0], 2, PAIRS),
    ("2g.35gb", 1, 14, 2, 33024, 3, 32, [2, 2, 0, 2, 0], 2, TRIPLE),
    ("3g.71gb", 2, 9, 3, 71168, 2, 60, [3, 3, 0, 3, 0], 4, HALVES),
    ("4g.71gb", 3, 5, 4, 71168, 1, 64, [4, 4, 0, 4, 0], 4, FIRST),
    ("7g.141gb", 4, 0, 7, 143_360, 1, 132, [8, 7, 0, 7, 1], 8, FIRST),
];

/// What no capture shows (memory and engines from 3g on) follows the smaller profiles and the H200.
const B200: [Row; 7] = [
    ("1g.23gb", 0, 19, 1, 22528, 7, 18, [2, 1, 0, 1, 0], 1, SEVEN),
    ("1g.23gb+me", 7, 20, 1, 22528, 1, 18, [2, 1, 0, 1, 1], 1, SEVEN),
    ("1g.45gb", 9, 15, 1, 45312, 4, 30, [2, 1, 0, 1, 0], 2, PAIRS),
    ("2g.45gb", 1, 14, 2, 45312, 3, 36, [4, 2, 0, 2, 0], 2, TRIPLE),
    ("3g.90gb", 2, 9, 3, 0, 2, 0, [6, 3, 0, 3, 0], 4, HALVES),
    ("4g.90gb", 3, 5, 4, 0, 1, 0, [8, 4, 0, 4, 0], 4, FIRST),
    ("7g.180gb", 4, 0, 7, 0, 1, 0, [16, 7, 0, 7, 1], 8, FIRST),
];

const QUARTERS: &[u32] = &[0, 3, 6, 9];
const SIXES: &[u32] = &[0, 6];

const RTX_PRO_6000: [Row; 11] = [
    ("1g.24gb", 0, 14, 1, 24192, 4, 46, [1, 1, 1, 1, 0], 3, QUARTERS),
    ("1g.24gb+me", 7, 21, 1, 24192, 1, 46, [1, 1, 1, 1, 1], 3, QUARTERS),
    ("1g.24gb+gfx", 10, 47, 1, 24192, 4, 46, [1, 1, 1, 1, 0], 3, QUARTERS),
    ("1g.24gb+me.all", 15, 65, 1, 24192, 1, 46, [1, 4, 4, 4, 1], 3, QUARTERS),
    ("1g.24gb-me", 13, 67, 1, 24192, 4, 46, [1, 0, 0, 0, 0], 3, QUARTERS),
    ("2g.48gb", 1, 5, 2, 48512, 2, 94, [2, 2, 2, 2, 0], 6, SIXES),
    ("2g.48gb+gfx", 11, 35, 2, 48512, 2, 94, [2, 2, 2, 2, 0], 6, SIXES),
    ("2g.48gb+me.all", 16, 64, 2, 48512, 1, 94, [2, 4, 4, 4, 1], 6, SIXES),
    ("2g.48gb-me", 14, 66, 2, 48512, 2, 94, [2, 0, 0, 0, 0], 6, SIXES),
    ("4g.96gb", 3, 0, 4, 97280, 1, 188, [4, 4, 4, 4, 1], 12, FIRST),
    ("4g.96gb+gfx", 12, 32, 4, 97280, 1, 188, [4, 4, 4, 4, 1], 12, FIRST),
];

/// Compute instances come with 1, 2, 3, 4 and 7 slices; four slices are not cut into three and one.
const COMPUTE_SIZES: [u32; 5] = [1, 2, 3, 4, 7];

impl Product {
    /// The product with that name, or of that PCI device: `0x20B010DE` (as mig-parted writes it) or `10de:20b0`.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        let device = device(name);
        PRODUCTS
            .iter()
            .find(|product| product.name == name || device.is_some_and(|device| product.devices.contains(&device)))
    }

    /// What it can be cut into.
    #[must_use]
    pub fn catalog(&self) -> Option<MigCatalog> {
        MigCatalog::new(self.name, self.rows.iter().map(profile).collect()).ok()
    }
}

fn device(text: &str) -> Option<u16> {
    const NVIDIA: u16 = 0x10de;
    if let Ok(id) = text.parse::<PciId>() {
        return (id.vendor == NVIDIA).then_some(id.device);
    }
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).filter(|digits| digits.len() == 8)?;
    let part = |range: std::ops::Range<usize>| {
        let digits = digits.get(range).filter(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        u16::from_str_radix(digits, 16).ok()
    };
    (part(4..8)? == NVIDIA).then(|| part(0..4)).flatten()
}

fn profile(row: &Row) -> GpuProfile {
    let (name, index, id, slices, mib, instances, sm, [copy, decoder, encoder, jpeg, optical_flow], size, starts) =
        *row;
    let compute = |size: &u32| ComputeProfile { slices: *size, instances: slices / size };
    let fits = |size: &&u32| **size <= slices && (slices, **size) != (4, 3);
    GpuProfile {
        profile: name.to_owned(),
        index: Some(index),
        id: Some(id),
        compute_slices: slices,
        memory_mib: (mib > 0).then_some(mib),
        multiprocessors: (sm > 0).then_some(sm),
        engines: Engines {
            copy: Some(copy),
            decoder: Some(decoder),
            encoder: Some(encoder),
            jpeg: Some(jpeg),
            optical_flow: Some(optical_flow),
        },
        instances,
        placements: starts.iter().map(|start| Placement { start: *start, size }).collect(),
        compute_profiles: Reading::Known(COMPUTE_SIZES.iter().filter(fits).map(compute).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::MigEngine;
    use super::*;

    #[test]
    fn every_product_is_a_catalog_and_every_engine_adds_up() {
        for product in &PRODUCTS {
            let catalog = product.catalog().unwrap();
            assert_eq!(catalog.profiles().len(), product.rows.len(), "{}", product.name);
            for engine in MigEngine::ALL {
                assert!(catalog.capacity(engine).is_some(), "{}: {engine:?}", product.name);
            }
        }
    }

    #[test]
    fn slots_and_slices_are_those_of_the_product() {
        let numbers = |name: &str| {
            let catalog = Product::find(name).unwrap().catalog().unwrap();
            (catalog.compute_slices(), catalog.slots())
        };
        assert_eq!([numbers("A30-24GB"), numbers("A100-40GB")], [(4, 4), (7, 8)]);
        assert_eq!(numbers("RTX-PRO-6000-96GB"), (4, 12));
    }

    #[test]
    fn a_product_is_found_by_name_and_by_pci_device() {
        for text in ["A100-40GB", "0x20B010DE", "0x20f610de", "10de:20b1", "0X20B010DE"] {
            assert_eq!(Product::find(text).map(|product| product.name), Some("A100-40GB"), "{text}");
        }
        for text in ["", "A100", "0x20B0", "0x10DE20B0", "0x20B01002", "1002:20b0", "0x+0B010DE", "0x20B010DE:0x1"] {
            assert!(Product::find(text).is_none(), "{text}");
        }
        let devices: Vec<u16> = PRODUCTS.iter().flat_map(|product| product.devices).copied().collect();
        let distinct: std::collections::BTreeSet<_> = devices.iter().collect();
        assert_eq!(distinct.len(), devices.len(), "no device belongs to two products");
    }

    #[test]
    fn compute_instances_fill_their_gpu_instance() {
        let catalog = Product::find("A100-40GB").unwrap().catalog().unwrap();
        let sizes = |name: &str| {
            let profile = catalog.profile(catalog.find(name).unwrap()).unwrap();
            profile.compute_profiles.known().unwrap().iter().map(|c| (c.slices, c.instances)).collect::<Vec<_>>()
        };
        assert_eq!(sizes("4g.20gb"), [(1, 4), (2, 2), (4, 1)]);
        assert_eq!(sizes("7g.40gb"), [(1, 7), (2, 3), (3, 2), (4, 1), (7, 1)]);
    }
}
