//! What goes wrong in a turn of the keeper.

use sim::workspace_docker::DeedFault;

/// How many turns a fault lasts that goes away by itself.
pub(crate) const LASTS: usize = 4;

/// What goes wrong in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The daemon is killed before it has written its record.
    CrashBeforeRecord,
    /// The daemon is killed between record and deeds.
    CrashBeforeDeeds,
    /// The daemon is killed when the first deed is done, and hears of nothing.
    CrashAfterFirstDeed,
    /// The daemon is killed when all deeds are done.
    CrashAfterDeeds,
    /// The first deed goes wrong.
    Deed(DeedFault),
    /// Docker is stopped for some turns.
    DockerStopped,
    /// dockerd is killed, and is away for some turns.
    DockerKilled,
    /// Docker answers nothing for some turns.
    DockerHangs,
    /// containerd is killed: what runs cannot be stopped for some turns.
    ContainerdKilled,
    /// Docker is started again.
    DockerRestarted,
    /// The host is started again.
    Reboot,
    /// Another user removes our containers, running or not.
    ContainersRemoved,
    /// What runs exits.
    ContainersExit,
    /// Another user removes every image.
    ImagesPruned,
    /// Pulls are cut.
    PullsCut,
    /// The container hand is started again.
    HandRestarted,
    /// The registries are away for some turns.
    RegistryAway,
    /// The driver container is being changed for some turns.
    DriverChanges,
    /// `systemctl daemon-reload` takes the GPUs from what runs.
    GpusLost,
    /// The record is lost.
    RecordLost,
}

impl Fault {
    pub(crate) const ALL: [Self; 25] = [
        Self::CrashBeforeRecord,
        Self::CrashBeforeDeeds,
        Self::CrashAfterFirstDeed,
        Self::CrashAfterDeeds,
        Self::Deed(DeedFault::Refused),
        Self::Deed(DeedFault::AnswerLost),
        Self::Deed(DeedFault::Hangs),
        Self::Deed(DeedFault::HangsAndDoesIt),
        Self::Deed(DeedFault::KilledBefore),
        Self::Deed(DeedFault::KilledAfter),
        Self::DockerStopped,
        Self::DockerKilled,
        Self::DockerHangs,
        Self::ContainerdKilled,
        Self::DockerRestarted,
        Self::Reboot,
        Self::ContainersRemoved,
        Self::ContainersExit,
        Self::ImagesPruned,
        Self::PullsCut,
        Self::HandRestarted,
        Self::RegistryAway,
        Self::DriverChanges,
        Self::GpusLost,
        Self::RecordLost,
    ];

    /// It goes away by itself after some turns.
    pub(crate) const fn lasts(self) -> bool {
        matches!(
            self,
            Self::DockerStopped
                | Self::DockerKilled
                | Self::DockerHangs
                | Self::ContainerdKilled
                | Self::RegistryAway
                | Self::DriverChanges
        )
    }
}
