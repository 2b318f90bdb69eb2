//! Plays systemd's part where there is none: makes the hands' sockets, starts hands and front, and ends them together.
//!
//! It stays what it was started as (root), so that a hand that crashed returns with its powers although the front has
//! given up its own. The sockets, the protocol and the checks are those of the units.

use files::OwnProgram;
use host::front::{LockError, StateLock, is_served, until_asked};
use model::message::Message;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, User};
use protocol::hand::HandRole;
use spawn::Own;
use spawn::service::{self, Front};
use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::process::Child;
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// First pause before a hand that ended is started again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A hand that has lived this long was no crash loop: the next pause is short again.
const LIVED: Duration = Duration::from_secs(60);
/// Time that the hands of a launcher that was killed have to end.
const FREE_WITHIN: Duration = Duration::from_secs(2);
/// Time that the front, and then each hand, has to end after SIGTERM.
const FAREWELL: Duration = Duration::from_millis(1700);

/// What is to be started.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// Run-time folder; the sockets lie in `hands/` below it.
    pub(crate) run: PathBuf,
    /// Folder of durable state, which is given to the front's user.
    pub(crate) state: PathBuf,
    /// The kernel log, which only root may open: the front gets it as its standard input.
    pub(crate) kernel_log: PathBuf,
    /// Files that the front must be able to read.
    pub(crate) files: Vec<PathBuf>,
    /// Arguments of the front.
    pub(crate) front: Vec<OsString>,
    /// Arguments of each hand.
    pub(crate) hand: Vec<OsString>,
    /// The user that the front becomes; none = `gpuhostd`, else `nobody`. Only where we are root.
    pub(crate) user: Option<String>,
}

/// Why nothing could be launched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    /// There is no such user.
    #[error("there is no user {0:?} for the front; name another one with --user")]
    NoUser(String),
    /// The user database did not answer.
    #[error("cannot look up the user {0:?}")]
    Lookup(String, #[source] nix::Error),
    /// A folder or socket could not be made.
    #[error("cannot make {}", .0.display())]
    Make(PathBuf, #[source] io::Error),
    /// The user that the front becomes may not execute our file.
    #[error(
        "cannot start the front: user {user} may not execute {exe}; allow it with `chmod a+rx {exe}`, or name another user \
         with --user",
        exe = .exe.display()
    )]
    NotForUser {
        /// The name of the user, or the number.
        user: String,
        /// Our executable.
        exe: PathBuf,
        /// What the host reported.
        #[source]
        source: io::Error,
    },
    /// The user that the front becomes cannot reach what it needs.
    #[error(
        "the front needs {what}, and user {user}, as which it runs, may not {verb} {at}; choose a place that this user can access, or name another user with --user",
        what = .what.display(),
        verb = if .what == .at { "read" } else { "enter" },
        at = .at.display()
    )]
    OutOfReach {
        /// The name of the user, or the number.
        user: String,
        /// What the front needs.
        what: PathBuf,
        /// Where the way ends.
        at: PathBuf,
    },
    /// Somebody listens where a hand would.
    #[error(
        "{} already has a server: under systemd the hands have their own sockets (systemctl start gpuhostd); to use \
         --with-hands nevertheless, first run: systemctl stop gpuhostd gpuhostd-host.socket gpuhostd-holders.socket \
         gpuhostd-containers.socket gpuhostd-mig.socket gpuhostd-mig-mode.socket",
        .0.display()
    )]
    Served(PathBuf),
    /// Another daemon works with the same state.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// A process could not be started, or signals not be listened for.
    #[error("cannot start {0}")]
    Start(&'static str, #[source] io::Error),
}

/// Who the front will be.
#[derive(Debug, Clone, Copy)]
struct Owner {
    uid: Uid,
    gid: Gid,
}

/// Starts everything and waits for the front's end, or for SIGTERM or SIGINT. SIGHUP goes to the front.
///
/// # Errors
/// Whatever kept it from starting; nothing is left running then.
pub(crate) fn run(launch: &Launch) -> Result<ExitCode, LaunchError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| LaunchError::Start("the runtime", error))?;
    let outcome = runtime.block_on(live(launch));
    runtime.shutdown_background();
    outcome
}

async fn live(launch: &Launch) -> Result<ExitCode, LaunchError> {
    let owner = owner(launch.user.as_deref())?;
    in_reach(launch, owner)?;
    // Before anything is changed that another daemon may be using.
    let locked = StateLock::take(&launch.state)?;
    let hands_folder = launch.run.join("hands");
    for role in HandRole::ALL {
        wait_until_free(&hands_folder.join(socket_name(role))).await?;
    }
    for path in [&launch.state, &launch.run] {
        own_folder(path, owner)?;
    }
    let _alone = match locked {
        Some(locked) => Some(locked),
        None => StateLock::take(&launch.state)?,
    };
    // The front may not write where its hands' sockets are made: what it planted there we would give to it.
    let folder = own_folder(&hands_folder, Owner { uid: Uid::effective(), gid: Gid::effective() })?;
    // Before anything is started: a signal in between would end this process and nobody with it.
    let signals = Signals::listen()?;
    let mut hands = JoinSet::new();
    for role in HandRole::ALL {
        let listener = socket(&folder, &hands_folder, &socket_name(role), owner)?;
        hands.spawn(keep(role, launch.clone(), owner, listener));
    }
    let mut front = start_front(launch, owner)?;
    let code = guard(&mut front, signals).await?;
    // The kernel tells the hands when this process has ended (see [`program::launched`]).
    hands.shutdown().await;
    Ok(code)
}

/// That the front will be able to go where it must. The two folders themselves are given to it below.
fn in_reach(launch: &Launch, owner: Owner) -> Result<(), LaunchError> {
    let files = launch.files.iter().map(|file| (file, file.as_path()));
    let folders = [&launch.state, &launch.run].into_iter().filter_map(|folder| Some((folder, folder.parent()?)));
    for (what, way) in files.chain(folders) {
        if let Some(at) = service::closed_to(owner.uid.as_raw(), owner.gid.as_raw(), way) {
            return Err(LaunchError::OutOfReach { user: name_of(owner.uid), what: what.clone(), at });
        }
    }
    Ok(())
}

fn socket_name(role: HandRole) -> String {
    format!("{}.sock", role.name())
}

/// A hand of a launcher that was killed lives on for a moment.
async fn wait_until_free(path: &Path) -> Result<(), LaunchError> {
    let until = Instant::now() + FREE_WITHIN;
    while is_served(path).map_err(|error| LaunchError::Make(path.to_owned(), error))? {
        if Instant::now() >= until {
            return Err(LaunchError::Served(path.to_owned()));
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// The user of the front: the named one, else the package's, else nobody. Where we are not root: ourselves.
fn owner(named: Option<&str>) -> Result<Owner, LaunchError> {
    if !Uid::effective().is_root() {
        return Ok(Owner { uid: Uid::effective(), gid: Gid::effective() });
    }
    let look_up = |name: &str| User::from_name(name).map_err(|errno| LaunchError::Lookup(name.to_owned(), errno));
    let user = match named {
        Some(name) => look_up(name)?.ok_or_else(|| LaunchError::NoUser(name.to_owned()))?,
        None => match look_up(hands::peers::FRONT_USER)? {
            Some(user) => user,
            None => look_up("nobody")?.ok_or_else(|| LaunchError::NoUser("nobody".to_owned()))?,
        },
    };
    Ok(Owner { uid: user.uid, gid: user.gid })
}

fn own_folder(path: &Path, owner: Owner) -> Result<service::Folder, LaunchError> {
    service::Folder::own(path, 0o755, owner.uid.as_raw(), owner.gid.as_raw())
        .map_err(|error| LaunchError::Make(path.to_owned(), error))
}

/// A listening socket that the front's user alone may use; one that an earlier run left is replaced.
fn socket(folder: &service::Folder, at: &Path, name: &str, owner: Owner) -> Result<UnixListener, LaunchError> {
    let fault = |error| LaunchError::Make(at.join(name), error);
    let path = &folder.inside(name);
    service::remove_socket(path).map_err(fault)?;
    let listener = UnixListener::bind(path).map_err(fault)?;
    service::set_mode(path, 0o600).map_err(fault)?;
    service::give_to(path, owner.uid.as_raw(), owner.gid.as_raw()).map_err(fault)?;
    Ok(listener)
}

fn start_front(launch: &Launch, owner: Owner) -> Result<Child, LaunchError> {
    let become_user = Uid::effective().is_root().then(|| (owner.uid.as_raw(), owner.gid.as_raw()));
    let args = [launcher_argument().to_vec(), launch.front.clone()].concat();
    let kernel_log = service::open_log(&launch.kernel_log)
        .inspect_err(|error| {
            let file = launch.kernel_log.display();
            tracing::warn!(
                message_id = Message::KernelLogUnavailable.id(),
                "{file} cannot be opened, and the front continues without it: {error}"
            );
        })
        .ok();
    let program = Own::find(OwnProgram::Front);
    let front = Front { program: &program, args: &args, become_user, input: kernel_log };
    service::front(front).map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EACCES) => {
            LaunchError::NotForUser { user: name_of(owner.uid), exe: program.path().to_owned(), source: error }
        }
        Some(_) | None => LaunchError::Start("the front", error),
    })
}

/// The name of a user; its number where it has none.
fn name_of(uid: Uid) -> String {
    User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

/// Keeps one hand on its socket; never ends.
async fn keep(role: HandRole, launch: Launch, owner: Owner, listener: UnixListener) {
    let program = Own::find(match role {
        HandRole::Host => OwnProgram::Host,
        HandRole::Containers => OwnProgram::Containers,
        HandRole::Holders => OwnProgram::Holders,
        HandRole::Mig | HandRole::MigMode => OwnProgram::Mig,
    });
    let mut args = vec![OsString::from("--front-uid"), owner.uid.to_string().into()];
    args.extend(launcher_argument());
    args.extend((role == HandRole::MigMode).then(|| OsString::from("--mode")));
    args.extend_from_slice(&launch.hand);
    let mut pause = FIRST_PAUSE;
    loop {
        let started = Instant::now();
        let socket = listener.try_clone().map(Into::into);
        let ended = match socket.and_then(|socket| service::with_socket(&program, &args, socket)) {
            Ok(mut child) => child.wait().await.map_err(|error| error.to_string()),
            Err(error) => Err(format!("cannot start {}: {error}", program.path().display())),
        };
        pause = if started.elapsed() >= LIVED { FIRST_PAUSE } else { pause };
        let why = match ended {
            // It had nothing left to do. As with a socket unit the next request starts it again, and until then it costs nothing.
            Ok(status) if status.success() => {
                sleep(pause).await;
                match until_asked(&listener).await {
                    Ok(()) => continue,
                    Err(error) => format!("its socket cannot be watched: {error}"),
                }
            }
            Ok(status) => status.to_string(),
            Err(why) => why,
        };
        tracing::warn!(
            message_id = Message::HandEnded.id(),
            hand = role.name(),
            pause_ms = pause.as_millis(),
            "the hand exited: {why}; it is restarted"
        );
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The signals that are listened for.
struct Signals {
    terminate: Listener,
    interrupt: Listener,
    hangup: Listener,
}

impl Signals {
    fn listen() -> Result<Self, LaunchError> {
        let listen = |kind| signal(kind).map_err(|error| LaunchError::Start("the signal handlers", error));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }
}

/// Waits for the front to end; passes signals on.
async fn guard(front: &mut Child, signals: Signals) -> Result<ExitCode, LaunchError> {
    let Signals { mut terminate, mut interrupt, mut hangup } = signals;
    let pid = front.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
    let pass = |sent: Signal| {
        if let Some(pid) = pid {
            // It may have ended in this very moment; then there is nobody to tell.
            let _ended = kill(pid, sent);
        }
    };
    loop {
        tokio::select! {
            ended = front.wait() => return Ok(code_of(ended)),
            _ = hangup.recv() => pass(Signal::SIGHUP),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    pass(Signal::SIGTERM);
    match timeout(FAREWELL, front.wait()).await {
        Ok(ended) => Ok(code_of(ended)),
        Err(_) => {
            tracing::error!(
                message_id = Message::FrontKilled.id(),
                "the front had not exited {FAREWELL:?} after SIGTERM and is killed"
            );
            pass(Signal::SIGKILL);
            Ok(ExitCode::FAILURE)
        }
    }
}

fn code_of(ended: io::Result<std::process::ExitStatus>) -> ExitCode {
    match ended.map(|status| status.code()) {
        Ok(Some(code)) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Ok(None) | Err(_) => ExitCode::FAILURE,
    }
}

/// How what is started learns whom to end with.
fn launcher_argument() -> [OsString; 2] {
    [OsString::from("--launcher"), std::process::id().to_string().into()]
}
