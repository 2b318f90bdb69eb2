//! The reference agent: what a manager of somebody else has to hold, tried out. The real check-in of the daemon enrols a simulated
//! host and reports from it; then single requests try the cases of the contract that a good host seldom shows.
//!
//! Where to start reading: [`check`] (the order of things), `simulated` (the real check-in), `stay` (what it does here), `cases` (the
//! single requests).

mod cases;
mod findings;
mod line;
mod simulated;
mod stay;

pub use findings::{Finding, Verdict};
pub use simulated::SimulatedAgent;

use line::Line;
use std::time::Duration;

/// What is tried, and against whom.
#[derive(Debug, Clone)]
pub struct Trial {
    /// `https://manager.example:443`.
    pub url: String,
    /// A one-use enrolment token.
    pub token: String,
    /// The manager's authority, PEM; none: the system's authorities.
    pub ca_pem: Option<String>,
    /// The host that it is tried with, one of the built-in ones.
    pub host: String,
    /// So many heartbeats are awaited.
    pub beats: u64,
    /// A heartbeat is awaited no longer than this.
    pub patience: Duration,
}

/// Tries everything, and leaves the manager again. The findings come in the order in which they were made.
///
/// # Errors
/// This machine cannot try it: no such host, no temporary folder, an authority that is no PEM.
pub async fn check(trial: &Trial) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let stranger = Line::new(trial, None)?;
    let features = cases::version(&stranger, &mut findings).await;
    let stay = stay::Stay::begin(trial).await?;
    if !stay.enrol(trial, &mut findings).await {
        return Ok(findings);
    }
    stay.beats(trial, &mut findings).await;
    let identity = stay.end().await?;
    let own = Line::new(trial, Some(&identity))?;
    cases::heartbeats(&own, &identity, &mut findings).await;
    cases::refusals(&own, &stranger, &identity, &mut findings).await;
    cases::sizes(&own, &identity, &features, &mut findings).await;
    cases::desired(&own, &identity, &features, &mut findings).await;
    cases::goodbye(&own, &identity, &mut findings).await;
    Ok(findings)
}
