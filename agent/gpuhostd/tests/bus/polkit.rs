//! polkit decides: the real polkitd, asked by the daemon as its own user, and others that answer slowly, wrongly or not at all.

use crate::callers::{NO_RIGHTS, play};
use crate::rig::core::core;
use crate::rig::hosts;
use crate::rig::private_bus::{PrivateBus, top};
use crate::rig::{NOBODY, Served, block_on, busctl, busctl_as, busctl_refused, client, until};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const NAME: &str = "org.gpuhost.Agent1";
pub(crate) const RESCAN: [&str; 6] =
    ["call", NAME, "/org/gpuhost/Agent1", "org.gpuhost.Agent1.Host", "Rescan", "a{sv}"];
const LEAVE: [&str; 6] = ["call", NAME, "/org/gpuhost/Agent1", "org.gpuhost.Agent1.Host", "Leave", "a{sv}"];
pub(crate) const POLKIT: &str = "org.freedesktop.PolicyKit1";
/// The user gpuhostd, as far as the namespace of the test knows.
const DAEMON: u32 = 64_001;
/// The user gpurig, whom a rule lets rescan and nothing else.
const RESCANNER: u32 = 64_002;
/// The user gpuhuge, whose id is negative where it is taken for a signed number.
const HUGE: u32 = 4_000_000_000;
/// Where the namespace's bus is told to the program that plays the daemon.
const BUS_VARIABLE: &str = "GPUHOSTD_TEST_BUS";

fn no_options(call: [&'static str; 6]) -> Vec<&'static str> {
    [&call[..], &["0"]].concat()
}

fn writes(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// The files that the namespace sees instead of the host's: users, our actions alone, one rule.
fn lay_out(folder: &Path) {
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let user = |name, uid| format!("{name}:x:{uid}:{uid}::/nonexistent:/usr/sbin/nologin\n");
    writes(
        folder,
        "passwd",
        &(users + &user("gpuhostd", DAEMON) + &user("gpurig", RESCANNER) + &user("gpuhuge", HUGE)),
    );
    let action = "org.gpuhost.agent1.policy";
    let policy = std::fs::read_to_string(top().join("packaging/polkit-1/actions").join(action)).unwrap();
    writes(folder, &format!("actions/{action}"), &policy);
    writes(
        folder,
        "rules/50-rig.rules",
        r#"polkit.addRule(function(action, subject) {
    if (action.id == "org.gpuhost.agent1.rescan" && subject.user == "gpurig" && action.lookup("operation") == "Rescan")
        return polkit.Result.YES;
});
"#,
    );
    for path in ["", "actions", "rules"] {
        std::fs::set_permissions(folder.join(path), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn the_real_polkitd_decides_for_a_daemon_without_root() {
    let folder = tempfile::tempdir().unwrap();
    lay_out(folder.path());
    let script = r#"mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/actions" /usr/share/polkit-1/actions &&
        mount --bind "$1/rules" /etc/polkit-1/rules.d && shift && exec "$@""#;
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "polkit::inside_the_namespace", "--nocapture"])
        .output()
        .expect("unshare is installed (util-linux)");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// A child that is ended with the value.
pub(crate) struct Killed(Child);

impl Killed {
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let ended = self.0.kill().and_then(|()| self.0.wait());
        ended.ok();
    }
}

fn has_owner(bus: &PrivateBus, name: &str) -> bool {
    busctl(bus, &["list", "--acquired"]).lines().any(|line| line.split_whitespace().next() == Some(name))
}

fn start_polkitd(bus: &PrivateBus) -> Killed {
    let program = ["/usr/lib/polkit-1/polkitd", "/usr/libexec/polkitd"].into_iter().find(|p| Path::new(p).exists());
    let child = Command::new(program.expect("polkitd is installed (apt install polkitd)"))
        .arg("--no-debug")
        .env("DBUS_SYSTEM_BUS_ADDRESS", &bus.address)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let child = Killed(child);
    until("polkitd owns its name", || has_owner(bus, POLKIT));
    child
}

/// The daemon in a process of its own, as this user.
pub(crate) fn start_daemon(bus: &PrivateBus, uid: u32) -> Killed {
    let mut program = Command::new("/proc/self/exe");
    program.args(["--ignored", "--exact", "polkit::daemon_as_its_own_user"]).env(BUS_VARIABLE, &bus.address);
    let child = program.uid(uid).gid(uid).current_dir("/").stdout(Stdio::null()).spawn().unwrap();
    let child = Killed(child);
    until("the daemon owns its name", || has_owner(bus, NAME));
    child
}

#[test]
#[ignore = "run by the_real_polkitd_decides_for_a_daemon_without_root, in a mount namespace of its own"]
fn inside_the_namespace() {
    let bus = PrivateBus::start();
    let polkitd = start_polkitd(&bus);
    let _daemon = start_daemon(&bus, DAEMON);
    busctl(&bus, &no_options(RESCAN));
    let said = busctl_refused(&bus, NOBODY, &no_options(RESCAN));
    assert!(said.contains("not authorized for org.gpuhost.agent1.rescan: polkit requires a password"), "{said}");
    let allowed = busctl_as(&bus, RESCANNER, &no_options(RESCAN));
    assert!(allowed.status.success(), "{}", String::from_utf8_lossy(&allowed.stderr));
    let said = busctl_refused(&bus, RESCANNER, &no_options(LEAVE));
    assert!(said.contains("not authorized for org.gpuhost.agent1.manage-enrolment"), "{said}");
    let own = busctl_refused(&bus, DAEMON, &no_options(LEAVE));
    assert!(own.contains("not authorized"), "who shares the daemon's uid has not its rights: {own}");
    assert!(busctl_as(&bus, NOBODY, &["tree", "--list", NAME]).status.success(), "reading is open");
    for uid in [NOBODY, HUGE] {
        play(NO_RIGHTS, &bus, uid);
    }
    drop(polkitd);
    until("polkit is away", || !has_owner(&bus, POLKIT));
    busctl(&bus, &no_options(RESCAN));
    let said = busctl_refused(&bus, RESCANNER, &no_options(RESCAN));
    assert!(said.contains("only root is authorized"), "{said}");
    for uid in [NOBODY, HUGE] {
        play(NO_RIGHTS, &bus, uid);
    }
}

/// Plays the daemon in a process of its own, as its own user, until it is killed.
#[test]
#[ignore = "run by inside_the_namespace"]
fn daemon_as_its_own_user() {
    let address = std::env::var(BUS_VARIABLE).expect("started by inside_the_namespace");
    let served = Served::start_at(&address, core(hosts::two_gpus()));
    loop {
        std::thread::park_timeout(Duration::from_secs(60));
        drop(served.state.borrow());
    }
}

/// What stands in for polkitd.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    Garbage,
    Error,
    Never,
}

/// Owns polkit's name and answers each question in the given way, by hand: no library would let us answer garbage.
async fn impostor(bus: &PrivateBus, answer: Answer) -> zbus::Connection {
    use futures_util::StreamExt;
    let connection = client(bus).await;
    let mut stream = zbus::MessageStream::from(&connection);
    connection.request_name(POLKIT).await.unwrap();
    let replies = connection.clone();
    tokio::spawn(async move {
        while let Some(Ok(message)) = stream.next().await {
            let header = message.header();
            if header.member().map(|member| member.as_str()) != Some("CheckAuthorization") {
                continue;
            }
            let nothing = std::collections::HashMap::<String, String>::new();
            match answer {
                Answer::Yes => replies.reply(&header, &((true, false, nothing),)).await.unwrap(),
                Answer::No => replies.reply(&header, &((false, false, nothing),)).await.unwrap(),
                Answer::Garbage => replies.reply(&header, &("true", 1_u64)).await.unwrap(),
                Answer::Error => {
                    let name = "org.freedesktop.PolicyKit1.Error.Failed";
                    replies.reply_error(&header, name, &"out of order").await.unwrap();
                }
                Answer::Never => {}
            }
        }
    });
    connection
}

/// Calls Rescan as somebody while an impostor stands in for polkit; what busctl said where it was refused.
fn decided(answer: Answer, uid: u32) -> Result<(), String> {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    let output = block_on(async {
        let _polkit = impostor(&bus, answer).await;
        let address = bus.address.clone();
        tokio::task::spawn_blocking(move || {
            let mut command = Command::new("busctl");
            let no_dialogue = ["1", "auth.no-user-interaction", "b", "true"];
            command.arg(format!("--address={address}")).args(RESCAN).args(no_dialogue);
            if uid != 0 {
                command.uid(uid).gid(uid);
            }
            command.output().unwrap()
        })
        .await
        .unwrap()
    });
    assert_eq!(output.status.success(), !served.core.got.borrow().is_empty());
    if output.status.success() { Ok(()) } else { Err(String::from_utf8(output.stderr).unwrap()) }
}

#[test]
fn a_yes_of_polkit_lets_anybody_in_and_a_no_keeps_all_but_root_out() {
    assert_eq!(decided(Answer::Yes, NOBODY), Ok(()));
    assert!(decided(Answer::No, NOBODY).unwrap_err().contains("polkit denied it"));
    assert_eq!(decided(Answer::No, 0), Ok(()));
}

#[test]
fn garbage_and_errors_of_polkit_are_a_no() {
    for answer in [Answer::Garbage, Answer::Error] {
        let said = decided(answer, NOBODY).unwrap_err();
        assert!(said.contains("polkit did not decide"), "{said}");
    }
}

#[test]
fn a_polkit_that_never_answers_is_a_no_in_time_and_root_does_not_wait_for_it() {
    let said = decided(Answer::Never, NOBODY).unwrap_err();
    assert!(said.contains("polkit did not decide within 5 s"), "{said}");
    assert_eq!(decided(Answer::Never, 0), Ok(()));
}
