//! What a MIG device object shows, which is also what is under `MigDevices` of its GPU.

use super::absent::Absent;
use super::value::{DictView, PathText};
use super::view::view;
use super::{gpu_path, mig_path};
use model::PciAddress;
use model::absence::{Absence, Reading};
use model::driver::DriverMig;
use model::mig::PlacedMig;

view! {
    /// All properties of `org.gpuhost.Agent1.MigDevice`: a compute instance in a GPU instance. What changes with time (memory in
    /// use) is not among them.
    pub struct MigView at MIG_DEVICE_INTERFACE {
        /// Object path.
        #[dbus(document)]
        path: String,
        /// The GPU that it is a part of.
        #[dbus(constant)]
        gpu: PathText,
        /// GPU instance id.
        #[dbus(constant)]
        gpu_instance: u32,
        /// Compute instance id in that GPU instance.
        #[dbus(constant)]
        compute_instance: u32,
        /// Index in the driver's list of this GPU: for printing, never an identity. May have no value.
        index: Option<u32>,
        /// UUID. May have no value.
        uuid: Option<String>,
        /// Profile, for example 1g.5gb. May have no value.
        profile: Option<String>,
        /// First memory slot of its GPU instance. May have no value.
        start: Option<u32>,
        /// Memory slots of its GPU instance. May have no value.
        slots: Option<u32>,
        /// gpuhostd created its GPU instance; what another program created is changed on request only. May have no value.
        managed: Option<bool>,
        /// Memory of the slice in MiB. May have no value.
        memory_total_mib: Option<u64>,
        /// Streaming multiprocessors. May have no value.
        multiprocessors: Option<u32>,
        /// Copy engines. May have no value.
        copy_engines: Option<u32>,
        /// Encoders. May have no value.
        encoders: Option<u32>,
        /// Decoders. May have no value.
        decoders: Option<u32>,
        /// JPEG engines. May have no value.
        jpeg_engines: Option<u32>,
        /// Optical flow engines. May have no value.
        optical_flow_engines: Option<u32>,
        /// Properties that have no value now, with the reason.
        absent: Absent,
    }
}

impl DictView for MigView {}

impl MigView {
    /// The view of a MIG device of the GPU at `gpu`, and where its GPU instance is, if that is known.
    #[must_use]
    pub fn new(gpu: PciAddress, mig: &DriverMig, place: Option<&PlacedMig>) -> Self {
        let mut absent = Absent::default();
        let place = place.map_or(Reading::Absent(Absence::NotProbed), Reading::Known);
        Self {
            path: mig_path(gpu, mig.gpu_instance, mig.compute_instance),
            gpu: PathText(gpu_path(gpu)),
            gpu_instance: mig.gpu_instance,
            compute_instance: mig.compute_instance,
            index: absent.value("Index", mig.index.clone()),
            uuid: absent.value("Uuid", mig.uuid.clone().map(|uuid| uuid.to_string())),
            profile: absent.value("Profile", mig.profile.clone()),
            start: absent.value("Start", place.clone().map(|place| place.instance.start)),
            slots: absent.value("Slots", place.clone().map(|place| place.size)),
            managed: absent.value("Managed", place.map(|place| place.is_ours)),
            memory_total_mib: absent.value("MemoryTotalMib", mig.memory.total.clone()),
            multiprocessors: absent.value("Multiprocessors", mig.sm.clone()),
            copy_engines: absent.value("CopyEngines", mig.ce.clone()),
            encoders: absent.value("Encoders", mig.enc.clone()),
            decoders: absent.value("Decoders", mig.dec.clone()),
            jpeg_engines: absent.value("JpegEngines", mig.jpeg.clone()),
            optical_flow_engines: absent.value("OpticalFlowEngines", mig.ofa.clone()),
            absent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::driver::MemoryMib;
    use model::mig::Instance;

    #[test]
    fn a_slice_has_its_place_its_engines_and_a_reason_for_what_is_missing() {
        let mig = DriverMig {
            index: Reading::Known(2),
            gpu_instance: 9,
            compute_instance: 0,
            uuid: Reading::Absent(Absence::NotReported),
            profile: Reading::Known("1g.5gb".to_owned()),
            memory: MemoryMib { total: Reading::Known(4864), ..MemoryMib::default() },
            sm: Reading::Known(14),
            ce: Reading::Known(1),
            enc: Reading::Known(0),
            dec: Reading::Known(0),
            jpeg: Reading::Absent(Absence::NotSupported),
            ofa: Reading::Known(0),
        };
        let place = PlacedMig {
            gpu_instance: 9,
            instance: Instance { profile: "1g.5gb".to_owned(), start: 4 },
            size: 1,
            is_ours: true,
        };
        let gpu = "0000:41:00.0".parse().unwrap();
        let view = MigView::new(gpu, &mig, None);
        assert_eq!((view.start, view.managed, view.absent.reason("Managed")), (None, None, Some("not_probed")));
        let view = MigView::new(gpu, &mig, Some(&place));
        assert_eq!((view.start, view.slots, view.managed), (Some(4), Some(1), Some(true)));
        assert_eq!(view.path, "/org/gpuhost/Agent1/gpu/0000_41_00_0/mig/9_0");
        assert_eq!(view.gpu.0, "/org/gpuhost/Agent1/gpu/0000_41_00_0");
        assert_eq!((view.multiprocessors, view.encoders, view.memory_total_mib), (Some(14), Some(0), Some(4864)));
        assert_eq!((view.uuid, view.jpeg_engines), (None, None));
        assert_eq!(view.absent.reason("Uuid"), Some("not_reported"));
        assert_eq!(view.absent.reason("JpegEngines"), Some("not_supported"));
        assert_eq!(view.absent.reason("Encoders"), None, "none of an engine is a number, not a gap");
    }
}
