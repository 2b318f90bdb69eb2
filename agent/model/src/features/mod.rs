//! What a GPU can be used for (CUDA, video engines, graphics), decided from facts alone: chip, kernel driver, DRM nodes,
//! MIG engines and files of the driver's user space.

pub mod by_settings;
mod chips;
mod lack;

pub use lack::{Lack, SwitchedOffBy};

use crate::absence::Absence;
use crate::driver::{DriverGpu, DriverMig, MigMode};
use crate::pci::{GpuFunction, VENDOR_AMD, VENDOR_INTEL, VENDOR_NVIDIA};
use crate::stack::{StackFacts, StackFile};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// CUDA compute capability below which no current CUDA release runs.
pub const LEAST_COMPUTE_CAPABILITY: (u32, u32) = (3, 0);

/// A use of a GPU.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::VariantArray,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum FeatureName {
    /// CUDA.
    Cuda,
    /// NVIDIA's video encoder.
    Nvenc,
    /// NVIDIA's video decoder.
    Nvdec,
    /// Video over VA-API.
    Vaapi,
    /// DRI3: X clients that render on the GPU.
    Dri3,
    /// OpenGL without a display.
    Egl,
    /// Vulkan.
    Vulkan,
}

impl FeatureName {
    /// All of them, in the order of the enum.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// As it is in JSON, on D-Bus, in the configuration and in the manager's desired state.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.into()
    }

    /// The feature of that name.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|name| name.code() == code)
    }
}

/// Whether a GPU can be used for something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// The chip and the kernel driver that is bound to it can do it.
    pub supported: bool,
    /// A workspace that is given the GPU can use it now. Never without `supported`.
    pub enabled: bool,
    /// Why it is not enabled; `None` exactly where it is.
    pub reason: Option<Lack>,
}

/// All features of one GPU.
pub type Features = BTreeMap<FeatureName, Feature>;

/// What the features of one GPU are decided from.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// From sysfs.
    pub pci: &'a GpuFunction,
    /// What NVIDIA's driver reports about it.
    pub driver: Option<&'a DriverGpu>,
    /// The driver's software on the host.
    pub stack: &'a StackFacts,
    /// A container can be given the GPU.
    pub visible: bool,
}

/// The features of a GPU. Where MIG mode is on: what at least one of its MIG devices can do.
#[must_use]
pub fn features(facts: &Facts<'_>) -> Features {
    let migs =
        facts.driver.filter(|said| said.mig_current.get() == Some(MigMode::Enabled)).map(|said| &*said.mig_devices);
    FeatureName::ALL.iter().copied().map(|name| (name, feature(facts, name, migs))).collect()
}

/// The features of one MIG device of a GPU.
#[must_use]
pub fn of_mig(facts: &Facts<'_>, mig: &DriverMig) -> Features {
    let only = std::slice::from_ref(mig);
    FeatureName::ALL.iter().copied().map(|name| (name, feature(facts, name, Some(only)))).collect()
}

/// Switches features off. One that is not supported keeps its reason.
pub fn switch_off(features: &mut Features, off: &BTreeMap<FeatureName, SwitchedOffBy>) {
    for (name, by) in off {
        if let Some(feature) = features.get_mut(name).filter(|feature| feature.supported) {
            (feature.enabled, feature.reason) = (false, Some(Lack::SwitchedOff(*by)));
        }
    }
}

fn feature(facts: &Facts<'_>, name: FeatureName, migs: Option<&[DriverMig]>) -> Feature {
    let supported = supported(facts, name, migs.is_some());
    let is_supported = supported.is_ok();
    let usable = supported
        .and(if facts.visible { Ok(()) } else { Err(Lack::NotVisible) })
        .and_then(|()| files(facts, name))
        .and_then(|()| migs.map_or(Ok(()), |migs| engines_of_migs(migs, name)));
    Feature { supported: is_supported, enabled: usable.is_ok(), reason: usable.err() }
}

/// The kernel drivers whose user space is Mesa: it comes with the container's image, so that the host's files say nothing.
fn is_mesa(pci: &GpuFunction) -> bool {
    ["amdgpu", "radeon", "i915", "xe", "nouveau"].iter().any(|driver| pci.is_bound_to(driver))
}

/// Whether chip and bound kernel driver can do it.
fn supported(facts: &Facts<'_>, name: FeatureName, is_mig: bool) -> Result<(), Lack> {
    use FeatureName as F;
    let pci = facts.pci;
    let of_nvidia = pci.id.vendor == VENDOR_NVIDIA;
    match name {
        _ if !matches!(pci.id.vendor, VENDOR_NVIDIA | VENDOR_AMD | VENDOR_INTEL) => Err(Lack::NoDriverHasIt),
        F::Cuda | F::Nvenc | F::Nvdec if !of_nvidia => Err(Lack::NoDriverHasIt),
        F::Cuda | F::Nvenc | F::Nvdec if !pci.is_bound_to("nvidia") => Err(Lack::KernelDriver),
        F::Cuda => capability(facts.driver),
        F::Nvenc => engine(chips::has_encoder(pci.id), facts.driver.map(|said| &said.metrics.encoder_pct), is_mig),
        F::Nvdec => engine(true, facts.driver.map(|said| &said.metrics.decoder_pct), is_mig),
        F::Vaapi | F::Dri3 | F::Egl | F::Vulkan if pci.is_bound_to("nvidia") => of_nvidias_driver(facts, name),
        F::Vulkan if pci.is_bound_to("radeon") => Err(Lack::KernelDriver),
        F::Vaapi | F::Dri3 | F::Egl | F::Vulkan if !is_mesa(pci) => Err(Lack::KernelDriver),
        F::Dri3 | F::Egl | F::Vulkan if !chips::has_graphics(pci.id, pci.class) => Err(Lack::NoEngine),
        F::Vaapi | F::Dri3 | F::Egl | F::Vulkan => render_node(pci),
    }
}

fn capability(driver: Option<&DriverGpu>) -> Result<(), Lack> {
    let too_old =
        driver.and_then(|said| said.compute_capability.get()).is_some_and(|has| has < LEAST_COMPUTE_CAPABILITY);
    if too_old { Err(Lack::ComputeCapability) } else { Ok(()) }
}

/// A video engine: the driver reports that there is none by having no load of it to tell. With MIG on it never has.
fn engine(chip_has_it: bool, load: Option<&crate::Reading<f64>>, is_mig: bool) -> Result<(), Lack> {
    let denied = !is_mig && load.is_some_and(|load| load.absence() == Some(&Absence::NotSupported));
    if chip_has_it && !denied { Ok(()) } else { Err(Lack::NoEngine) }
}

fn render_node(pci: &GpuFunction) -> Result<(), Lack> {
    if pci.drm.render.is_some() { Ok(()) } else { Err(Lack::NoRenderNode) }
}

/// Graphics and VA-API over NVIDIA's own driver. EGL and Vulkan need no DRM node there, VA-API a driver of a third party.
fn of_nvidias_driver(facts: &Facts<'_>, name: FeatureName) -> Result<(), Lack> {
    match name {
        FeatureName::Vaapi => present(facts.stack, &[StackFile::VaNvidia]).and_then(|()| render_node(facts.pci)),
        FeatureName::Dri3 => Err(Lack::NoDriverHasIt),
        FeatureName::Cuda | FeatureName::Nvenc | FeatureName::Nvdec | FeatureName::Egl | FeatureName::Vulkan => Ok(()),
    }
}

/// Files of NVIDIA's user space: the container runtime takes them from the host, so that what is missing there is missing
/// in each container.
fn files(facts: &Facts<'_>, name: FeatureName) -> Result<(), Lack> {
    if !facts.pci.is_bound_to("nvidia") {
        return Ok(());
    }
    if facts.driver.is_none() {
        return Err(Lack::DriverSilent);
    }
    let needed: &[StackFile] = match name {
        FeatureName::Cuda => &[StackFile::Cuda],
        FeatureName::Nvenc => &[StackFile::Cuda, StackFile::Encode],
        FeatureName::Nvdec => &[StackFile::Cuda, StackFile::Decode],
        FeatureName::Egl => &[StackFile::EglLibrary, StackFile::EglVendor],
        FeatureName::Vulkan => &[StackFile::GlxLibrary, StackFile::VulkanIcd],
        FeatureName::Vaapi | FeatureName::Dri3 => &[],
    };
    present(facts.stack, needed)
}

fn present(stack: &StackFacts, needed: &[StackFile]) -> Result<(), Lack> {
    let Some(there) = stack.files.known() else { return Err(Lack::FilesUnknown) };
    needed.iter().find(|file| !there.contains(file)).map_or(Ok(()), |file| Err(Lack::File(*file)))
}

/// At least one MIG device has what the feature needs. What the driver does not tell is no proof that it is missing, but
/// for graphics: only profiles that say so have it.
fn engines_of_migs(migs: &[DriverMig], name: FeatureName) -> Result<(), Lack> {
    let has: fn(&DriverMig) -> bool = match name {
        FeatureName::Cuda | FeatureName::Dri3 => |_| true,
        FeatureName::Nvenc => |mig| mig.enc.get() != Some(0),
        FeatureName::Nvdec | FeatureName::Vaapi => |mig| mig.dec.get() != Some(0),
        FeatureName::Egl | FeatureName::Vulkan => |mig| mig.profile.known().is_some_and(|name| name.contains("gfx")),
    };
    if migs.is_empty() {
        return Err(Lack::MigEmpty);
    }
    if migs.iter().any(has) { Ok(()) } else { Err(Lack::MigEngine) }
}
