//! Settings by which vfio-pci or pci-stub takes PCI functions by their id at every boot, before any driver and any decision.
//!
//! `vfio-pci.ids=` on the kernel's command line (`-` and `_` are the same to it), `options vfio-pci ids=` of modprobe, the same words
//! in a list of modules. Such an id stays in the driver: who only unbinds a function and has it probed again gives it back to
//! the same driver, until the id is removed (`remove_id`) or the setting is.

use crate::absence::Reading;
use crate::ids::{PciAddress, PciClass, PciId};
use crate::pci::GpuFunction;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A driver that takes what its parameter `ids` names, and has no list of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Claimant {
    /// Gives functions to user space.
    VfioPci,
    /// Keeps every other driver away.
    PciStub,
}

impl Claimant {
    /// Both.
    pub const ALL: [Self; 2] = [Self::VfioPci, Self::PciStub];

    /// Its name below `/sys/bus/pci/drivers`.
    #[must_use]
    pub const fn driver(self) -> &'static str {
        match self {
            Self::VfioPci => "vfio-pci",
            Self::PciStub => "pci-stub",
        }
    }

    fn of_module(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|claimant| name.replace('_', "-") == claimant.driver())
    }
}

/// Which functions are taken, as `vendor:device[:subvendor[:subdevice[:class[:class mask]]]]` in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdPattern {
    /// `None` = any.
    pub vendor: Option<u32>,
    /// `None` = any.
    pub device: Option<u32>,
    /// `None` = any.
    pub subvendor: Option<u32>,
    /// `None` = any.
    pub subdevice: Option<u32>,
    /// The bits of the class code that count, and what they are.
    pub class: (u32, u32),
}

impl IdPattern {
    /// As `sscanf("%x:%x:%x:%x:%x:%x")` reads it; the kernel passes over what has no two numbers.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        const ANY: u32 = u32::MAX;
        let mut garbage = false;
        let mut fields = text.split(':').map_while(|field| {
            let field = field.trim_start();
            let digits = field.strip_prefix("0x").or_else(|| field.strip_prefix("0X")).unwrap_or(field);
            let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
            // What follows a number that does not end at a colon is not read any more.
            let was_garbage = std::mem::replace(&mut garbage, end < digits.len());
            digits.get(..end).filter(|_| !was_garbage).and_then(|number| u32::from_str_radix(number, 16).ok())
        });
        let any = |value: u32| (value != ANY).then_some(value);
        let (vendor, device) = (fields.next()?, fields.next()?);
        let (subvendor, subdevice) = (fields.next().unwrap_or(ANY), fields.next().unwrap_or(ANY));
        let (class, mask) = (fields.next().unwrap_or(0), fields.next().unwrap_or(0));
        Some(Self {
            vendor: any(vendor),
            device: any(device),
            subvendor: any(subvendor),
            subdevice: any(subdevice),
            class: (mask, class & mask),
        })
    }

    /// It takes a function of these (`pci_match_one_device`). A subsystem that could not be read may be any.
    #[must_use]
    pub fn matches(self, id: PciId, subsystem: &Reading<PciId>, class: PciClass) -> bool {
        let fits = |wanted: Option<u32>, is: u16| wanted.is_none_or(|wanted| wanted == u32::from(is));
        let of_subsystem = |wanted: Option<u32>, part: fn(&PciId) -> u16| {
            wanted.is_none_or(|wanted| subsystem.known().is_none_or(|id| u32::from(part(id)) == wanted))
        };
        let (mask, wanted) = self.class;
        fits(self.vendor, id.vendor)
            && fits(self.device, id.device)
            && of_subsystem(self.subvendor, |id| id.vendor)
            && of_subsystem(self.subdevice, |id| id.device)
            && class.0 & mask == wanted
    }
}

/// One such setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Who takes.
    pub by: Claimant,
    /// What.
    pub pattern: IdPattern,
    /// The setting as it is there, up to its `=`: `vfio_pci.ids`.
    pub setting: String,
    /// The file in which it is.
    pub place: String,
}

impl Claim {
    /// It takes this GPU.
    #[must_use]
    pub fn takes(&self, gpu: &GpuFunction) -> bool {
        self.pattern.matches(gpu.id, &gpu.subsystem, gpu.class)
    }

    /// It is on the kernel's command line.
    fn is_of_kernel(&self) -> bool {
        self.place.ends_with("/cmdline")
    }

    /// What has to be done so that the GPU stays with another driver: now, and over the next boot.
    #[must_use]
    pub fn cure(&self, id: PciId, address: PciAddress, os_id: Option<&str>) -> String {
        let (driver, folder) = (self.by.driver(), format!("/sys/bus/pci/devices/{address}"));
        let is_debian = matches!(os_id, Some("debian" | "ubuntu"));
        let boot_loader = match os_id {
            Some("debian" | "ubuntu") => "/etc/default/grub, then `update-grub`".to_owned(),
            Some("fedora" | "rhel" | "centos" | "rocky" | "almalinux" | "ol") => {
                format!("`grubby --update-kernel=ALL --remove-args={}`, and add the other ids again", self.setting)
            }
            Some(_) | None => "the settings of the boot loader".to_owned(),
        };
        let place = if self.is_of_kernel() {
            format!("on the kernel's command line ({boot_loader})")
        } else {
            format!("in {}", self.place)
        };
        let initramfs = if is_debian { "update-initramfs -u" } else { "dracut -f" };
        format!(
            "remove {id} from {}= {place}, `{initramfs}`, and reboot. To have the GPU now: `echo > {folder}/driver_override; \
             echo {:04x} {:04x} > /sys/bus/pci/drivers/{driver}/remove_id; echo {address} > /sys/bus/pci/drivers/{driver}/unbind; \
             echo {address} > /sys/bus/pci/drivers_probe`; without the remove_id {driver} binds it again",
            self.setting, id.vendor, id.device
        )
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}= in {}", self.setting, self.place)
    }
}

/// The first setting that has this driver take the GPU.
#[must_use]
pub fn of_gpu<'a>(claims: &'a [Claim], gpu: &GpuFunction, driver: &str) -> Option<&'a Claim> {
    // A variant of vfio-pci is bound by override alone: the parameter is vfio-pci's own.
    claims.iter().find(|claim| claim.by.driver() == driver && claim.takes(gpu))
}

/// Those on a kernel command line.
#[must_use]
pub fn on_cmdline(text: &str, place: &str) -> Vec<Claim> {
    let settings = words(text).into_iter().filter_map(|word| {
        let (name, ids) = word.split_once('=')?;
        let (module, parameter) = name.split_once('.')?;
        let by = Claimant::of_module(module).filter(|_| parameter == "ids")?;
        Some((by, name.to_owned(), ids.to_owned()))
    });
    settings.flat_map(|(by, name, ids)| claims(by, &name, &ids, place)).collect()
}

/// Those of a settings file of modprobe (`options vfio-pci ids=…`), or of a list of modules (`vfio_pci ids=…`).
#[must_use]
pub fn in_file(text: &str, place: &str) -> Vec<Claim> {
    // A backslash at its end carries a line on.
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().map(|line| line.split_once('#').map_or(line, |(before, _)| before));
    lines.flat_map(|line| in_line(line, place)).collect()
}

/// Those of one line.
#[must_use]
pub fn in_line(line: &str, place: &str) -> Vec<Claim> {
    let words = words(line);
    let mut words = words.iter().map(String::as_str);
    let (module, first) = match words.next() {
        Some("options") => (words.next(), "options "),
        module => (module, ""),
    };
    let Some((module, by)) = module.and_then(|module| Some((module, Claimant::of_module(module)?))) else {
        return Vec::new();
    };
    let ids = words.filter_map(|word| word.strip_prefix("ids="));
    ids.flat_map(|ids| claims(by, &format!("{first}{module} ids"), ids, place)).collect()
}

fn claims(by: Claimant, setting: &str, ids: &str, place: &str) -> Vec<Claim> {
    let claim = |pattern| Claim { by, pattern, setting: setting.to_owned(), place: place.to_owned() };
    ids.split(',').filter_map(IdPattern::parse).map(claim).collect()
}

/// Words between blanks, without the quotation marks in which blanks do not count (`next_arg`).
fn words(text: &str) -> Vec<String> {
    let (mut all, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                if !word.is_empty() {
                    all.push(std::mem::take(&mut word));
                }
            }
            c if c.is_control() => {}
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        all.push(word);
    }
    all
}
