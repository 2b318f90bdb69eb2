//! Two hundred and fifty connections of a user without rights do their worst on the bus at once. The daemon's memory and descriptors
//! stay as they are and its heartbeats go on. A few of them, who only ask, keep root waiting no longer than a moment. `LONG=1` has
//! them go on for a minute.

use e2e::bus::Bus;
use e2e::daemon::{Daemon, Start};
use e2e::wait;
use e2e::world::World;
use manager::{Manager, Options};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use zbus::message::Flags;
use zbus::{Message, OwnedVariant};

const NAME: &str = "org.gpuhost.Agent1";
const ROOT: &str = "/org/gpuhost/Agent1";
const HOST: &str = "org.gpuhost.Agent1.Host";
/// The user `daemon`, who may nothing.
const NO_RIGHTS: u32 = 1;
const BUS_VARIABLE: &str = "GPUHOSTD_TEST_FLOOD";
/// How many connections attack, and how; both from the test.
const CONNECTIONS_VARIABLE: &str = "GPUHOSTD_TEST_FLOOD_CONNECTIONS";
const HEARTBEAT: Duration = Duration::from_secs(5);
/// As many connections as a system bus lets one user have, less a few.
const CONNECTIONS: usize = 250;
/// As many descriptors as it lets one message have.
const DESCRIPTORS: usize = 16;

/// The attack goes on for so long at least, and until all that must go on meanwhile has been seen.
fn lasts() -> Duration {
    Duration::from_secs(if std::env::var_os("LONG").is_some() { 60 } else { 10 })
}

/// Nothing here is late on a busy machine: what does not come in this time does not come.
const PATIENCE: Duration = Duration::from_secs(150);
/// Refusals that may be in the log, in each ten seconds and for each connection of ours to the bus.
const REFUSALS: u64 = 20;
/// One flood at a time: each is as much as the machine can do.
static ALONE: Mutex<()> = Mutex::new(());
/// Set when the attack is over.
static OVER: AtomicBool = AtomicBool::new(false);

fn over() -> bool {
    OVER.load(Ordering::Relaxed)
}

/// What one connection does as fast as it can.
#[derive(Debug, Clone, Copy)]
enum Attack {
    /// Calls whose answer nobody waits for.
    KernelLogUnavailable,
    /// Changes without the right to them.
    Forbidden,
    /// Asks for the longest answer there is, and reads none.
    NeverReading,
    /// Sends as much in one message as the bus takes.
    Huge,
    /// Sends descriptors with a call that is refused.
    Descriptors,
    /// Is there.
    Idle,
}

impl Attack {
    /// Where there are few, all ask for changes that they have no right to, and wait for no answer.
    const fn of(number: usize, of: usize) -> Self {
        if of < CONNECTIONS {
            return Self::Forbidden;
        }
        match number % 10 {
            0 | 1 => Self::KernelLogUnavailable,
            2 | 3 => Self::Forbidden,
            4..=6 => Self::NeverReading,
            7 if number < 20 => Self::Huge,
            8 => Self::Descriptors,
            _ => Self::Idle,
        }
    }

    /// One call.
    fn call(self) -> Message {
        let none = HashMap::<String, OwnedVariant>::new();
        let quiet = |member: &'static str| {
            let call = Message::method_call(ROOT, member).destination(NAME).interface(HOST);
            call.with_flags(Flags::NO_REPLY_EXPECTED)
        };
        let message = match self {
            Self::KernelLogUnavailable | Self::Idle => quiet("GetObservation").build(&none),
            Self::Forbidden => quiet("Rescan").build(&none),
            Self::Descriptors => {
                let device = std::fs::File::open("/dev/null").unwrap();
                quiet("Leave").build(&std::array::from_fn::<_, DESCRIPTORS, _>(|_| zbus::Fd::from(&device)).as_slice())
            }
            Self::Huge => quiet("GetObservation").build(&HashMap::from([("x", vec![0_u8; 30 << 20])])),
            Self::NeverReading => {
                let call = Message::method_call(ROOT, "GetManagedObjects").destination(NAME);
                call.interface("org.freedesktop.DBus.ObjectManager").build(&())
            }
        };
        message.unwrap()
    }
}

/// A connection that has said hello, whatever was answered.
fn connect(path: &str) -> std::io::Result<UnixStream> {
    let mut stream = UnixStream::connect(path)?;
    let uid: String = NO_RIGHTS.to_string().bytes().map(|digit| format!("{digit:02x}")).collect();
    write!(stream, "\0AUTH EXTERNAL {uid}\r\nNEGOTIATE_UNIX_FD\r\n")?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let said = [lines.next(), lines.next()].map(|line| line.unwrap_or(Ok(String::new())).unwrap_or_default());
    assert!(said[0].starts_with("OK ") && said[1] == "AGREE_UNIX_FD", "{said:?}");
    let bus = "org.freedesktop.DBus";
    let hello = Message::method_call("/org/freedesktop/DBus", "Hello");
    let hello = hello.destination(bus).interface(bus).build(&()).unwrap();
    stream.write_all(b"BEGIN\r\n")?;
    stream.write_all(hello.data().bytes())?;
    Ok(stream)
}

/// Does it until it is over; how many calls went out.
fn attack(path: &str, attack: Attack) -> usize {
    let Ok(mut stream) = connect(path) else { return 0 };
    let (call, mut sent) = (attack.call(), 0);
    let patience = if matches!(attack, Attack::Huge) { Duration::from_secs(5) } else { Duration::from_millis(200) };
    stream.set_write_timeout(Some(patience)).unwrap();
    let (bytes, descriptors) = (call.data().bytes(), call.data().fds());
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    while !over() {
        let done = match attack {
            Attack::Idle => {
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
            Attack::Descriptors => {
                let mut control = SendAncillaryBuffer::new(&mut space);
                control.push(SendAncillaryMessage::ScmRights(&borrowed));
                let sent = sendmsg(&stream, &[IoSlice::new(bytes)], &mut control, SendFlags::empty());
                sent.map(|_| ()).map_err(std::io::Error::from)
            }
            Attack::KernelLogUnavailable | Attack::Forbidden | Attack::NeverReading | Attack::Huge => {
                stream.write_all(bytes)
            }
        };
        match done {
            Ok(()) => sent += 1,
            // The bus takes no more of it, and in the middle of a message there is no way on.
            Err(_) => break,
        }
    }
    sent
}

/// Plays the attackers in a process of their own, until its standard input ends.
#[test]
#[ignore = "run by a_flood_costs_the_daemon_neither_memory_nor_descriptors_nor_heartbeats"]
fn attackers() {
    let path = std::env::var(BUS_VARIABLE).expect("started by the test");
    let connections: usize = std::env::var(CONNECTIONS_VARIABLE).expect("set by the test").parse().unwrap();
    let all: Vec<_> = (0..connections)
        .map(|number| {
            let (path, kind) = (path.clone(), Attack::of(number, connections));
            std::thread::spawn(move || (kind, attack(&path, kind)))
        })
        .collect();
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
    OVER.store(true, Ordering::Relaxed);
    let mut sent = HashMap::<String, usize>::new();
    for thread in all {
        let (attack, calls) = thread.join().unwrap();
        *sent.entry(format!("{attack:?}")).or_default() += calls;
    }
    let tried = sent.iter().filter(|(attack, calls)| **calls > 0 || attack.as_str() == "Idle").count();
    assert_eq!(tried, if connections < CONNECTIONS { 1 } else { 6 }, "not every attack was made: {sent:?}");
    println!("sent {sent:?}");
}

/// The attack, while it goes on.
struct Flood {
    attackers: Child,
    began: Instant,
}

impl Flood {
    fn start(bus: &Bus, connections: usize) -> Self {
        let path = bus.address.strip_prefix("unix:path=").unwrap();
        let program = ["--ignored", "--exact", "attackers", "--nocapture"];
        let mut command = Command::new("/proc/self/exe");
        command
            .args(program)
            .env(BUS_VARIABLE, path)
            .env(CONNECTIONS_VARIABLE, connections.to_string())
            .uid(NO_RIGHTS)
            .gid(NO_RIGHTS)
            .current_dir("/");
        let attackers = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        Self { attackers, began: Instant::now() }
    }

    /// Ends it; what was sent.
    fn end(mut self) -> String {
        drop(self.attackers.stdin.take());
        let said = std::io::read_to_string(self.attackers.stdout.take().unwrap()).unwrap();
        assert!(self.attackers.wait().unwrap().success(), "{said}");
        said.lines().find(|line| line.starts_with("sent ")).expect("the attackers ended well").to_owned()
    }
}

/// One process of the daemon, as the kernel sees it.
struct Process(std::path::PathBuf);

impl Process {
    /// The front among the children of the launcher.
    fn front(daemon: &Daemon) -> Self {
        let parent = format!("PPid:\t{}\n", daemon.pid());
        let mut all = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
        let front = all.find(|path| {
            let read = |name| std::fs::read_to_string(path.join(name)).unwrap_or_default();
            read("status").contains(&parent)
                && read("cmdline").split('\0').next().is_some_and(|program| program.ends_with("/gpuhostd"))
        });
        Self(front.expect("the front runs"))
    }

    fn kib(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(self.0.join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(self.0.join("fd")).unwrap().count()
    }

    /// The highest resident memory counts from here.
    fn forget_peak(&self) {
        std::fs::write(self.0.join("clear_refs"), "5").unwrap();
    }
}

#[test]
fn a_flood_costs_the_daemon_neither_memory_nor_descriptors_nor_heartbeats() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let world = World::new();
    let tree = world.host_tree("dgx-a100");
    let bus = Bus::start(world.path()).expect("a bus");
    let start = Start { bus: Some(bus.address.clone()), tree: Some(tree), ..Start::default() };
    let daemon = Daemon::start(&world, &start);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let options = Options { next_heartbeat_s: HEARTBEAT.as_secs(), ..Options::default() };
    let manager = runtime.block_on(Manager::start(options)).unwrap();
    let (token, ca) = (world.path().join("token"), world.path().join("ca.pem"));
    std::fs::write(&token, manager.issue_token()).unwrap();
    std::fs::write(&ca, manager.ca_pem()).unwrap();
    let enrol = ["enroll", &manager.url(), "--token-file", token.to_str().unwrap(), "--ca-file", ca.to_str().unwrap()];
    assert!(world.ctl(&bus.address, &enrol).status.success(), "{}", daemon.log());
    // The path that answers a caller is warm, and so are the tables that it needs.
    assert!(world.ctl(&bus.address, &["gpus"]).status.success());
    runtime.block_on(manager.wait_heartbeats(3, PATIENCE)).expect("heartbeats");
    let front = Process::front(&daemon);
    front.forget_peak();
    let (memory, descriptors) = (front.kib("VmRSS"), front.descriptors());
    let beats = manager.heartbeats().len();

    let flood = Flood::start(&bus, CONNECTIONS);
    let mut most_descriptors = 0;
    while flood.began.elapsed() < lasts() {
        most_descriptors = most_descriptors.max(front.descriptors());
        std::thread::sleep(Duration::from_millis(20));
    }
    runtime.block_on(manager.wait_heartbeats(beats + 2, PATIENCE)).expect("heartbeats go on");
    let lasted = flood.began.elapsed();
    let sent = flood.end();
    let peak = front.kib("VmHWM");
    let after = served(&world, &bus, "gpus");
    let times: Vec<Instant> = manager.heartbeats()[beats - 1..].iter().map(|beat| beat.at).collect();
    let late = times.windows(2).map(|pair| (pair[1] - pair[0]).saturating_sub(HEARTBEAT)).max().unwrap();
    println!("{sent} in {lasted:?}; {} heartbeats, the latest {late:?} late", times.len() - 1);
    println!("front {memory} KiB, at most {peak} KiB; {descriptors} descriptors, at most {most_descriptors}");
    // 3 to 4 MiB in ten seconds as in sixty, alone and beside other work: what the buffers of so many connections take at once.
    assert!(peak < memory + 5 * 1024, "{memory} KiB became {peak} KiB");
    assert!(most_descriptors < descriptors + 300, "{descriptors} descriptors became {most_descriptors}");
    wait::until("the descriptors are closed", PATIENCE, || (front.descriptors() <= descriptors).then_some(()));
    let refused = daemon.log().lines().filter(|line| line.contains("was refused")).count();
    // A connection that the bus takes nothing from is made anew after ten seconds, and counts for itself.
    let windows = 2 * (flood_windows(after + lasted) + 1);
    assert!(u64::try_from(refused).unwrap() <= windows * REFUSALS, "the log is flooded: {refused} refusals");
}

#[test]
fn a_few_callers_that_never_stop_asking_do_not_keep_root_waiting() {
    const FEW: usize = 12;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let world = World::new();
    let bus = Bus::start(world.path()).expect("a bus");
    let tree = world.host_tree("dgx-a100");
    let start = Start { bus: Some(bus.address.clone()), tree: Some(tree), ..Start::default() };
    let daemon = Daemon::start(&world, &start);
    assert!(world.ctl(&bus.address, &["gpus"]).status.success(), "{}", daemon.log());
    let flood = Flood::start(&bus, FEW);
    while flood.began.elapsed() < lasts() {
        for what in ["lock", "status", "unlock"] {
            served(&world, &bus, what);
        }
    }
    println!("{}", flood.end());
}

/// Root asks until it is answered; how long that took.
fn served(world: &World, bus: &Bus, what: &str) -> Duration {
    let asked = Instant::now();
    wait::until(&format!("root is served: {what}"), PATIENCE, || {
        world.ctl(&bus.address, &[what]).status.success().then_some(())
    });
    println!("{what}: answered after {:?}", asked.elapsed());
    asked.elapsed()
}

/// Ten-second windows that have begun in this time.
fn flood_windows(time: Duration) -> u64 {
    time.as_secs() / 10 + 1
}
