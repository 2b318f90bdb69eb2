//! `org.gpuhost.Agent1.DesiredState` on the root object.

use super::failure::Refused;
use super::options::{Options, Parser};
use super::submit::Submitter;
use super::{Moment, Sources};
use engine::command::Command;
use model::desired::Epoch;
use model::refusal::Refusal;
use wire::dbus::DESIRED_INTERFACE;
use wire::dbus::desired::DesiredView;
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
    DesiredView::new(&now.desired, reconciled, &now.settings.desired)
}

#[zbus::interface(name = "org.gpuhost.Agent1.DesiredState")]
impl DesiredMethods {
    /// Everything that this interface shows at this instant, in one JSON document: each property under its D-Bus name, null where
    /// it has no value. Options: none.
    #[zbus(out_args("desired_state"))]
    async fn read(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<String> {
        let plain = Parser::new(options).finish()?;
        self.submitter.gate.admit(&header, DESIRED_INTERFACE, "Read", plain, &[]).await?;
        let fault = |e: serde_json::Error| Refusal::HostFault {
            attempted: "write the desired state as JSON".into(),
            said: e.to_string(),
        };
        Ok(serde_json::to_string(&desired_view(&self.sources.now())).map_err(fault)?)
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
