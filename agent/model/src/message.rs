//! Every message of the journal that has an id: from warning up all of them, and what a person looks for besides.
//!
//! The id is the key of the message catalog (`systemd/gpuhostd.catalog`, `journalctl -x`), which has cause and cure for each. A new
//! message needs a variant, a new id (`systemd-id128 new`) and an entry there; a test holds the three together.

/// A message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::VariantArray)]
pub enum Message {
    /// The health of a GPU is failed.
    GpuHealthFailed,
    /// The health of a GPU is degraded.
    GpuHealthDegraded,
    /// The health of a GPU is good again.
    GpuHealthRecovered,
    /// A GPU has left the bus.
    GpuGone,
    /// A GPU that was gone is here again.
    GpuBack,
    /// The record of the GPUs that this host has had cannot be used.
    GpuRecordUnreadable,
    /// That record could not be written.
    GpuRecordNotKept,
    /// The kernel log cannot be read.
    KernelLogUnavailable,
    /// A condition holds.
    ConditionHolds,
    /// A condition does not hold any more.
    ConditionOver,
    /// A task that asked the host ended without an answer.
    ObserverTaskFailed,
    /// A part of the host did not answer in its time.
    ObserverSourceLate,
    /// A job has begun: who asked for what.
    JobBegan,
    /// A job has ended, with its outcome.
    JobEnded,
    /// A change of the host is about to be made: actor, job, GPU and plan.
    ChangeBegan,
    /// A change of the host is made although something speaks against it.
    ChangeBeganWithCare,
    /// A change of the host has ended, with how.
    ChangeEnded,
    /// What was done about a change that an earlier run of the daemon left open.
    ChangeRecovered,
    /// An open change of an earlier boot stays in the journal.
    ChangeEntryStays,
    /// The journal of changes cannot be read, and nothing is changed.
    JournalUnreadable,
    /// An entry of the journal of changes cannot be read, and is left as it is.
    ChangeJournalUnreadable,
    /// A change that had to be confirmed was not.
    ChangeNotConfirmed,
    /// An item of the desired state is not met, with why: once for each reason.
    DesiredItemUnmet,
    /// What the desired state had set over the configuration cannot be read.
    SettingsSetUnreadable,
    /// What the desired state had set over the configuration could not be written.
    SettingsSetNotKept,
    /// A job runs, and its D-Bus object is not there yet.
    JobNotPublished,
    /// Calls over D-Bus were cut off.
    BusCallsCut,
    /// A call over D-Bus was refused.
    BusCallRefused,
    /// The message bus is not there, or does not give us the name.
    BusUnavailable,
    /// The identity or its credential could not be written, moved or wiped.
    IdentityNotKept,
    /// The credential could not be renewed.
    CredentialNotRenewed,
    /// The manager could not be notified that this host leaves.
    GoodbyeNotHeard,
    /// A manager URL of the configuration cannot be used.
    ManagerUrlUnusable,
    /// The manager refuses the report.
    ReportRefused,
    /// The state of the check-in has changed.
    CheckinChanged,
    /// Tasks had not ended when the service stopped.
    TasksLeft,
    /// The PCI bus has not answered.
    PciSilent,
    /// The configuration is wrong, and other settings are in force.
    ConfigurationWrong,
    /// The settings in force could not be kept for a later start.
    ConfigurationNotKept,
    /// The main loop has stopped to turn.
    LoopStuck,
    /// A hand cannot work.
    HandBroken,
    /// The service manager cannot be notified.
    ServiceManagerSilent,
    /// A hand ended and is started again.
    HandEnded,
    /// The front did not end and was killed.
    FrontKilled,
    /// A connection to a hand was refused.
    StrangerRefused,
    /// A request broke the code that served it.
    RequestBroke,
    /// A connection to a hand ended by a fault.
    HandConnectionClosed,
    /// The policy cannot be used, and nothing is allowed.
    PolicyUnusable,
    /// A child hangs in the kernel.
    ChildStuck,
    /// What a hand's children take or leave behind is not bounded.
    ChildrenUnbounded,
    /// Device events cannot be heard.
    DeviceEventsUnheard,
    /// Metrics for Prometheus cannot be given, or a socket of them not taken away.
    MetricsNotGiven,
    /// The manager's document on disk cannot be used.
    DesiredStateUnreadable,
    /// A manager's document could not be saved, and is not applied.
    DesiredStateNotSaved,
    /// Which MIG instances gpuhostd has created could not be saved.
    MigRecordNotSaved,
    /// MIG instances of before a boot could not be created again.
    MigNotReturned,
    /// A manager's document is refused.
    DocumentRefused,
    /// The local files of the desired state are wrong.
    DesiredFilesWrong,
    /// Something is done to the container of a workspace.
    WorkspaceDeed,
    /// That has failed.
    WorkspaceDeedFailed,
    /// A workspace that runs has lost its GPUs.
    WorkspaceGpuLost,
    /// The record of workspaces cannot be used.
    WorkspaceRecordUnusable,
    /// The record of the images that were pulled cannot be used, or could not be written.
    ImagesRecordUnusable,
    /// An image of ours was removed.
    ImageRemoved,
    /// An image of ours was not removed.
    ImageNotRemoved,
    /// The host takes no new workspaces, and none runs any more.
    HostDrained,
    /// Events that were kept are damaged, and left out.
    EventsDamaged,
    /// A manager refuses an event, which is not offered to it again.
    EventRefused,
    /// Something is done to one of NVIDIA's containers or to Docker's configuration.
    NvidiaDeed,
    /// One of NVIDIA's containers is ready.
    NvidiaReady,
    /// One of NVIDIA's containers does not work.
    NvidiaFailed,
    /// A new one of NVIDIA's containers failed, and the one before it was started again.
    NvidiaRolledBack,
    /// The record of NVIDIA's containers cannot be used.
    NvidiaRecordUnusable,
}

impl Message {
    /// All of them, in the order of the enum.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// Its id, 128 bits in hexadecimal, which never changes.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::GpuHealthFailed => "a072080747b147fb80840ccaebcbe013",
            Self::GpuHealthDegraded => "bd3f03eeedfb4e538ef17568f352a01b",
            Self::GpuHealthRecovered => "ad959fc43ab24515b1c67883b64f60e3",
            Self::GpuGone => "9f53aa91b4434b28932f1e1b149c9723",
            Self::GpuBack => "3c476685428f42a9a5df86f83054fb53",
            Self::GpuRecordUnreadable => "8061676060754140bea17a934c7a41e1",
            Self::GpuRecordNotKept => "c100ac81725d43efb562507351abe4c7",
            Self::KernelLogUnavailable => "b005623a68544c629c9ef8a72e29a394",
            Self::ConditionHolds => "e3ca510858a049ed832f84c078db6465",
            Self::ConditionOver => "fba465af4d8645eaa7ac8df6daad39b1",
            Self::ObserverTaskFailed => "38ef05add1544f7b836a60cfff07d652",
            Self::ObserverSourceLate => "7d0c5b1e93a24f6c8e57f1a2604bd93c",
            Self::JobBegan => "5a9df0c66d8a4c3c8cf7d5a0b0a6a8d1",
            Self::JobEnded => "0f1f9a2e6c1546d7a3b1f2f6a9e0c7b4",
            Self::ChangeBegan => "6c1d3f0a2f7e4f1d8b4f7b8f0d6c9e21",
            Self::ChangeBeganWithCare => "7312a19d7e6f4fa09fdd7a324f924fb0",
            Self::ChangeEnded => "b7d9a4c07c0b4be1a9d7d2b8c6f31e54",
            Self::ChangeRecovered => "3e9f4d5b8a3c4a6f9c1e7a2d4b5f6081",
            Self::ChangeEntryStays => "be7c4844f9374b6b9fc0d4f534586d93",
            Self::JournalUnreadable => "0ba9737c144f4fc09628a93e7f63ae77",
            Self::ChangeJournalUnreadable => "ed4a057c226e4ff88081dad04df7e47f",
            Self::ChangeNotConfirmed => "043546f5f2a84f05a0e64f3814623de3",
            Self::DesiredItemUnmet => "c7f1a6d83a124cc899cb7e096fc5a8eb",
            Self::SettingsSetUnreadable => "964caf88975d4cee993b92d8ac172449",
            Self::SettingsSetNotKept => "ed920ee5997b453b954aa0ff7a20ea91",
            Self::JobNotPublished => "3a283b6f4340476da65e71c4be10f709",
            Self::BusCallsCut => "45b1967825a44ef98b54572764cbc28e",
            Self::BusCallRefused => "9e3d913faa46424496e3e6ffc5dbab0c",
            Self::BusUnavailable => "71ab420ef6a04ec689c7fe59134ac217",
            Self::IdentityNotKept => "c2428d0e8b8d4084b16412818633f6d9",
            Self::CredentialNotRenewed => "47f3f293ee414d40a29acabcff6e88b2",
            Self::GoodbyeNotHeard => "caa56a73f1504cf3bfc7a59150192dee",
            Self::ManagerUrlUnusable => "92c0aabf29b14b8f8b47559b1e350bb8",
            Self::ReportRefused => "b9fdf632469c4ebba2f5ee3ca18fec44",
            Self::CheckinChanged => "f9bdf19dcbe5460f98b61f7cf7e9b377",
            Self::TasksLeft => "7910461a267e4cc59a8ef6a66e0ba597",
            Self::PciSilent => "6344ce397fb847ca9282600df59a606c",
            Self::ConfigurationWrong => "312cc7af5f37448d8297c5a15ec6fdb0",
            Self::ConfigurationNotKept => "8c01d03ae9fd4b0189fee26d29535546",
            Self::LoopStuck => "65d10896c54d412896eba1cd99e4359a",
            Self::HandBroken => "e23d9d011b674f94a5e7d8ca2c9f675f",
            Self::ServiceManagerSilent => "b6c1d5a3aaa44334956d85aded6885b7",
            Self::HandEnded => "ea29b807b442436485d4e857b5c60681",
            Self::FrontKilled => "b3fcaf11cb9c476abdd338e40d3ad73d",
            Self::StrangerRefused => "e07fa5f768c44b17b93338be19e77f54",
            Self::RequestBroke => "b3e3a6ba498744b38ee19e2836b73fbb",
            Self::HandConnectionClosed => "f1787a14d3db43cf8f77feb5532e3fa3",
            Self::PolicyUnusable => "9fc5522fc28e4b48a8d6f03c00ccf941",
            Self::ChildStuck => "19e852e382b24f7ea707c7008991bf71",
            Self::ChildrenUnbounded => "c3864b13255643cc9cf43e6bee606f8c",
            Self::DeviceEventsUnheard => "3e548021a7b3447492e65e67eb659927",
            Self::MetricsNotGiven => "a7d52e4cb48d4d159b1dd6c95649ad82",
            Self::DesiredStateUnreadable => "4018386dc52242de8f851d6a74a38316",
            Self::DesiredStateNotSaved => "9d095fa84b4242bd99239dc3cc4e29b8",
            Self::MigRecordNotSaved => "0588ea6024ff43098360525f3e3f12b9",
            Self::MigNotReturned => "65cdc00d68774406a246a61ae5d2e44a",
            Self::DocumentRefused => "b4a151aa9871463aadd44b273d965a30",
            Self::DesiredFilesWrong => "33066639641b4772aed61578a7951228",
            Self::WorkspaceDeed => "913bcb02e61443189e0dfe0a510bd4d5",
            Self::WorkspaceDeedFailed => "c6845116da6d41efae01e871f40c805b",
            Self::WorkspaceGpuLost => "910236a24bea40e893cd215e9434f628",
            Self::WorkspaceRecordUnusable => "f3d3cd90bc5642e996e38f6aba1389ef",
            Self::ImagesRecordUnusable => "40f6fede5dc24b55b3ad3026ff862c49",
            Self::ImageRemoved => "be5ba97d88084b6d900848d3cd3451d9",
            Self::ImageNotRemoved => "4f725768d5454014815f437e5cae096f",
            Self::HostDrained => "76ad45b1a4234a92a4eb796904285fc4",
            Self::EventsDamaged => "42047dc204054ac19886370a8ea6e951",
            Self::EventRefused => "cea6094c93b04551a739df29d4fd608e",
            Self::NvidiaDeed => "9c58ac02fd8343bc9da4695753d08812",
            Self::NvidiaReady => "a55c79e3479b4e56b5e31255ea12db4d",
            Self::NvidiaFailed => "85867decd98e455fb6ce0c3daaf532a9",
            Self::NvidiaRolledBack => "cca4aae352b0472a8dc10da8f2ff55e9",
            Self::NvidiaRecordUnusable => "edfa488e49744355ad92f0fa19f6af79",
        }
    }
}
