//! Gathers the values of a whole document: its head, its GPUs in order, and what was odd about them.

use super::draft::Draft;
use super::draft_value::put;
use super::leaf;
use super::xml_place::{Field, Place};
use crate::absence::Reading;
use crate::driver::{DriverGpu, DriverReport, DriverSource, SilentGpu};
use std::collections::HashMap;

/// More GPUs than any host has: a document with more of them is garbage, and the rest is ignored.
const GPUS_MAX: usize = 256;
/// Problems that are listed one by one.
const PROBLEMS_MAX: usize = 64;

/// A document being read.
#[derive(Default)]
pub(super) struct Report {
    driver_version: Reading<String>,
    cuda_version: Reading<String>,
    attached_gpus: Reading<u32>,
    gpus: Vec<DriverGpu>,
    gpu_elements: usize,
    current: Option<Draft>,
    /// GPUs that the text around the document names as those that do not answer.
    pub(super) silent: Vec<SilentGpu>,
    problems: Vec<String>,
    problems_left_out: usize,
}

impl Report {
    /// Notes what was odd.
    pub(super) fn problem(&mut self, what: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(what);
        } else {
            self.problems_left_out = self.problems_left_out.saturating_add(1);
        }
    }

    /// A GPU begins; `id` is its attribute.
    pub(super) fn enter_gpu(&mut self, id: Option<std::borrow::Cow<'_, str>>) {
        self.gpu_elements = self.gpu_elements.saturating_add(1);
        self.current = (self.gpu_elements <= GPUS_MAX).then(|| Draft::new(id.as_deref()));
    }

    /// A container begins.
    pub(super) fn enter(&mut self, place: Place) {
        if let Some(draft) = &mut self.current {
            draft.enter(place);
        }
    }

    /// An element ends.
    pub(super) fn leave(&mut self, place: Place) {
        if place == Place::Gpu {
            self.finish_gpu();
        } else if let Some(draft) = &mut self.current {
            draft.leave(place);
        }
    }

    /// A value, with the name of its element.
    pub(super) fn value(&mut self, field: Field, name: &str, text: &str) {
        if field == Field::DriverVersion {
            put(&mut self.driver_version, leaf::words(text));
        } else if field == Field::CudaVersion {
            put(&mut self.cuda_version, leaf::words(text));
        } else if field == Field::AttachedGpus {
            put(&mut self.attached_gpus, leaf::number(text));
        } else if let Some(draft) = &mut self.current {
            draft.value(field, name, text);
        }
    }

    /// A value that is no value: it has children, or entities that are not expanded.
    pub(super) fn spoil(&mut self, field: Field, text: &str) {
        // No value holds a control character, so with one in front the text fits no field.
        let said = format!("\u{0}{text}");
        self.value(field, "", &said);
    }

    /// A container whose children became one text.
    pub(super) fn instead(&mut self, place: Place, text: &str) {
        if let Some(draft) = &mut self.current {
            draft.instead(place, text);
        }
    }

    fn finish_gpu(&mut self) {
        let Some(draft) = self.current.take() else { return };
        let nth = self.gpu_elements;
        let (gpu, problems) = draft.finish(nth);
        for problem in problems {
            self.problem(problem);
        }
        let Some(gpu) = gpu else { return };
        if self.gpus.iter().any(|known| known.address == gpu.address) {
            self.problem(format!("GPU {nth} has the address {} of an earlier one: the first was kept", gpu.address));
        } else {
            self.gpus.push(gpu);
        }
    }

    /// The finished report.
    pub(super) fn finish(mut self) -> DriverReport {
        self.note_duplicate_uuids();
        self.number_gpus();
        if self.gpu_elements > GPUS_MAX {
            let more = self.gpu_elements.saturating_sub(GPUS_MAX);
            self.problem(format!("{more} GPUs beyond the first {GPUS_MAX} were ignored"));
        }
        if self.problems_left_out > 0 {
            self.problems.push(format!("{} more problems", self.problems_left_out));
        }
        DriverReport {
            source: DriverSource::Smi,
            driver_version: self.driver_version,
            cuda_version: self.cuda_version,
            gpus: self.gpus,
            silent: self.silent,
            problems: self.problems,
        }
    }

    fn note_duplicate_uuids(&mut self) {
        let mut first: HashMap<&str, &DriverGpu> = HashMap::new();
        let mut twins = Vec::new();
        for gpu in &self.gpus {
            let Some(uuid) = gpu.uuid.known() else { continue };
            match first.get(uuid.as_str()) {
                Some(other) => twins.push(format!("{} has the UUID {uuid} of {}", gpu.address, other.address)),
                None => {
                    first.insert(uuid.as_str(), gpu);
                }
            }
        }
        for twin in twins {
            self.problem(twin);
        }
    }

    /// The driver lists its GPUs in the order of their indexes. That holds for a full list only: with `-i` some are missing.
    fn number_gpus(&mut self) {
        let listed = u32::try_from(self.gpu_elements).unwrap_or(u32::MAX);
        match self.attached_gpus.get() {
            Some(attached) if attached != listed => {
                self.problem(format!("the driver has {attached} GPUs attached, and the document lists {listed}"));
            }
            Some(_) if self.gpus.len() == self.gpu_elements => {
                for (gpu, index) in self.gpus.iter_mut().zip(0_u32..) {
                    gpu.index = Reading::Known(index);
                }
            }
            Some(_) | None => {}
        }
    }
}
