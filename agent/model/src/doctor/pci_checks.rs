//! Faults of the bus and of the link to a GPU.

use super::doctor_facts::DoctorFacts;
use super::rule::{Check, Hit, Ruled, Severity, hit_if, known, only_if};
use super::view::each;
use crate::health::link::both_can;

pub(super) const CHECKS: [Check; 7] = [
    Check {
        code: "pci_scan_failed",
        severity: Severity::Error,
        why: "without the list of PCI functions no GPU can be seen",
        cure: "see why `ls /sys/bus/pci/devices` fails: is /sys mounted and readable?",
        rule: scan_failed,
    },
    Check {
        code: "pci_function_unreadable",
        severity: Severity::Warning,
        why: "a function that cannot be read may be a GPU that is missing from the list",
        cure: "`lspci -vv -s {}` and `dmesg | grep {}`; a power cycle brings back a device that fell off the bus",
        rule: unreadable,
    },
    Check {
        code: "bar_no_space",
        severity: Severity::Error,
        why: "a GPU whose memory window got no address cannot be initialised by its driver",
        cure: "enable 'Above 4G Decoding' in the firmware; else boot with `pci=realloc=on`",
        rule: bar_no_space,
    },
    Check {
        code: "link_width_reduced",
        severity: Severity::Warning,
        why: "with fewer lanes than card and slot have, copies to and from the GPU are slow",
        cure: "reseat the card and its riser, clean the contacts, then compare `lspci -vv -s {} | grep Lnk`",
        rule: |facts| link_width(facts, false),
    },
    Check {
        code: "display_link_width_reduced",
        severity: Severity::Hint,
        why: "the GPU has fewer lanes than card and slot have: boards share the lanes of two slots, or the card is badly seated",
        cure: "see the board's manual for the slots that share lanes; `lspci -vv -s {} | grep Lnk` shows the link",
        rule: |facts| link_width(facts, true),
    },
    Check {
        code: "resizable_bar_unused",
        severity: Severity::Hint,
        why: "the CPU sees the GPU's memory through a small window although the card offers a large one",
        cure: "enable 'Resizable BAR' and 'Above 4G Decoding' in the firmware",
        rule: small_bar,
    },
    Check {
        code: "nomodeset",
        severity: Severity::Warning,
        why: "`nomodeset` keeps amdgpu, i915 and xe from taking their GPUs",
        cure: "remove `nomodeset` from the kernel command line (`/etc/default/grub`, then `update-grub`), and reboot",
        rule: nomodeset,
    },
];

fn scan_failed(facts: &DoctorFacts) -> Ruled {
    Ok(facts.host.scan.as_ref().err().map(|fault| Hit::of(&fault.path, &fault.cause.said)).into_iter().collect())
}

fn unreadable(facts: &DoctorFacts) -> Ruled {
    let functions = &facts.scan()?.unreadable;
    Ok(functions
        .iter()
        .map(|function| Hit::of(&function.name, format!("{}: {}", function.path, function.said)))
        .collect())
}

/// The kernel tries more than once: what counts is its last word on a BAR.
fn bar_no_space(facts: &DoctorFacts) -> Ruled {
    let scan = facts.scan()?;
    let log = facts.log()?;
    each(&scan.gpus, |gpu| {
        let address = gpu.address.to_string();
        let last =
            log.iter().rev().find(|line| line.contains(&address) && line.contains("BAR ") && says_space(line))?;
        (!last.contains(": assigned")).then(|| Hit::of(gpu.address, last.trim()))
    })
}

fn says_space(line: &str) -> bool {
    ["no space", "failed to assign", "can't assign", ": assigned"].iter().any(|words| line.contains(words))
}

/// Class and subclass of a VGA controller; GPUs for computing are 3D controllers or processing accelerators.
const VGA: u32 = 0x0300;

/// Both ends must be able to do more: a card of 16 lanes in a slot of 8 is as it was built.
/// A board for display cards may still claim all lanes for a port that it shares them with another one.
fn link_width(facts: &DoctorFacts, display: bool) -> Ruled {
    only_if(!facts.is_guest())?;
    let of_kind = facts.scan()?.gpus.iter().filter(|gpu| (gpu.class.base_and_sub() == VGA) == display);
    each(of_kind, |gpu| {
        let (most, _) = both_can(gpu, None)?;
        let now = gpu.link.width.get().filter(|now| (1..most).contains(now))?;
        Some(Hit::of(gpu.address, format!("{now} lanes are in use, card and slot have {most}")))
    })
}

fn small_bar(facts: &DoctorFacts) -> Ruled {
    only_if(!facts.is_guest())?;
    let small = facts.kernel.slots.iter().filter_map(|slot| {
        let (now, most) = (slot.bar1_bytes.get()?, slot.bar1_max_bytes.get()?);
        let told = || format!("BAR 1 has {} MiB, the card offers {} MiB", now >> 20, most >> 20);
        (now < most && now <= 256 << 20).then(|| Hit::of(slot.address, told()))
    });
    Ok(small.collect())
}

fn nomodeset(facts: &DoctorFacts) -> Ruled {
    let others = facts
        .scan()?
        .gpus
        .iter()
        .filter(|gpu| [crate::pci::VENDOR_AMD, crate::pci::VENDOR_INTEL].contains(&gpu.id.vendor));
    only_if(others.clone().any(|gpu| gpu.driver.is_none()))?;
    known(&facts.kernel.cmdline, "/proc/cmdline")?;
    let word = facts.on_cmdline(|word| word == "nomodeset")?;
    hit_if(word.is_some(), || Hit::of("/proc/cmdline", "nomodeset, and a GPU without a driver"))
}
