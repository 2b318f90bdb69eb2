//! A handle: a number in a pointer's clothes. It is never dereferenced.

/// What a handle is one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A GPU.
    Gpu,
    /// A MIG device.
    Mig,
    /// A GPU instance.
    GpuInstance,
    /// A compute instance.
    ComputeInstance,
}

const KINDS: [Kind; 4] = [Kind::Gpu, Kind::Mig, Kind::GpuInstance, Kind::ComputeInstance];
const PART: usize = 0xffff;

/// A handle: bits 0 to 15 are the GPU's place in the report + 1, then the ids of GPU instance and compute instance, then the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handle {
    /// What it is one of.
    pub kind: Kind,
    /// The GPU's place in the report.
    pub gpu: usize,
    /// Id of the GPU instance.
    pub instance: u32,
    /// Id of the compute instance.
    pub compute: u32,
}

impl Handle {
    /// The handle behind a pointer.
    #[must_use]
    pub fn of<T>(pointer: *mut T) -> Option<Self> {
        let bits = pointer.addr();
        let part = |shift: u32| u32::try_from((bits >> shift) & PART).ok();
        let kind = *KINDS.get(bits >> 48)?;
        Some(Self { kind, gpu: (bits & PART).checked_sub(1)?, instance: part(16)?, compute: part(32)? })
    }

    /// As a pointer.
    #[must_use]
    pub fn pointer<T>(self) -> *mut T {
        let part = |id: u32| usize::try_from(id).unwrap_or(PART) & PART;
        let kind = KINDS.iter().position(|kind| *kind == self.kind).unwrap_or(0);
        let bits = kind << 48 | part(self.compute) << 32 | part(self.instance) << 16 | ((self.gpu + 1) & PART);
        std::ptr::without_provenance_mut(bits)
    }
}
