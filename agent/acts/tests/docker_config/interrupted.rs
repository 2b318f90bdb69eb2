//! The child's two tasks of a write, killed before each of their system calls: the file is the one before or the one after.

use crate::nvidia;
use model::daemon_json::{Edited, insert};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use protocol::child::Task;
use protocol::docker_task::{DockerDraft, DockerEdit, DockerTask};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

const FILE: &str = "{\n  \"debug\": true\n}\n";
const MODE: u32 = 0o640;
/// `PTRACE_EVENT_EXEC` of `linux/ptrace.h`.
const EVENT_EXEC: i32 = 4;

fn arguments(task: &DockerTask) -> Vec<std::ffi::OsString> {
    Task::DockerConfig.arguments([serde_json::to_string(task).unwrap().into()])
}

/// The child's answer to a task that is not interrupted.
fn answer(task: &DockerTask) -> Vec<u8> {
    let output = Command::new(std::env::current_exe().unwrap()).args(arguments(task)).output().unwrap();
    assert!(output.status.success(), "{task:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// What happens before a system call of the child.
#[derive(Clone, Copy)]
enum Event<'a> {
    /// It is killed.
    Kill,
    /// An administrator replaces the file, as an editor does.
    Save(&'a Path, &'a str),
}

/// Runs the child and kills it before its system call of this number; false where it makes fewer.
fn killed_before(task: &DockerTask, number: usize) -> bool {
    happens_before(task, number, Event::Kill)
}

/// Runs the child, with an event before its system call of this number; false where it makes fewer.
fn happens_before(task: &DockerTask, number: usize, event: Event<'_>) -> bool {
    // The shell stops itself, so that nothing of the child is missed.
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "kill -STOP $$; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(arguments(task));
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut started = command.spawn().unwrap();
    let has_happened = traced(Pid::from_raw(i32::try_from(started.id()).unwrap()), number, event);
    // The tracer has reaped it: this only forgets it.
    let _reaped = started.wait();
    has_happened
}

/// Follows the program that the shell becomes.
fn traced(pid: Pid, number: usize, event: Event<'_>) -> bool {
    assert!(matches!(waitpid(pid, Some(WaitPidFlag::WUNTRACED)), Ok(WaitStatus::Stopped(..))));
    ptrace::seize(pid, ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_TRACEEXEC).unwrap();
    kill(pid, Signal::SIGCONT).unwrap();
    let (mut is_child, mut stops, mut has_happened) = (false, 0, false);
    loop {
        match waitpid(pid, Some(WaitPidFlag::__WALL)).unwrap() {
            WaitStatus::Exited(_, status) => {
                assert!(status == 0 || has_happened, "it fails by itself");
                return has_happened;
            }
            WaitStatus::PtraceSyscall(_) if is_child => {
                // Each call stops twice: before it and after it.
                match event {
                    Event::Kill if stops == 2 * number => {
                        kill(pid, Signal::SIGKILL).unwrap();
                        while !matches!(waitpid(pid, Some(WaitPidFlag::__WALL)), Ok(WaitStatus::Signaled(..))) {}
                        return true;
                    }
                    Event::Save(file, text) if stops == 2 * number => {
                        let new = file.with_file_name("saved");
                        fs::write(&new, text).unwrap();
                        fs::rename(new, file).unwrap();
                        has_happened = true;
                    }
                    Event::Kill | Event::Save(..) => {}
                }
                stops += 1;
            }
            WaitStatus::PtraceEvent(_, _, EVENT_EXEC) => is_child = true,
            WaitStatus::Signaled(_, signal, _) => panic!("it was ended by {signal}"),
            WaitStatus::Stopped(..)
            | WaitStatus::PtraceEvent(..)
            | WaitStatus::PtraceSyscall(_)
            | WaitStatus::Continued(_)
            | WaitStatus::StillAlive => {}
        }
        ptrace::syscall(pid, None).unwrap();
    }
}

fn draft_of(file: &Path, edit: DockerEdit, sha256: Option<String>) -> DockerTask {
    DockerTask::Draft { file: file.display().to_string(), sha256, edit, reads_mark: true, is_required: false }
}

fn replacement(file: &Path, sha256: Option<String>, draft: &DockerDraft) -> DockerTask {
    let draft_sha256 = match draft {
        DockerDraft::Written { sha256, .. } => Some(sha256.clone()),
        DockerDraft::NoFile => None,
        DockerDraft::Unchanged => panic!("nothing is written"),
    };
    DockerTask::Replace { file: file.display().to_string(), sha256, draft_sha256, keeps_backup: true }
}

/// What a digest is of, by the tool of the system: not the product's own.
fn sha256(file: &Path) -> Option<String> {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap()[..64].to_owned())
}

/// One write: what is there before it and after it.
struct Write {
    edit: DockerEdit,
    before: Option<String>,
    after: Option<String>,
}

impl Write {
    fn set_up(&self, file: &Path) -> Option<String> {
        let _absent = fs::remove_file(file);
        if let Some(before) = &self.before {
            fs::write(file, before).unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(MODE)).unwrap();
        }
        sha256(file)
    }

    /// The file is the one before or the one after: which of the two.
    fn is_replaced(&self, file: &Path, when: &str) -> bool {
        let now = fs::read_to_string(file).ok();
        assert!(now == self.before || now == self.after, "{when}: {now:?}");
        if let (Some(_), Ok(status)) = (&self.before, fs::metadata(file)) {
            assert_eq!(status.mode() & 0o7777, MODE, "{when}");
        }
        if let Ok(backup) = fs::read_to_string(file.with_file_name("daemon.json.gpuhostd-backup")) {
            assert_eq!(Some(&backup), self.before.as_ref(), "{when}: the backup");
        }
        now == self.after
    }

    /// Kills the draft, then the replacement, before each call.
    fn interrupted(&self, file: &Path) {
        let (mut drafts, mut kept, mut replaced) = (0, 0, 0);
        for number in 0.. {
            let task = draft_of(file, self.edit.clone(), self.set_up(file));
            let killed = killed_before(&task, number);
            assert!(!self.is_replaced(file, &format!("draft killed before call {number}")));
            if !killed {
                break;
            }
            drafts += 1;
        }
        for number in 0.. {
            let before = self.set_up(file);
            // What the interrupted attempts have left is in its way.
            let draft = serde_json::from_slice(&answer(&draft_of(file, self.edit.clone(), before.clone()))).unwrap();
            let killed = killed_before(&replacement(file, before, &draft), number);
            let is_replaced = self.is_replaced(file, &format!("replacement killed before call {number}"));
            assert!(killed || is_replaced);
            *(if is_replaced { &mut replaced } else { &mut kept }) += 1;
            if !killed {
                break;
            }
        }
        println!("{drafts} drafts killed; of the replacements {kept} kept the file and {replaced} replaced it");
        assert!(drafts > 30 && kept > 30 && replaced > 3, "{drafts} {kept} {replaced}");
        let names = fs::read_dir(file.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
        let left =
            names.filter(|name| !["daemon.json", "daemon.json.gpuhostd-backup"].iter().any(|known| name == known));
        assert_eq!(left.count(), 0, "nothing is left over after a write that was not interrupted");
    }
}

pub(crate) fn killed_before_any_system_call_the_file_is_whole() {
    let put = |before: Option<&str>| match insert(before.map(str::as_bytes), &nvidia(), true) {
        Ok(Edited::Content(after)) => String::from_utf8(after).unwrap(),
        other => panic!("{other:?}"),
    };
    let emptied = "{\n    \"runtimes\": {   }\n}\n";
    for (edit, before, after) in [
        (DockerEdit::Put(nvidia()), Some(FILE.to_owned()), Some(put(Some(FILE)))),
        (DockerEdit::Put(nvidia()), None, Some(put(None))),
        (DockerEdit::Take(nvidia()), Some(put(None)), Some(emptied.to_owned())),
        (DockerEdit::Take(nvidia()), Some(emptied.to_owned()), None),
    ] {
        let folder = tempfile::tempdir().unwrap();
        Write { edit, before, after }.interrupted(&folder.path().join("daemon.json"));
    }
}

/// Also between the last check and the rename: draft and file change places, and change back.
pub(crate) fn what_an_administrator_saves_at_any_moment_is_not_lost() {
    const SAVED: &str = "{\"debug\": false, \"saved\": \"by hand\"}\n";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("daemon.json");
    let Ok(Edited::Content(after)) = insert(Some(FILE.as_bytes()), &nvidia(), true) else { panic!("no edit") };
    let ours = DockerEdit::Put(nvidia());
    for (edit, before) in [(ours, FILE), (DockerEdit::Take(nvidia()), std::str::from_utf8(&after).unwrap())] {
        for number in 0.. {
            fs::write(&file, before).unwrap();
            let sha256 = sha256(&file);
            let draft = serde_json::from_slice(&answer(&draft_of(&file, edit.clone(), sha256.clone()))).unwrap();
            if !happens_before(&replacement(&file, sha256, &draft), number, Event::Save(&file, SAVED)) {
                assert!(number > 30, "only {number} calls");
                break;
            }
            assert_eq!(fs::read_to_string(&file).unwrap(), SAVED, "saved before call {number}");
        }
    }
}

pub(crate) fn a_new_file_is_readable_and_goes_again() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, file) = (folder.path().join("docker"), folder.path().join("docker/daemon.json"));
    let write = |edit: DockerEdit| {
        let before = sha256(&file);
        let draft: DockerDraft = serde_json::from_slice(&answer(&draft_of(&file, edit, before.clone()))).unwrap();
        answer(&replacement(&file, before, &draft));
    };
    write(DockerEdit::Put(nvidia()));
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!((mode(&dir), mode(&file)), (0o755, 0o644));
    assert!(fs::read_to_string(&file).unwrap().contains("nvidia-container-runtime"));
    write(DockerEdit::Take(nvidia()));
    assert!(fs::read_to_string(&file).unwrap().contains("\"runtimes\": {   }"));
    let emptied = sha256(&file);
    write(DockerEdit::Take(nvidia()));
    assert!(!file.exists());
    // Docker would not start without a file that its arguments name: then an empty object stays.
    write(DockerEdit::Put(nvidia()));
    write(DockerEdit::Take(nvidia()));
    assert_eq!(sha256(&file), emptied);
    let task = DockerTask::Draft {
        file: file.display().to_string(),
        sha256: emptied.clone(),
        edit: DockerEdit::Take(nvidia()),
        reads_mark: true,
        is_required: true,
    };
    let draft = serde_json::from_slice(&answer(&task)).unwrap();
    answer(&replacement(&file, emptied, &draft));
    assert_eq!(fs::read_to_string(&file).unwrap(), "{}\n");
}
