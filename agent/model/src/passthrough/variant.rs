//! Which vfio variant driver the module aliases of a kernel name for a function, after libvirt's rule: the closest match wins.

use crate::ids::{DriverName, PciClass, PciId};

/// What an alias is matched against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Vendor and device.
    pub id: PciId,
    /// Subsystem vendor and device.
    pub subsystem: PciId,
    /// Class code.
    pub class: PciClass,
}

/// The variant driver for a function in the text of `modules.alias`; `None` where only vfio-pci itself would do.
///
/// Lines are `alias vfio_pci:v000010DEd00002342sv*sd*bc*sc*i* nvgrace_gpu_vfio_pci`; of several that match the one with the
/// fewest stars is taken, and vfio-pci's own (all stars) never is.
#[must_use]
pub fn best(aliases: &str, function: Identity) -> Option<DriverName> {
    let matching = aliases.lines().filter_map(|line| {
        let (pattern, module) = line.strip_prefix("alias vfio_pci:")?.split_once(' ')?;
        let stars = fields(pattern).and_then(|fields| stars_of_match(&fields, function))?;
        Some((stars, module.trim()))
    });
    let (_, module) = matching.filter(|(_, module)| !matches!(*module, "vfio_pci" | "vfio-pci")).min()?;
    module.parse().ok()
}

/// `v…d…sv…sd…bc…sc…i…` in its seven parts.
fn fields(pattern: &str) -> Option<[&str; 7]> {
    let rest = pattern.strip_prefix('v')?;
    let (vendor, rest) = rest.split_once('d')?;
    let (device, rest) = rest.split_once("sv")?;
    let (sub_vendor, rest) = rest.split_once("sd")?;
    let (sub_device, rest) = rest.split_once("bc")?;
    let (base, rest) = rest.split_once("sc")?;
    let (sub, interface) = rest.split_once('i')?;
    Some([vendor, device, sub_vendor, sub_device, base, sub, interface])
}

/// Number of stars, where every field is a star or the function's own value.
fn stars_of_match(fields: &[&str; 7], function: Identity) -> Option<usize> {
    let [_, base, sub, interface] = function.class.0.to_be_bytes();
    let own: [u32; 7] = [
        function.id.vendor.into(),
        function.id.device.into(),
        function.subsystem.vendor.into(),
        function.subsystem.device.into(),
        base.into(),
        sub.into(),
        interface.into(),
    ];
    let fits = |(field, own): (&&str, u32)| *field == "*" || u32::from_str_radix(field, 16).is_ok_and(|v| v == own);
    let all = fields.iter().zip(own).all(fits);
    all.then(|| fields.iter().filter(|field| **field == "*").count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GRACE: &str = "alias vfio_pci:v000010DEd00002342sv*sd*bc*sc*i* nvgrace_gpu_vfio_pci";
    const OWN: &str = "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci";

    fn function(device: u16) -> Identity {
        let subsystem = PciId { vendor: 0x10de, device: 0x16eb };
        Identity { id: PciId { vendor: 0x10de, device }, subsystem, class: PciClass(0x03_02_00) }
    }

    #[test]
    fn the_closest_alias_wins_whatever_the_order() {
        let closer = "alias vfio_pci:v000010DEd00002342sv000010DEsd000016EBbc03sc02i* closer_vfio_pci";
        for text in [format!("{OWN}\n{GRACE}\n{closer}\n"), format!("{closer}\n{OWN}\n{GRACE}\n")] {
            assert_eq!(best(&text, function(0x2342)).unwrap().as_str(), "closer_vfio_pci");
        }
        assert_eq!(best(&format!("{OWN}\n{GRACE}"), function(0x2342)).unwrap().as_str(), "nvgrace_gpu_vfio_pci");
        assert_eq!(best(&format!("{OWN}\n{GRACE}"), function(0x20b0)), None);
    }

    #[test]
    fn aliases_of_other_buses_and_broken_lines_match_nothing() {
        let text = "alias pci:v000010DEd00002342sv*sd*bc*sc*i* nouveau\nalias vfio_pci:v\nalias vfio_pci: x\nalias\n";
        assert_eq!(best(text, function(0x2342)), None);
        assert_eq!(best("alias vfio_pci:v000010DEd00002342sv*sd*bc*sc*i* ../evil\n", function(0x2342)), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(alias vfio_pci:)?[v0-9A-Fdsbci* \n]{0,80}") {
            let _ = best(&text, function(1));
        }
    }
}
