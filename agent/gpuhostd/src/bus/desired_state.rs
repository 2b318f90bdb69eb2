//! `org.gpuhost.Agent1.DesiredState` on the root object.

use super::failure::Refused;
use super::options::{Options, Parser};
use super::submit::Submitter;
use super::{Moment, Sources};
use engine::command::Command;
use host::front::BootClock;
use model::desired::{DesiredSections, Epoch};
use model::ports::Clock;
use model::reconcile::{Item, World, preview};
use model::refusal::Refusal;
use model::time::UnixMillis;
use wire::dbus::DESIRED_INTERFACE;
use wire::dbus::desired::{DesiredChangeView, DesiredView};
use wire::manager::desired::{DesiredForm, InvalidDocument, examine};
use zbus::OwnedObjectPath;
use zbus::message::Header;

type Result<T> = std::result::Result<T, Refused>;

/// The methods of the desired state.
#[derive(Debug)]
pub(super) struct DesiredMethods {
    /// What is shown.
    pub(super) sources: Sources,
    /// The way to the core.
    pub(super) submitter: Submitter,
}

/// What the root object shows of the desired state at one instant.
pub(super) fn desired_view(now: &Moment) -> DesiredView {
    let reconciled = (now.reconciled.applied.as_ref(), now.reconciled.items.as_slice());
    DesiredView::new(&now.desired, reconciled, &now.settings.desired, &now.checkin.desired)
}

fn written(view: &impl serde::Serialize) -> Result<String> {
    let fault = |e: serde_json::Error| Refusal::HostFault {
        attempted: "write the desired state as JSON".into(),
        said: e.to_string(),
    };
    Ok(serde_json::to_string(view).map_err(fault)?)
}

/// The items that a further file of this host would change, over the latest of everything.
fn changed(sources: &Sources, file: &DesiredSections) -> Vec<Item> {
    let now = sources.now();
    let (known, policy) = (sources.known.borrow().clone(), sources.inputs.policy.borrow().clone());
    let skew_ms = now.checkin.clock_skew_ms.unwrap_or(0);
    let world = World {
        desired: &now.desired,
        host: &now.seen,
        known: &known,
        settings: &now.settings,
        policy: &policy,
        nvidia: &now.nvidia,
        workspaces: &sources.workspaces.borrow().clone(),
        proxy: &sources.proxy.borrow().clone(),
        is_locked: *sources.inputs.locked.borrow(),
        checkin: now.checkin.state,
        wall: UnixMillis(BootClock.wall_now().0.saturating_add(skew_ms)),
    };
    preview(&world, file)
}

#[zbus::interface(name = "org.gpuhost.Agent1.DesiredState")]
impl DesiredMethods {
    /// Everything that this interface shows at this instant, in one JSON document: each property under its D-Bus name, null where
    /// it has no value. Options: none.
    #[zbus(out_args("desired_state"))]
    async fn read(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<String> {
        let plain = Parser::new(options).finish()?;
        self.submitter.gate.admit(&header, DESIRED_INTERFACE, "Read", plain, &[]).await?;
        written(&desired_view(&self.sources.now()))
    }

    /// Shows what would change if a file with this content were installed in /etc/gpuhostd/desired.d and read last: a JSON list of
    /// Path, Source, State, Code (null where it would be done) and Message. It changes nothing. document: JSON in the shape of such
    /// a file, at most 120 KiB. Options: none.
    #[zbus(out_args("changes"))]
    async fn preview(&self, document: String, options: Options, #[zbus(header)] header: Header<'_>) -> Result<String> {
        let plain = Parser::new(options).finish()?;
        self.submitter.gate.admit(&header, DESIRED_INTERFACE, "Preview", plain, &[]).await?;
        let reading = examine(document.as_bytes(), DesiredForm::Local);
        if !reading.faults.refused.is_empty() {
            let why = InvalidDocument { id: None, faults: reading.faults.refused }.to_string();
            return Err(Refusal::InvalidArgument { argument: "document".to_owned(), why }.into());
        }
        let items = changed(&self.sources, &reading.wishes);
        written(&items.iter().filter_map(DesiredChangeView::of).collect::<Vec<_>>())
    }

    /// Has the documents of an epoch that this host has left (EpochsLeft) judged again as if it had never been left: for a manager
    /// that was restored on purpose. Action: org.gpuhost.agent1.accept-epoch. Options: auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn accept_epoch(
        &self,
        epoch: String,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath> {
        let plain = Parser::new(options).finish()?;
        let epoch = Epoch::try_from(epoch)
            .map_err(|fault| Refusal::InvalidArgument { argument: "epoch".to_owned(), why: fault.to_string() })?;
        let details = [("epoch", epoch.as_str())];
        let admission = self.submitter.gate.admit(&header, DESIRED_INTERFACE, "AcceptEpoch", plain, &details).await?;
        self.submitter.submit(admission.authorize(Command::AcceptEpoch(epoch))?).await
    }
}
