//! Logs when the health of a GPU has changed.

use model::health::{GpuHealth, HealthState};
use model::message::Message;
use model::observation::HostObservation;

/// Writes an entry for each GPU whose health is another one than before.
pub(crate) fn tell(before: &HostObservation, now: &HostObservation) {
    for gpu in &now.gpus {
        let known = before.gpu(gpu.pci.address).map(|gpu| gpu.health.gist()).unwrap_or_default();
        if gpu.health.gist() != known {
            tell_one(&gpu.pci.address.to_string(), &gpu.health, known.0);
        }
    }
}

fn tell_one(gpu_bdf: &str, health: &GpuHealth, before: HealthState) {
    let (state, was) = (health.state.code(), before.code());
    let reasons = health.codes().join(" ");
    let why: Vec<&str> = health.reasons.iter().map(|reason| reason.message.as_str()).collect();
    let why = why.join("; ");
    let remedy = health.reasons.first().map_or("", |reason| reason.remedy.as_str());
    match (health.state, before) {
        (HealthState::Failed, _) => tracing::error!(
            message_id = Message::GpuHealthFailed.id(),
            gpu_bdf,
            reasons,
            remedy,
            "the health of GPU {gpu_bdf} is failed, was {was}: {why}"
        ),
        (HealthState::Degraded, _) => tracing::warn!(
            message_id = Message::GpuHealthDegraded.id(),
            gpu_bdf,
            reasons,
            remedy,
            "the health of GPU {gpu_bdf} is degraded, was {was}: {why}"
        ),
        (HealthState::Ok | HealthState::Unknown, HealthState::Degraded | HealthState::Failed) => tracing::info!(
            message_id = Message::GpuHealthRecovered.id(),
            gpu_bdf,
            "the health of GPU {gpu_bdf} is {state} again, was {was}"
        ),
        (HealthState::Ok | HealthState::Unknown, HealthState::Ok | HealthState::Unknown) => {
            tracing::debug!(gpu_bdf, "the health of GPU {gpu_bdf} is {state}, was {was}");
        }
    }
}
