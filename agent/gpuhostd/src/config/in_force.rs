//! The settings that are in force. Wrong files never stop the daemon: it starts with the settings that it last took without a fault,
//! else with the defaults, and shows it until the files are right.

use super::credentials_directory::{of_this_process, with_credentials};
use engine::publish::Publisher;
use host::front::{StoreError, read_bounded, write_atomic};
use model::condition::{Condition, ConditionStatus};
use model::fields::ConfigErrors;
use model::message::Message;
use model::settings::{KeptSettings, Settings, SettingsOverlay};
use model::time::UnixMillis;
use program::logging::Level;
use program::settings::{Configuration, read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// Type of the condition that holds while the files are wrong.
const INVALID: &str = "config_invalid";
/// The copy of the settings that were last right, in the folder of durable state.
const KEPT: &str = "settings.toml";
/// More than any settings need.
const KEPT_MAX_BYTES: usize = 1024 * 1024;
/// How long the disk may take for the copy.
const KEEP_WITHIN: Duration = Duration::from_secs(5);

/// What holds while the files are wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Instead {
    /// What held before they were read again.
    Before,
    /// The copy of what was in force since then.
    Kept(UnixMillis),
    /// The defaults, since there is no copy that could be used.
    Defaults(String),
}

impl Instead {
    fn words(&self) -> String {
        match self {
            Self::Before => "the settings from before the reload stay in force".to_owned(),
            Self::Kept(since) => {
                let since =
                    jiff::Timestamp::from_millisecond(since.0).unwrap_or_default().strftime("%Y-%m-%d %H:%M UTC");
                format!("the last valid settings, of {since}, are in force")
            }
            Self::Defaults(why) => format!("the defaults are in force ({why})"),
        }
    }
}

/// The settings on a watch, and what they come from.
pub struct InForce {
    files: Vec<PathBuf>,
    state: PathBuf,
    /// As the files have them.
    own: Settings,
    /// What the desired state has set over them.
    overlay: Arc<SettingsOverlay>,
    /// What is in force.
    settings: watch::Sender<Arc<Settings>>,
    wrong: Option<(ConfigErrors, Instead)>,
}

impl InForce {
    /// Reads these files, or the default places where none is named. Blocking, for some seconds at most.
    #[must_use]
    pub fn begin(files: &[PathBuf], state: &Path) -> Self {
        let Configuration { settings, faults, .. } = read_with_credentials(files);
        let (settings, wrong) = match faults {
            None => (settings, None),
            Some(faults) => match kept(state) {
                Ok(kept) => (kept.settings, Some((faults, Instead::Kept(kept.since)))),
                Err(why) => (Settings::default(), Some((faults, Instead::Defaults(why)))),
            },
        };
        let (own, settings) = (settings.clone(), watch::Sender::new(Arc::new(settings)));
        Self { files: files.to_vec(), state: state.to_owned(), own, overlay: Arc::default(), settings, wrong }
    }

    /// What is in force now.
    #[must_use]
    pub fn now(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.borrow())
    }

    /// What is in force, for anyone who follows it.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Settings>> {
        self.settings.subscribe()
    }

    /// The desired state has set this over the files.
    pub(crate) fn lay_over(&mut self, overlay: Arc<SettingsOverlay>, level: &Level) {
        self.overlay = overlay;
        self.put_into_force(level);
    }

    fn put_into_force(&self, level: &Level) {
        let settings = self.overlay.over(&self.own);
        level.set(&settings.agent.log_level);
        self.settings.send_replace(Arc::new(settings));
    }

    /// Shows what is wrong, where the daemon starts with wrong files.
    pub(crate) fn show(&self, publisher: &Publisher, now: UnixMillis) {
        if let Some((faults, instead)) = &self.wrong {
            tell(publisher, faults, instead, now);
        }
    }

    /// Keeps the settings for a later start, where they are right. For the time when the daemon is ready: a slow disk keeps nobody.
    pub(crate) async fn settle(&self, now: UnixMillis) {
        if self.wrong.is_none() {
            self.keep(now).await;
        }
    }

    /// Reads the files again. Invalid ones change nothing and are reported until they are valid.
    pub(crate) async fn reload(&mut self, publisher: &Publisher, level: &Level, now: UnixMillis) {
        let files = self.files.clone();
        let why = match tokio::task::spawn_blocking(move || read_with_credentials(&files)).await {
            Ok(Configuration { faults: Some(faults), .. }) => faults,
            Ok(Configuration { settings, faults: None, .. }) => {
                self.own = settings;
                self.put_into_force(level);
                self.wrong = None;
                publisher.lift(INVALID);
                tracing::info!(
                    "the configuration was read again; [docker] and [nvidia] take effect when the hands restart"
                );
                return self.keep(now).await;
            }
            Err(broken) => {
                return tracing::error!(
                    message_id = Message::ConfigurationWrong.id(),
                    "the configuration could not be read, and the present settings stay in force: {broken}"
                );
            }
        };
        // A daemon that started with wrong files still uses the copy or the defaults.
        let instead = self.wrong.take().map_or(Instead::Before, |(_, instead)| instead);
        tell(publisher, &why, &instead, now);
        self.wrong = Some((why, instead));
    }

    /// Keeps what the files have, where the copy has something else.
    async fn keep(&self, now: UnixMillis) {
        let (state, settings) = (self.state.clone(), self.own.clone());
        let keeping = tokio::task::spawn_blocking(move || keep(&state, settings, now));
        let why = match timeout(KEEP_WITHIN, keeping).await {
            Ok(Ok(Ok(()))) => return,
            Ok(Ok(Err(fault))) => fault,
            Ok(Err(broken)) => broken.to_string(),
            Err(_) => format!("{} did not answer within {} s", self.state.display(), KEEP_WITHIN.as_secs()),
        };
        tracing::warn!(
            message_id = Message::ConfigurationNotKept.id(),
            "the settings in force could not be saved for a start with an invalid configuration: {why}"
        );
    }
}

/// What the files have, with the tokens that systemd hands to the service.
fn read_with_credentials(files: &[PathBuf]) -> Configuration {
    let read = read(files);
    let settings = with_credentials(read.settings, of_this_process().as_deref());
    Configuration { settings, ..read }
}

fn tell(publisher: &Publisher, faults: &ConfigErrors, instead: &Instead, now: UnixMillis) {
    let instead = instead.words();
    tracing::error!(
        message_id = Message::ConfigurationWrong.id(),
        "the configuration is invalid, and {instead}: {}",
        faults.to_string().replace('\n', "; ")
    );
    publisher.stand(Condition {
        kind: INVALID.to_owned(),
        status: ConditionStatus::True,
        reason: "wrong_file".to_owned(),
        message: format!(
            "{}; {instead} until it is valid: `gpuhostctl config check` lists every fault; correct it, then `systemctl reload \
             gpuhostd`",
            faults.in_short()
        ),
        since: now,
    });
}

/// The copy, or why there is none that could be used. A disk that hangs is given up.
fn kept(state: &Path) -> Result<KeptSettings, String> {
    let path = state.join(KEPT);
    let name = path.display().to_string();
    let at = path.clone();
    let read = files::in_time(&path, files::USUAL_TIME, move || Ok(read_bounded(&at, KEPT_MAX_BYTES)));
    match read.map_err(|fault| fault.to_string())? {
        Ok(bytes) => KeptSettings::read(&name, &String::from_utf8_lossy(&bytes))
            .map_err(|fault| format!("the copy in {name} cannot be used: {fault}")),
        Err(StoreError::Missing { .. }) => Err("no earlier settings are saved".to_owned()),
        Err(fault) => Err(fault.to_string()),
    }
}

fn keep(state: &Path, settings: Settings, since: UnixMillis) -> Result<(), String> {
    if kept(state).is_ok_and(|kept| kept.settings == settings) {
        return Ok(());
    }
    let text = KeptSettings { settings, since }.write().map_err(|fault| fault.to_string())?;
    write_atomic(state, KEPT, text.as_bytes(), 0o600).map_err(|fault| fault.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::start::EngineParts;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    struct Host {
        folder: tempfile::TempDir,
        ends: EngineParts,
        level: Level,
    }

    impl Host {
        fn new() -> Self {
            let level = program::logging::start(&model::settings::LogFilter::default(), None);
            Self { folder: tempfile::tempdir().unwrap(), ends: EngineParts::default(), level }
        }

        fn file(&self) -> PathBuf {
            self.folder.path().join("config.toml")
        }

        fn write(&self, text: &str) {
            std::fs::write(self.file(), text).unwrap();
        }

        fn copy(&self) -> PathBuf {
            self.folder.path().join(KEPT)
        }

        async fn start(&self, now: i64) -> InForce {
            let in_force = InForce::begin(&[self.file()], self.folder.path());
            in_force.show(&self.ends.publisher(), UnixMillis(now));
            in_force.settle(UnixMillis(now)).await;
            in_force
        }

        async fn reload(&self, in_force: &mut InForce) {
            in_force.reload(&self.ends.publisher(), &self.level, UnixMillis(9)).await;
        }

        fn told(&self) -> Option<String> {
            let shown = self.ends.handle().observation;
            shown.borrow().conditions.iter().find(|one| one.kind == INVALID).map(|one| one.message.clone())
        }
    }

    fn interval(in_force: &InForce) -> u64 {
        in_force.now().agent.sample_interval_s
    }

    #[tokio::test]
    async fn a_start_with_wrong_files_goes_by_the_last_that_were_right() {
        let host = Host::new();
        host.write("[agent]\nsample_interval_s = 60\n");
        let in_force = host.start(1_767_322_845_000).await;
        assert_eq!((interval(&in_force), host.told()), (60, None));
        assert_eq!(host.copy().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        host.write("[agent]\nsample_interval_s = 6O\n");
        let mut in_force = host.start(2).await;
        assert_eq!(interval(&in_force), 60);
        let told = host.told().unwrap();
        for words in ["config.toml:2:21:", "the last valid settings, of 2026-01-02 03:00 UTC", "systemctl reload"] {
            assert!(told.contains(words), "{words}: {told}");
        }
        host.write("[agent]\nsample_intervall_s = 60\n");
        host.reload(&mut in_force).await;
        assert!(
            host.told().unwrap().contains("of 2026-01-02"),
            "what is in force is still the copy: {:?}",
            host.told()
        );
        host.write("[agent]\nsample_interval_s = 61\n");
        host.reload(&mut in_force).await;
        assert_eq!((interval(&in_force), host.told()), (61, None));
        assert!(std::fs::read_to_string(host.copy()).unwrap().contains("sample_interval_s = 61"));
    }

    #[tokio::test]
    async fn a_wrong_reload_changes_nothing_and_is_told_until_it_is_right() {
        let host = Host::new();
        host.write("[agent]\nsample_interval_s = 60\n");
        let mut in_force = host.start(1).await;
        host.write("[agent]\nsample_interval_s = 0\nx = 1\n");
        host.reload(&mut in_force).await;
        assert_eq!(interval(&in_force), 60);
        let told = host.told().unwrap();
        assert!(told.contains("from before the reload") && told.contains("(and one more fault)"), "{told}");
        assert!(
            std::fs::read_to_string(host.copy()).unwrap().contains("sample_interval_s = 60"),
            "the copy is the old one"
        );
    }

    #[tokio::test]
    async fn without_a_copy_or_with_a_damaged_one_the_defaults_hold() {
        let host = Host::new();
        host.write("[agent]\nsample_interval_s = 0\n");
        assert_eq!(interval(&host.start(1).await), 30);
        assert!(host.told().unwrap().contains("the defaults are in force (no earlier settings are saved)"));
        assert!(!host.copy().exists(), "what is in force for want of better is no settings that were right");
        std::fs::write(host.copy(), "schema = 1\n[agent]\nsample_interval_s = 99\n").unwrap();
        assert_eq!(interval(&host.start(1).await), 30);
        assert!(host.told().unwrap().contains("cannot be used: its end is missing"), "{:?}", host.told());
        host.write("[agent]\nsample_interval_s = 60\n");
        host.start(1).await;
        assert!(kept(host.folder.path()).is_ok(), "a damaged copy is replaced");
    }

    #[tokio::test]
    async fn a_named_pipe_or_an_endless_device_keeps_no_start_waiting() {
        let host = Host::new();
        host.write("[agent]\nsample_interval_s = 60\n");
        host.start(1).await;
        std::fs::remove_file(host.file()).unwrap();
        nix::unistd::mkfifo(&host.file(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(interval(&host.start(2).await), 60);
        assert!(host.told().unwrap().contains("config.toml: is a named pipe"), "{:?}", host.told());
        std::fs::remove_file(host.file()).unwrap();
        std::os::unix::fs::symlink("/dev/zero", host.file()).unwrap();
        assert_eq!(interval(&host.start(3).await), 60);
        assert!(host.told().unwrap().contains("config.toml: is a device"), "{:?}", host.told());
    }

    #[tokio::test]
    async fn the_copy_is_written_only_where_something_changes() {
        let host = Host::new();
        host.write("");
        host.start(1).await;
        let before = host.copy().metadata().unwrap().ino();
        let mut in_force = host.start(2).await;
        host.reload(&mut in_force).await;
        assert_eq!(host.copy().metadata().unwrap().ino(), before);
    }

    #[tokio::test]
    async fn a_state_that_cannot_be_written_costs_the_copy_alone() {
        let host = Host::new();
        host.write("[agent]\nsample_interval_s = 60\n");
        let in_force = InForce::begin(&[host.file()], Path::new("/nonexistent"));
        in_force.settle(UnixMillis(1)).await;
        assert_eq!((interval(&in_force), host.told()), (60, None));
    }
}
