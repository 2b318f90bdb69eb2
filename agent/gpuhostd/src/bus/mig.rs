//! `org.gpuhost.Agent1.MigDevice`.

use super::face::Face;
use super::failure::NoValue;
use std::collections::BTreeMap;
use wire::dbus::mig::MigView;
use zbus::OwnedObjectPath;

type Result<T> = std::result::Result<T, NoValue>;

/// A MIG device as the driver lists it.
#[derive(Debug)]
pub(super) struct MigObject(pub(super) Face<MigView>);

#[zbus::interface(name = "org.gpuhost.Agent1.MigDevice")]
impl MigObject {
    /// The GPU that it is a part of.
    #[zbus(property(emits_changed_signal = "const"))]
    fn gpu(&self) -> Result<OwnedObjectPath> {
        self.0.value("Gpu", |mig| OwnedObjectPath::try_from(mig.gpu.as_str()).ok())
    }

    /// GPU instance id.
    #[zbus(property(emits_changed_signal = "const"))]
    fn gpu_instance(&self) -> u32 {
        self.0.now().gpu_instance
    }

    /// Compute instance id in that GPU instance.
    #[zbus(property(emits_changed_signal = "const"))]
    fn compute_instance(&self) -> u32 {
        self.0.now().compute_instance
    }

    /// Index in the driver's list of this GPU: for printing, never an identity. May have no value.
    #[zbus(property)]
    fn index(&self) -> Result<u32> {
        self.0.value("Index", |mig| mig.index)
    }

    /// UUID. May have no value.
    #[zbus(property)]
    fn uuid(&self) -> Result<String> {
        self.0.value("Uuid", |mig| mig.uuid.clone())
    }

    /// Profile, for example 1g.5gb. May have no value.
    #[zbus(property)]
    fn profile(&self) -> Result<String> {
        self.0.value("Profile", |mig| mig.profile.clone())
    }

    /// Memory of the slice in MiB. May have no value.
    #[zbus(property)]
    fn memory_total_mib(&self) -> Result<u64> {
        self.0.value("MemoryTotalMib", |mig| mig.memory_total_mib)
    }

    /// Streaming multiprocessors. May have no value.
    #[zbus(property)]
    fn multiprocessors(&self) -> Result<u32> {
        self.0.value("Multiprocessors", |mig| mig.multiprocessors)
    }

    /// Copy engines. May have no value.
    #[zbus(property)]
    fn copy_engines(&self) -> Result<u32> {
        self.0.value("CopyEngines", |mig| mig.copy_engines)
    }

    /// Encoders. May have no value.
    #[zbus(property)]
    fn encoders(&self) -> Result<u32> {
        self.0.value("Encoders", |mig| mig.encoders)
    }

    /// Decoders. May have no value.
    #[zbus(property)]
    fn decoders(&self) -> Result<u32> {
        self.0.value("Decoders", |mig| mig.decoders)
    }

    /// JPEG engines. May have no value.
    #[zbus(property)]
    fn jpeg_engines(&self) -> Result<u32> {
        self.0.value("JpegEngines", |mig| mig.jpeg_engines)
    }

    /// Optical flow engines. May have no value.
    #[zbus(property)]
    fn optical_flow_engines(&self) -> Result<u32> {
        self.0.value("OpticalFlowEngines", |mig| mig.optical_flow_engines)
    }

    /// Properties that have no value now, with the reason.
    #[zbus(property)]
    fn absent(&self) -> BTreeMap<String, String> {
        self.0.now().absent.0.clone()
    }
}
