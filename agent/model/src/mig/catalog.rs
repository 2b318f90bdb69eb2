//! What a GPU can be cut into: its profiles with their placements, as NVML gives them, and what follows from these numbers.

use super::profile::ProfileName;
use crate::absence::{Absence, Reading};
use serde::{Deserialize, Serialize};

/// Most profiles of a GPU that are taken; NVML knows 18 today.
pub const MOST_PROFILES: usize = 64;
/// Most memory slots of a GPU that are taken; the largest has 12 today.
pub const MOST_SLOTS: u32 = 64;
/// Most instances of a profile, and compute slices of one, that are taken.
const MOST_OF_ONE: u32 = 64;

/// A kind of engine that GPU instances share out among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MigEngine {
    /// Video decoder (NVDEC).
    Decoder,
    /// Video encoder (NVENC).
    Encoder,
    /// JPEG decoder (NVJPG).
    Jpeg,
    /// Optical flow (OFA).
    OpticalFlow,
    /// Copy engine (CE).
    Copy,
}

impl MigEngine {
    /// All, media engines first.
    pub const ALL: [Self; 5] = [Self::Decoder, Self::Encoder, Self::Jpeg, Self::OpticalFlow, Self::Copy];

    /// As a person reads it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decoder => "video decoders",
            Self::Encoder => "video encoders",
            Self::Jpeg => "JPEG decoders",
            Self::OpticalFlow => "optical flow engines",
            Self::Copy => "copy engines",
        }
    }
}

/// How many engines of each kind an instance has; a kind that is not known is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Engines {
    /// Copy engines.
    pub copy: Option<u32>,
    /// Video decoders.
    pub decoder: Option<u32>,
    /// Video encoders.
    pub encoder: Option<u32>,
    /// JPEG decoders.
    pub jpeg: Option<u32>,
    /// Optical flow engines.
    pub optical_flow: Option<u32>,
}

impl Engines {
    /// How many of one kind.
    #[must_use]
    pub const fn of(&self, engine: MigEngine) -> Option<u32> {
        match engine {
            MigEngine::Decoder => self.decoder,
            MigEngine::Encoder => self.encoder,
            MigEngine::Jpeg => self.jpeg,
            MigEngine::OpticalFlow => self.optical_flow,
            MigEngine::Copy => self.copy,
        }
    }
}

/// Where an instance can stand: `size` memory slots from `start` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Placement {
    /// First memory slot.
    pub start: u32,
    /// Number of memory slots.
    pub size: u32,
}

impl Placement {
    /// The slots as bits; none where it reaches beyond [`MOST_SLOTS`].
    #[must_use]
    pub fn mask(self) -> u64 {
        let bits = 1_u64.checked_shl(self.size).map_or(u64::MAX, |bit| bit - 1);
        bits.checked_shl(self.start).unwrap_or(0)
    }
}

/// A profile of compute instances inside a GPU instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComputeProfile {
    /// Compute slices of one.
    pub slices: u32,
    /// How many of them one GPU instance can hold.
    pub instances: u32,
}

/// A profile of GPU instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuProfile {
    /// Its name as NVML gives it, without `MIG `.
    pub profile: String,
    /// NVML's index of it (`NVML_GPU_INSTANCE_PROFILE_*`), which profile information is asked by.
    #[serde(default)]
    pub index: Option<u32>,
    /// Its id, which instances and placements are asked by; another number than the index.
    #[serde(default)]
    pub id: Option<u32>,
    /// Compute slices of one.
    pub compute_slices: u32,
    /// Memory of one in MiB.
    #[serde(default)]
    pub memory_mib: Option<u64>,
    /// Streaming multiprocessors of one.
    #[serde(default)]
    pub multiprocessors: Option<u32>,
    /// Engines of one.
    #[serde(default)]
    pub engines: Engines,
    /// How many of them the GPU can hold.
    pub instances: u32,
    /// Where one can stand, by start.
    pub placements: Vec<Placement>,
    /// Profiles of compute instances in it. The driver reports them only about an instance that exists.
    #[serde(default = "not_probed")]
    pub compute_profiles: Reading<Vec<ComputeProfile>>,
}

const fn not_probed() -> Reading<Vec<ComputeProfile>> {
    Reading::Absent(Absence::NotProbed)
}

impl GpuProfile {
    /// The placement that begins at a slot.
    #[must_use]
    pub fn placement(&self, start: u32) -> Option<Placement> {
        self.placements.iter().copied().find(|placement| placement.start == start)
    }

    /// Memory slots of one: of its smallest placement, should they differ.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.placements.iter().map(|placement| placement.size).min().unwrap_or(0)
    }

    /// True where its name has no attribute. A name in a form of tomorrow is not plain.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.profile.parse::<ProfileName>().is_ok_and(|name| name.is_plain())
    }

    /// The name of a compute instance with so many slices in it.
    #[must_use]
    pub fn compute_name(&self, slices: u32) -> String {
        if slices == self.compute_slices { self.profile.clone() } else { format!("{slices}c.{}", self.profile) }
    }
}

/// Numbers of which no GPU can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// There is no profile.
    #[error("it has no profile")]
    Empty,
    /// There are too many.
    #[error("it has {count} profiles, more than {MOST_PROFILES}")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// A profile is invalid.
    #[error("profile {profile}: {why}")]
    Profile {
        /// Its name, at most 64 characters of it.
        profile: String,
        /// What is wrong.
        why: String,
    },
}

/// What one GPU, or one product, can be cut into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Told", into = "Told")]
pub struct MigCatalog {
    product: String,
    profiles: Vec<GpuProfile>,
    slots: u32,
    compute_slices: u32,
    capacity: [Option<u32>; 5],
}

/// A catalog as it is in JSON; the numbers that follow from the profiles are only written.
#[derive(Serialize, Deserialize)]
struct Told {
    product: String,
    #[serde(default)]
    compute_slices: Option<u32>,
    #[serde(default)]
    memory_slots: Option<u32>,
    profiles: Vec<GpuProfile>,
}

impl TryFrom<Told> for MigCatalog {
    type Error = CatalogError;

    fn try_from(told: Told) -> Result<Self, CatalogError> {
        Self::new(told.product, told.profiles)
    }
}

impl From<MigCatalog> for Told {
    fn from(catalog: MigCatalog) -> Self {
        Self {
            compute_slices: Some(catalog.compute_slices),
            memory_slots: Some(catalog.slots),
            product: catalog.product,
            profiles: catalog.profiles,
        }
    }
}

impl MigCatalog {
    /// A catalog of these profiles.
    ///
    /// # Errors
    /// There is none, there are too many, or one of them is invalid.
    pub fn new(product: impl Into<String>, mut profiles: Vec<GpuProfile>) -> Result<Self, CatalogError> {
        if profiles.is_empty() {
            return Err(CatalogError::Empty);
        }
        if profiles.len() > MOST_PROFILES {
            return Err(CatalogError::TooMany { count: profiles.len() });
        }
        for profile in &mut profiles {
            profile.placements.sort_unstable();
            let fault = |why| CatalogError::Profile { profile: profile.profile.chars().take(64).collect(), why };
            check(profile).map_err(fault)?;
        }
        let mut names: Vec<&str> = profiles.iter().map(|profile| profile.profile.as_str()).collect();
        names.sort_unstable();
        if let Some((twice, _)) = names.iter().zip(names.iter().skip(1)).find(|(one, next)| one == next) {
            return Err(CatalogError::Profile { profile: (*twice).to_owned(), why: "it occurs twice".to_owned() });
        }
        let ends = profiles.iter().flat_map(|profile| &profile.placements);
        let slots = ends.map(|placement| placement.start + placement.size).max().unwrap_or(0);
        let compute_slices = profiles.iter().map(|profile| profile.compute_slices).max().unwrap_or(0);
        let capacity = MigEngine::ALL.map(|engine| capacity(&profiles, engine));
        Ok(Self { product: product.into(), profiles, slots, compute_slices, capacity })
    }

    /// What it is the catalog of.
    #[must_use]
    pub fn product(&self) -> &str {
        &self.product
    }

    /// Its profiles, in the order in which NVML gives them.
    #[must_use]
    pub fn profiles(&self) -> &[GpuProfile] {
        &self.profiles
    }

    /// Memory slots: as far as placements reach.
    #[must_use]
    pub const fn slots(&self) -> u32 {
        self.slots
    }

    /// Compute slices: what the largest profile has.
    #[must_use]
    pub const fn compute_slices(&self) -> u32 {
        self.compute_slices
    }

    /// How many engines of a kind all instances together can have. `None` where they are not shared out, or where the numbers
    /// contradict themselves: published tables have a profile of which fewer would fit than the same table states.
    #[must_use]
    pub fn capacity(&self, engine: MigEngine) -> Option<u32> {
        MigEngine::ALL.iter().zip(self.capacity).find(|(kind, _)| **kind == engine).and_then(|(_, capacity)| capacity)
    }

    /// The number of the profile with that name: as NVML writes it, or with its attributes in another order.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        let exact = self.profiles.iter().position(|profile| profile.profile == name);
        exact.or_else(|| {
            let wanted = name.parse::<ProfileName>().ok()?.gpu_instance();
            let same = |profile: &GpuProfile| profile.profile.parse::<ProfileName>().is_ok_and(|own| own == wanted);
            self.profiles.iter().position(same)
        })
    }

    /// The profile with that number.
    #[must_use]
    pub fn profile(&self, number: usize) -> Option<&GpuProfile> {
        self.profiles.get(number)
    }

    /// The names of all profiles.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.profiles.iter().map(|profile| profile.profile.clone()).collect()
    }
}

fn check(profile: &GpuProfile) -> Result<(), String> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b".,+-".contains(&byte);
    if profile.profile.is_empty() || profile.profile.len() > 64 || !profile.profile.bytes().all(word) {
        return Err("its name is not made of letters, digits and . , + - (at most 64)".to_owned());
    }
    let limits =
        [("compute_slices", profile.compute_slices, MOST_OF_ONE), ("instances", profile.instances, MOST_OF_ONE)];
    for (what, value, most) in limits {
        if !(1..=most).contains(&value) {
            return Err(format!("{what} is {value}; expected 1 to {most}"));
        }
    }
    if profile.placements.is_empty() {
        return Err("it has no placement".to_owned());
    }
    for placement in &profile.placements {
        let end = placement.start.checked_add(placement.size);
        if placement.size == 0 || end.is_none_or(|end| end > MOST_SLOTS) {
            let Placement { start, size } = placement;
            return Err(format!("placement {start}:{size} is not within {MOST_SLOTS} slots"));
        }
    }
    let pairs = profile.placements.iter().zip(profile.placements.iter().skip(1));
    if let Some((twice, _)) = pairs.into_iter().find(|(one, next)| one.start == next.start) {
        return Err(format!("it has two placements at {}", twice.start));
    }
    let computes = profile.compute_profiles.known().map_or(&[][..], Vec::as_slice);
    if computes.len() > MOST_PROFILES || computes.iter().any(|c| c.slices == 0 || c.slices > profile.compute_slices) {
        return Err("its compute profiles do not fit into it".to_owned());
    }
    Ok(())
}

fn capacity(profiles: &[GpuProfile], engine: MigEngine) -> Option<u32> {
    let counts: Option<Vec<u32>> = profiles.iter().map(|profile| profile.engines.of(engine)).collect();
    let counts = counts?;
    let most = counts.iter().copied().max()?;
    let fits = |(count, profile): (&u32, &GpuProfile)| u64::from(*count) * u64::from(profile.instances) <= most.into();
    counts.iter().zip(profiles).all(fits).then_some(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str, slices: u32, instances: u32, size: u32, starts: &[u32]) -> GpuProfile {
        GpuProfile {
            profile: name.to_owned(),
            index: None,
            id: None,
            compute_slices: slices,
            memory_mib: None,
            multiprocessors: None,
            engines: Engines::default(),
            instances,
            placements: starts.iter().map(|start| Placement { start: *start, size }).collect(),
            compute_profiles: Reading::Absent(Absence::NotProbed),
        }
    }

    #[test]
    fn slots_and_slices_follow_from_the_profiles() {
        let catalog = MigCatalog::new("x", vec![profile("1g.24gb", 1, 4, 3, &[9, 0, 3, 6])]).unwrap();
        assert_eq!((catalog.slots(), catalog.compute_slices()), (12, 1));
        assert_eq!(catalog.profiles()[0].placements[0].start, 0, "placements are sorted");
        assert_eq!(Placement { start: 62, size: 2 }.mask().count_ones(), 2);
        assert_eq!(Placement { start: 0, size: 64 }.mask(), u64::MAX);
    }

    #[test]
    fn an_engine_whose_numbers_contradict_the_instance_count_is_left_out() {
        let with = |name, instances, decoder, jpeg| GpuProfile {
            engines: Engines { decoder: Some(decoder), jpeg, ..Engines::default() },
            ..profile(name, 1, instances, 1, &[0, 1, 2, 3, 4, 5, 6])
        };
        let catalog = MigCatalog::new("x", vec![with("1g.10gb", 7, 1, Some(0)), with("7g.80gb", 1, 5, Some(1))]);
        let catalog = catalog.unwrap();
        assert_eq!(catalog.capacity(MigEngine::Decoder), None, "7 x 1 > 5");
        assert_eq!(catalog.capacity(MigEngine::Jpeg), Some(1));
        assert_eq!(catalog.capacity(MigEngine::Encoder), None, "nobody says");
    }

    #[test]
    fn a_name_is_found_however_its_attributes_are_ordered() {
        let list = vec![profile("1g.24gb+gfx,me", 1, 1, 3, &[0]), profile("1g.0gb", 1, 1, 1, &[0])];
        let catalog = MigCatalog::new("x", list).unwrap();
        assert_eq!(catalog.find("1g.24gb+me,gfx"), Some(0));
        assert_eq!(catalog.find("1g.0gb"), Some(1), "a name as the driver gives it counts, whatever it looks like");
        assert_eq!(catalog.find("2g.0gb"), None);
    }

    #[test]
    fn a_catalog_that_makes_no_sense_is_refused_with_the_profile() {
        let ok = || profile("1g.5gb", 1, 7, 1, &[0]);
        let cases = [
            (vec![], "no profile"),
            (vec![ok(), ok()], "twice"),
            (vec![GpuProfile { compute_slices: 0, ..ok() }], "compute_slices is 0"),
            (vec![GpuProfile { instances: 4_000_000_000, ..ok() }], "instances is 4000000000"),
            (vec![profile("1g.5gb", 1, 7, 0, &[0])], "placement 0:0"),
            (vec![profile("1g.5gb", 1, 7, u32::MAX, &[7])], "placement 7:4294967295"),
            (vec![profile("1g.5gb", 1, 7, 1, &[])], "no placement"),
            (vec![profile("1g.5gb", 1, 7, 1, &[3, 3])], "two placements at 3"),
            (vec![profile("a\u{1b}[2J", 1, 7, 1, &[3])], "its name"),
            (vec![ok(); 65], "65 profiles"),
        ];
        for (profiles, why) in cases {
            let said = MigCatalog::new("x", profiles).unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_catalog_reads_again_what_it_wrote_and_fields_of_tomorrow() {
        let catalog = MigCatalog::new("x", vec![profile("1g.5gb", 1, 7, 1, &[0, 1])]).unwrap();
        let mut json = serde_json::to_value(&catalog).unwrap();
        assert_eq!(json["memory_slots"], 2);
        json["profiles"][0]["colour"] = "green".into();
        assert_eq!(serde_json::from_value::<MigCatalog>(json.clone()).unwrap(), catalog);
        json["profiles"][0]["instances"] = 0.into();
        assert!(serde_json::from_value::<MigCatalog>(json).unwrap_err().to_string().contains("instances is 0"));
    }
}
