//! What of one GPU is worth an event when it changes, and the events that follow from the change.

use super::occurrence::{EventKind, EventSeverity, Occurrence};
use crate::absence::{Absence, Reading};
use crate::driver::{DriverGpu, MigMode};
use crate::health::HealthState;
use crate::ids::PciAddress;
use crate::observation::{Gpu, GpuUse, StandingChange};
use crate::roster::Card;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The driver that gives a GPU to virtual machines.
const VFIO: &str = "vfio-pci";
/// In place of the name of a driver where none is bound.
const NO_DRIVER: &str = "none";

/// One GPU as it was seen last. What a look does not show is what it was before.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GpuSighting {
    /// Vendor and device.
    pub id: String,
    /// What it is called.
    pub name: Option<String>,
    /// What its driver reports that it is.
    pub uuid: Option<String>,
    /// Its health.
    pub health: HealthState,
    /// The codes of what affects it.
    pub codes: Vec<String>,
    /// The gravest of it, for people.
    #[serde(skip)]
    pub why: Option<String>,
    /// Its last Xid in this boot.
    pub xid: Option<u32>,
    /// MIG mode is on.
    pub mig: Option<bool>,
    /// Its MIG devices by their instances, with their profiles as far as these are known.
    pub mig_devices: Option<BTreeMap<String, Option<String>>>,
    /// The kernel driver of the host that is bound to it, or `none`.
    pub driver: Option<String>,
    /// The version of that driver, where it reports one.
    pub version: Option<String>,
    /// It is bound to vfio-pci.
    pub vfio: Option<bool>,
}

/// What holds for a look at all GPUs.
#[derive(Debug, Clone, Copy)]
pub(super) struct GpuLook {
    /// The daemon runs long enough to know what the kernel log and the drivers report.
    pub(super) is_settled: bool,
    /// The last look was in the same boot.
    pub(super) is_same_boot: bool,
}

impl GpuSighting {
    /// It is the same card as that one, as far as both are known.
    fn is_card(&self, other: &Self) -> bool {
        let agree = self.uuid.is_none() || other.uuid.is_none() || self.uuid == other.uuid;
        self.id == other.id && agree
    }

    /// The card as it is now. `gpu` has what was observed of it; `before` is what was at the same address.
    pub(super) fn look(card: &Card, gpu: Option<&Gpu>, before: Option<&Self>, look: GpuLook) -> Self {
        let mut now = Self {
            id: card.id.to_string(),
            name: card.name.clone(),
            uuid: card.uuid.as_ref().map(ToString::to_string),
            ..Self::default()
        };
        if let Some(before) = before.filter(|before| before.is_card(&now)) {
            now = Self {
                id: now.id,
                name: now.name.or_else(|| before.name.clone()),
                uuid: now.uuid.or_else(|| before.uuid.clone()),
                xid: before.xid.filter(|_| look.is_same_boot),
                why: None,
                ..before.clone()
            };
        }
        if let Some(gpu) = gpu {
            now.take_health(gpu, look);
            let is_in_change = gpu.change == StandingChange::UnderWay || gpu.usage == GpuUse::Transitioning;
            if !is_in_change {
                now.take_driver(gpu);
                gpu.driver.iter().filter(|_| !gpu.pci.is_asleep()).for_each(|driver| now.take_mig(driver));
            }
        }
        now
    }

    fn take_health(&mut self, gpu: &Gpu, look: GpuLook) {
        let health = &gpu.health;
        self.xid = health.xid_last.or(self.xid);
        let is_known = health.state != HealthState::Unknown;
        // Until all sources have been heard after a start, nothing is taken for recovered.
        if is_known && (look.is_settled || health.state >= self.health) {
            self.health = health.state;
            self.codes = health.codes();
            self.why = health.reasons.first().map(|gravest| format!("{}; {}", gravest.message, gravest.remedy));
        }
    }

    fn take_driver(&mut self, gpu: &Gpu) {
        let bound = match &gpu.pci.driver {
            Reading::Known(name) => name.as_str(),
            Reading::Absent(Absence::None) => NO_DRIVER,
            Reading::Absent(_) => return,
        };
        self.vfio = Some(bound == VFIO);
        if bound == VFIO {
            return;
        }
        let is_same = self.driver.as_deref() == Some(bound);
        let known = self.version.take().filter(|_| is_same);
        self.version = gpu.driver_version.clone().filter(|_| bound != NO_DRIVER).or(known);
        self.driver = Some(bound.to_owned());
    }

    fn take_mig(&mut self, driver: &DriverGpu) {
        let Some(mode) = driver.mig_current.known() else { return };
        self.mig = Some(*mode == MigMode::Enabled);
        if !driver.mig_unplaced.is_empty() {
            return;
        }
        let before = self.mig_devices.take().unwrap_or_default();
        let devices = driver.mig_devices.iter().map(|device| {
            let place = format!("{}.{}", device.gpu_instance, device.compute_instance);
            let known = before.get(&place).cloned().flatten();
            (place, device.profile.known().cloned().or(known))
        });
        self.mig_devices = Some(devices.collect());
    }

    fn mig_differs(&self, before: &Self) -> bool {
        let (Some(was), Some(is)) = (before.mig, self.mig) else { return false };
        let other = |one: &Option<String>, other: &Option<String>| one.is_some() && other.is_some() && one != other;
        let devices_differ = match (&before.mig_devices, &self.mig_devices) {
            (Some(was), Some(is)) => {
                was.len() != is.len() || is.iter().any(|(place, now)| was.get(place).is_none_or(|old| other(old, now)))
            }
            (None, _) | (_, None) => false,
        };
        was != is || devices_differ
    }

    fn mig_words(&self) -> String {
        let devices = self.mig_devices.iter().flatten();
        let words: Vec<String> = devices
            .map(|(place, profile)| format!("{} ({place})", profile.as_deref().unwrap_or("a MIG device")))
            .collect();
        match (self.mig, words.is_empty()) {
            (Some(true), false) => format!("MIG mode is on, with {}", words.join(", ")),
            (Some(true), true) => "MIG mode is on, without a MIG device".to_owned(),
            (Some(false) | None, _) => "MIG mode is off".to_owned(),
        }
    }

    fn driver_words(&self) -> String {
        let name = self.driver.as_deref().unwrap_or(NO_DRIVER);
        self.version.as_deref().map_or_else(|| name.to_owned(), |version| format!("{name} {version}"))
    }
}

/// What has happened to the GPU at this address.
pub(super) fn gpu_news(at: PciAddress, before: Option<&GpuSighting>, now: Option<&GpuSighting>) -> Vec<Occurrence> {
    match (before, now) {
        (None, None) => Vec::new(),
        (None, Some(now)) => added(at, now),
        (Some(before), None) => vec![removed(at, before)],
        (Some(before), Some(now)) if !now.is_card(before) => {
            let mut news = vec![removed(at, before)];
            news.extend(added(at, now));
            news
        }
        (Some(before), Some(now)) => changed(at, before, now),
    }
}

fn called(sighting: &GpuSighting) -> String {
    sighting.name.clone().unwrap_or_else(|| format!("a GPU {}", sighting.id))
}

fn described(event: Occurrence, sighting: &GpuSighting) -> Occurrence {
    let event = event.with("pci_id", sighting.id.clone());
    let facts = [("name", &sighting.name), ("uuid", &sighting.uuid)];
    facts.into_iter().fold(event, |event, (name, fact)| match fact {
        Some(fact) => event.with(name, fact.clone()),
        None => event,
    })
}

fn added(at: PciAddress, now: &GpuSighting) -> Vec<Occurrence> {
    let message = format!("GPU {at} is there: {}", called(now));
    let mut news =
        vec![described(Occurrence::new(EventKind::GpuAdded, at.to_string(), EventSeverity::Info, message), now)];
    if now.health > HealthState::Ok {
        news.push(health(at, &GpuSighting::default(), now));
    }
    news
}

fn removed(at: PciAddress, before: &GpuSighting) -> Occurrence {
    let message = format!("GPU {at} is not there any more: {}", called(before));
    described(Occurrence::new(EventKind::GpuRemoved, at.to_string(), EventSeverity::Warning, message), before)
}

fn changed(at: PciAddress, before: &GpuSighting, now: &GpuSighting) -> Vec<Occurrence> {
    let mut news = Vec::new();
    let info = |kind, message| Occurrence::new(kind, at.to_string(), EventSeverity::Info, message);
    if let Some(xid) = now.xid.filter(|_| now.xid != before.xid) {
        let message = format!("the kernel log has Xid {xid} of GPU {at}");
        let event = Occurrence::new(EventKind::GpuXid, at.to_string(), EventSeverity::Warning, message);
        news.push(event.with_code(format!("xid_{xid}")).with("xid", xid.to_string()));
    }
    let was_known = before.health != HealthState::Unknown || now.health > HealthState::Ok;
    if was_known && (before.health, &before.codes) != (now.health, &now.codes) {
        news.push(health(at, before, now));
    }
    if before.driver.is_some()
        && (&before.driver, &before.version) != (&now.driver, &now.version)
        && !learned(before, now)
    {
        let message = format!("the driver of GPU {at} is {}, was {}", now.driver_words(), before.driver_words());
        news.push(info(EventKind::GpuDriverChanged, message).with("driver", now.driver_words()));
    }
    match (before.vfio, now.vfio) {
        (Some(false), Some(true)) => {
            news.push(info(EventKind::VfioBound, format!("GPU {at} is bound to vfio-pci, for a virtual machine")));
        }
        (Some(true), Some(false)) => {
            let message = format!("GPU {at} is taken back from vfio-pci; its driver is {}", now.driver_words());
            news.push(info(EventKind::VfioReleased, message));
        }
        (Some(true), Some(true)) | (Some(false), Some(false)) | (None, _) | (_, None) => {}
    }
    if now.mig_differs(before) {
        let message = format!("GPU {at}: {}", now.mig_words());
        news.push(info(EventKind::GpuMigChanged, message).with("mig", now.mig_words()));
    }
    news
}

/// The version of the same driver is only known now.
fn learned(before: &GpuSighting, now: &GpuSighting) -> bool {
    before.driver == now.driver && before.version.is_none()
}

fn health(at: PciAddress, before: &GpuSighting, now: &GpuSighting) -> Occurrence {
    let severity = match now.health {
        HealthState::Failed => EventSeverity::Error,
        HealthState::Degraded => EventSeverity::Warning,
        HealthState::Ok | HealthState::Unknown => EventSeverity::Info,
    };
    let why = now.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let message = format!("the health of GPU {at} is {}, was {}{why}", now.health.code(), before.health.code());
    let event = Occurrence::new(EventKind::GpuHealth, at.to_string(), severity, message);
    let event = event.with("health", now.health.code()).with("was", before.health.code());
    match now.codes.first() {
        Some(gravest) => event.with_code(gravest.clone()).with("codes", now.codes.join(" ")),
        None => event,
    }
}
