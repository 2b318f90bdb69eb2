//! Logging: to journald with fields where systemd reads our output, else to stderr.

use model::message::Message;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

/// Levels of the journal: our INFO is its `info`, not `notice`.
fn journal() -> std::io::Result<tracing_journald::Layer> {
    use tracing_journald::{Priority, PriorityMappings};
    let levels = PriorityMappings {
        error: Priority::Error,
        warn: Priority::Warning,
        info: Priority::Informational,
        debug: Priority::Debug,
        trace: Priority::Debug,
    };
    // Without a prefix our fields stand as JOB_ID, GPU_BDF, MANAGER and MESSAGE_ID, as `journalctl` users look for them.
    Ok(tracing_journald::layer()?.with_field_prefix(None).with_priority_mappings(levels))
}

/// The switch of the log level, for a reload.
#[derive(Clone)]
pub struct Level(reload::Handle<Targets, Registry>);

impl Level {
    /// Logs by this filter from now on, `info` or `info,zbus=warn`; one that makes no sense changes nothing.
    pub fn set(&self, filter: &str) {
        match filter.parse::<Targets>() {
            Ok(targets) => {
                if let Err(error) = self.0.reload(targets) {
                    tracing::warn!(message_id = Message::LogLevelKept.id(), %error, "the log level stays as it was");
                }
            }
            Err(error) => {
                tracing::warn!(message_id = Message::LogLevelKept.id(), %error, filter, "agent.log_level makes no sense and stays as it was")
            }
        }
    }
}

/// Starts logging. `journal_stream` is `$JOURNAL_STREAM`, which systemd sets where it reads our output.
#[must_use]
pub fn start(filter: &str, journal_stream: Option<&str>) -> Level {
    let usual = || Targets::new().with_default(tracing::Level::INFO);
    let (targets, level) = reload::Layer::new(filter.parse().unwrap_or_else(|_| usual()));
    let to_journal = journal_stream.and_then(|_| journal().ok());
    let to_stderr = to_journal.is_none().then(|| {
        // The id of a message is for the journal's catalog; a reader of a terminal has no use for it.
        let fields = debug_fn(|to, field, value| match field.name() {
            "message_id" => Ok(()),
            "message" => write!(to, "{value:?} "),
            name => write!(to, "{name}={value:?} "),
        });
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).fmt_fields(fields);
        lines.with_target(false).without_time().with_ansi(false)
    });
    // A second start (tests) keeps the first subscriber.
    let _already = tracing_subscriber::registry().with(targets).with(to_journal).with(to_stderr).try_init();
    Level(level)
}
