//! What a hand can do, as functions that the process is given, and which hand may be asked for what.

use model::docker::DockerFacts;
use model::driver::{DriverReport, DriverSource, ProbeFault};
use model::holders::Holders;
use model::plan::{CloseUp, Scope, Step};
use model::ports::ActFault;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::timeout;
use wire::hand::{Ask, HandRole, Said};

/// An act under way. Dropping it ends what it started.
pub type Doing<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A function that starts an act.
type Act<Asked, T> = Box<dyn Fn(Asked) -> Doing<T> + Send + Sync>;

/// What a hand can do. Each act has its own deadline inside; the request's deadline ends it all the same.
pub struct Acts {
    /// Why this process cannot do its work, where it cannot.
    pub powerless: Box<dyn Fn() -> Option<String> + Send + Sync>,
    /// Asks one source of driver facts.
    pub probe_driver: Act<DriverSource, Result<DriverReport, ProbeFault>>,
    /// Asks Docker for its facts.
    pub docker_facts: Act<(), Result<DockerFacts, ProbeFault>>,
    /// Looks closely at the functions of a scope.
    pub close_up: Act<Scope, Result<Box<CloseUp>, ActFault>>,
    /// Takes one step of a change.
    pub act: Act<(Scope, Step), Result<(), ActFault>>,
    /// Looks for users of a scope.
    pub holders: Act<Scope, Result<Holders, ActFault>>,
    /// True while a child hangs in the kernel: the hand then stays, for it alone knows of that child.
    pub child_hangs: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Acts {
    /// Does what is asked, where this hand is the one for it, and says what came of it within the time.
    pub async fn answer(&self, role: HandRole, ask: Ask, within: Duration) -> Said {
        let who = format!("the {} hand", role.name());
        match (role, ask) {
            (_, Ask::Hello) => {
                Said::Hello { role, version: env!("CARGO_PKG_VERSION").to_owned(), powerless: (self.powerless)() }
            }
            (HandRole::Host, Ask::ProbeDriver(source @ (DriverSource::Nvml | DriverSource::Smi)))
            | (HandRole::Containers, Ask::ProbeDriver(source @ DriverSource::SmiInDriverContainer)) => {
                let what = format!("{} (asked by {who})", source.code());
                Said::Driver(Box::new(in_time((self.probe_driver)(source), what, within).await))
            }
            (HandRole::Containers, Ask::DockerFacts) => {
                let what = format!("Docker (asked by {who})");
                Said::Docker(Box::new(in_time((self.docker_facts)(()), what, within).await))
            }
            (HandRole::Host, Ask::CloseUp(scope)) => {
                let attempted = format!("look at {}", scope.gpu);
                Said::CloseUp(in_time_or_hung((self.close_up)(scope), attempted, within).await)
            }
            (HandRole::Host, Ask::Act { scope, step }) => {
                let attempted = step.to_string();
                Said::Acted(in_time_or_hung((self.act)((scope, step)), attempted, within).await)
            }
            (HandRole::Holders, Ask::Holders(scope)) => {
                let attempted = format!("look for users of {}", scope.gpu);
                Said::Holders(in_time_or_hung((self.holders)(scope), attempted, within).await)
            }
            (
                HandRole::Host,
                Ask::DockerFacts | Ask::ProbeDriver(DriverSource::SmiInDriverContainer) | Ask::Holders(_),
            )
            | (
                HandRole::Containers,
                Ask::ProbeDriver(DriverSource::Nvml | DriverSource::Smi)
                | Ask::Holders(_)
                | Ask::CloseUp(_)
                | Ask::Act { .. },
            )
            | (HandRole::Holders, Ask::ProbeDriver(_) | Ask::DockerFacts | Ask::CloseUp(_) | Ask::Act { .. }) => {
                Said::Refused { why: format!("this request is not served by {who}") }
            }
            (HandRole::Host | HandRole::Containers, Ask::ProbeDriver(DriverSource::Sysfs)) => {
                Said::Refused { why: format!("this request is not served by {who}: every user can read sysfs") }
            }
        }
    }
}

/// A step that is given up may yet have its effect.
async fn in_time_or_hung<T>(
    act: Doing<Result<T, ActFault>>,
    attempted: String,
    within: Duration,
) -> Result<T, ActFault> {
    timeout(within, act).await.unwrap_or_else(|_| {
        Err(ActFault::Hung { attempted, after_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX) })
    })
}

async fn in_time<T>(act: Doing<Result<T, ProbeFault>>, what: String, within: Duration) -> Result<T, ProbeFault> {
    timeout(within, act).await.unwrap_or_else(|_| {
        Err(ProbeFault::Timeout { what, after_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX) })
    })
}
