//! Logging: to journald with fields where systemd reads our output, else to stderr.

use model::settings::{LogFilter, LogLevel};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets, dynamic_filter_fn};
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

/// Where journald takes entries (systemd, `sd_journal_send`).
const JOURNALD: &str = "/run/systemd/journal/socket";

/// A look at journald's queue. A send to a full one waits, for ever where journald hangs (a disk that does not answer), and the
/// thread that logs is the one that everything runs on: then an entry is lost instead.
struct Queue(UnixDatagram);

impl Queue {
    fn of(socket: &Path) -> std::io::Result<Self> {
        let probe = UnixDatagram::unbound()?;
        probe.connect(socket)?;
        Ok(Self(probe))
    }

    /// There is room for one more. The kernel shows it of the receiver's queue, as the sender is connected (`unix_dgram_poll`).
    fn has_room(&self) -> bool {
        let mut set = [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)];
        // A socket that is gone gives an error, and a send to it one as well: neither waits.
        !matches!(poll(&mut set, PollTimeout::ZERO), Ok(0))
    }
}

/// The switch of the log level, for a reload.
#[derive(Clone)]
pub struct Level(reload::Handle<Targets, Registry>);

impl Level {
    /// Logs by this filter from now on.
    pub fn set(&self, filter: &LogFilter) {
        // It fails only where the log has ended, which lives as long as the process.
        let _ended = self.0.reload(targets(filter));
    }
}

fn targets(filter: &LogFilter) -> Targets {
    let level = |level: LogLevel| match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let single = filter.targets.iter().map(|(target, at)| (target.clone(), level(*at)));
    Targets::new().with_default(level(filter.default)).with_targets(single)
}

/// Starts logging. `journal_stream` is `$JOURNAL_STREAM`, which systemd sets where it reads our output.
#[must_use]
pub fn start(filter: &LogFilter, journal_stream: Option<&str>) -> Level {
    let (targets, level) = reload::Layer::new(targets(filter));
    let to_journal = journal_stream.and_then(|_| journal().ok());
    let queue = Queue::of(Path::new(JOURNALD)).ok();
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
    let to_journal = to_journal
        .map(|layer| layer.with_filter(dynamic_filter_fn(move |_, _| queue.as_ref().is_none_or(Queue::has_room))));
    // A second start (tests) keeps the first subscriber.
    let _already = tracing_subscriber::registry().with(targets).with(to_journal).with(to_stderr).try_init();
    Level(level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_written_whatever_the_filter_says_unless_it_is_off() {
        use tracing::Level;
        let lets =
            |filter: &str, target: &str, level: Level| targets(&filter.parse().unwrap()).would_enable(target, &level);
        for filter in ["error", "warning", "critical", "zbus=debug", "info,zbus=warn", "trace"] {
            assert!(lets(filter, "engine::core", Level::ERROR), "{filter}");
        }
        assert!(!lets("off", "engine::core", Level::ERROR) && !lets("warn", "engine", Level::INFO));
        assert!(lets("off,zbus=debug", "zbus::connection", Level::DEBUG));
    }

    #[test]
    fn a_queue_that_nobody_reads_is_seen_to_be_full_and_one_that_is_read_again_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let journald = UnixDatagram::bind(&socket).unwrap();
        let queue = Queue::of(&socket).unwrap();
        assert!(queue.has_room());
        let other = UnixDatagram::unbound().unwrap();
        other.set_nonblocking(true).unwrap();
        while other.send_to(b"MESSAGE=x\n", &socket).is_ok() {}
        assert!(!queue.has_room());
        let mut entry = [0; 64];
        journald.set_nonblocking(true).unwrap();
        while journald.recv(&mut entry).is_ok() {}
        assert!(queue.has_room());
        drop(journald);
        assert!(queue.has_room(), "who sends to nobody does not wait");
    }
}
