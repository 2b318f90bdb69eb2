//! Docker's configuration, found and edited by a real child for a stand-in of dockerd: what is on the disk afterwards, whatever is there
//! before, and also where the child is killed before any of its system calls.
//!
//! This program is its own child and its own dockerd, so it has no test harness. The real engines have a package of tests of their own.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that cannot be set up has failed"
)]

mod interrupted;
mod stand_in;

use acts::docker_config::DockerConfigFile;
use model::daemon_json::{Edited, RuntimeEntry, insert};
use model::docker_config::{DockerConfigLook, DockerConfigSeen, DockerConfigStep, EntrySeen};
use model::policy::NvidiaPolicy;
use model::ports::ActError;
use nix::sys::stat::{Mode, umask};
use nix::unistd::mkfifo;
use protocol::child::VERSION;
use rustix::fs::{XattrFlags, getxattr, setxattr};
use stand_in::StandIn;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const NEWER: Option<&str> = Some("26.1.5");
const OLD: Option<&str> = Some("20.10.24");
const FILE: &str = "{\r\n\t\"debug\": true,\r\n\t\"labels\": [\"a=<&>\"]\r\n}";

type Test = fn();
type SetUp<'a> = Box<dyn Fn() + 'a>;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    if args.first().is_some_and(|program| Path::new(program).ends_with("dockerd")) {
        return stand_in::as_dockerd(&args[1..]);
    }
    if args.get(1).is_some_and(|first| first == VERSION) {
        return gpuhostd_child::run(&args[1..]);
    }
    let tests: [(&str, Test); 12] = [
        ("a_policy_that_forbids_it_is_obeyed", a_policy_that_forbids_it_is_obeyed),
        ("a_runtime_goes_in_and_out_and_the_file_is_as_before", a_runtime_goes_in_and_out_and_the_file_is_as_before),
        ("owner_mode_attributes_and_link_stay", owner_mode_attributes_and_link_stay),
        ("what_is_not_a_regular_file_is_left_alone", what_is_not_a_regular_file_is_left_alone),
        ("a_file_that_cannot_be_edited_stays_as_it_is", a_file_that_cannot_be_edited_stays_as_it_is),
        ("a_file_that_has_changed_meanwhile_stays_as_it_is", a_file_that_has_changed_meanwhile_stays_as_it_is),
        ("what_docker_would_not_start_with_is_not_written", what_docker_would_not_start_with_is_not_written),
        ("a_reload_reaches_the_process_that_answers", a_reload_reaches_the_process_that_answers),
        ("a_docker_that_cannot_be_edited_is_named", a_docker_that_cannot_be_edited_is_named),
        ("a_new_file_is_readable_and_goes_again", interrupted::a_new_file_is_readable_and_goes_again),
        (
            "what_an_administrator_saves_at_any_moment_is_not_lost",
            interrupted::what_an_administrator_saves_at_any_moment_is_not_lost,
        ),
        (
            "killed_before_any_system_call_the_file_is_whole",
            interrupted::killed_before_any_system_call_the_file_is_whole,
        ),
    ];
    // As the units have it; a test that depends on the caller's mask would see another mode.
    umask(Mode::from_bits_truncate(0o077));
    let wanted = args.get(1).filter(|word| !word.to_string_lossy().starts_with('-'));
    for (name, test) in
        tests.into_iter().filter(|(name, _)| wanted.is_none_or(|wanted| name.contains(&*wanted.to_string_lossy())))
    {
        test();
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

fn nvidia() -> RuntimeEntry {
    "nvidia=nvidia-container-runtime".parse().unwrap()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A stand-in that was started with the file of this name in its folder.
fn docker() -> (StandIn, DockerConfigFile, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("daemon.json");
    fs::write(&file, FILE).unwrap();
    let docker = StandIn::start(folder, &["--config-file", file.to_str().unwrap(), "--label", "x=y"]);
    let config = docker.config();
    (docker, config, file)
}

fn seen(config: &DockerConfigFile) -> DockerConfigSeen {
    match block_on(config.look(&nvidia(), NEWER)).unwrap() {
        DockerConfigLook::File(seen) => seen,
        DockerConfigLook::Unusable(why) => panic!("{why}"),
    }
}

fn act(config: &DockerConfigFile, step: &DockerConfigStep, version: Option<&str>) -> Result<(), ActError> {
    block_on(config.act(step, version, &NvidiaPolicy::default()))
}

fn put(config: &DockerConfigFile, version: Option<&str>) -> Result<(), ActError> {
    let step = DockerConfigStep::PutRuntime { entry: nvidia(), sha256: seen(config).sha256 };
    act(config, &step, version)
}

fn take(config: &DockerConfigFile) -> Result<(), ActError> {
    let step = DockerConfigStep::TakeRuntime { entry: nvidia(), sha256: seen(config).sha256 };
    act(config, &step, NEWER)
}

/// All names in a folder but the socket, the program and what the stand-in writes.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.filter(|name| !stand_in::FILES.contains(&name.as_str())).collect();
    names.sort_unstable();
    names
}

fn a_runtime_goes_in_and_out_and_the_file_is_as_before() {
    for version in [OLD, NEWER] {
        let (docker, config, file) = docker();
        assert_eq!(seen(&config).entry, EntrySeen::Absent);
        put(&config, version).unwrap();
        let Ok(Edited::Content(expected)) = insert(Some(FILE.as_bytes()), &nvidia(), true) else { panic!("no edit") };
        assert_eq!(fs::read(&file).unwrap(), expected);
        assert_eq!(seen(&config).entry, EntrySeen::AsWanted);
        let inode = fs::metadata(&file).unwrap().ino();
        put(&config, version).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().ino(), inode, "what is right already is not written");
        take(&config).unwrap();
        let between = fs::read_to_string(&file).unwrap();
        assert!(between.contains("\"runtimes\": {  }"), "{between}");
        assert_eq!(seen(&config).entry, EntrySeen::Emptied);
        take(&config).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), FILE);
        assert_eq!(seen(&config).entry, EntrySeen::Absent);
        take(&config).unwrap();
        assert_eq!(names(docker.folder()), ["daemon.json", "daemon.json.gpuhostd-backup"]);
        assert_eq!(fs::read_to_string(file.with_extension("json.gpuhostd-backup")).unwrap(), FILE);
    }
}

fn owner_mode_attributes_and_link_stay() {
    let (docker, config, file) = docker();
    let elsewhere = docker.folder().join("etc");
    fs::create_dir(&elsewhere).unwrap();
    let target = elsewhere.join("docker.json");
    fs::rename(&file, &target).unwrap();
    symlink("etc/docker.json", &file).unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    // Where the caller may: another owner, and an attribute that the file system keeps.
    let chowned = std::os::unix::fs::chown(&target, Some(12), Some(34)).is_ok();
    let marked = setxattr(&target, "user.origin", b"ansible", XattrFlags::empty()).is_ok();
    put(&config, NEWER).unwrap();
    let seen_then = seen(&config);
    assert_eq!(
        (seen_then.file.as_str(), seen_then.real_file.as_str()),
        (file.to_str().unwrap(), target.to_str().unwrap())
    );
    assert_eq!(fs::read_link(&file).unwrap(), Path::new("etc/docker.json"));
    let check = |path: &Path| {
        let status = fs::metadata(path).unwrap();
        assert_eq!(status.mode() & 0o7777, 0o640);
        assert!(!chowned || (status.uid(), status.gid()) == (12, 34));
        let mut value = [0_u8; 16];
        assert!(
            !marked || getxattr(path, "user.origin", &mut value).is_ok_and(|length| &value[..length] == b"ansible")
        );
    };
    check(&target);
    check(&elsewhere.join("docker.json.gpuhostd-backup"));
    take(&config).unwrap();
    take(&config).unwrap();
    check(&target);
    assert_eq!(fs::read_to_string(&target).unwrap(), FILE);
}

fn what_is_not_a_regular_file_is_left_alone() {
    let (docker, config, file) = docker();
    let beside = docker.folder().join("beside");
    let set_up: [(&str, SetUp<'_>); 6] = [
        ("not_a_file", Box::new(|| mkfifo(&file, Mode::S_IRUSR).unwrap())),
        ("not_a_file", Box::new(|| fs::create_dir(&file).unwrap())),
        ("not_a_file", Box::new(|| drop(std::os::unix::net::UnixListener::bind(&file).unwrap()))),
        ("unreadable", Box::new(|| symlink(&beside, &file).unwrap())),
        ("not_a_file", Box::new(|| symlink("/dev/zero", &file).unwrap())),
        ("unreadable", Box::new(|| symlink(&file, &file).unwrap())),
    ];
    fs::remove_file(&file).unwrap();
    for (code, make) in set_up {
        make();
        let before = fs::symlink_metadata(&file).unwrap();
        let EntrySeen::Refused(refused) = seen(&config).entry else { panic!("{code}: it is not refused") };
        assert_eq!(refused.code(), code, "{refused}");
        for refused in [put(&config, NEWER), take(&config)] {
            let said = refused.unwrap_err().to_string();
            assert!(said.contains("daemon.json") || said.contains("beside") || said.contains("/dev/zero"), "{said}");
        }
        let after = fs::symlink_metadata(&file).unwrap();
        assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()), "{code}");
        assert_eq!(names(docker.folder()), ["daemon.json"], "{code}");
        let _ = fs::remove_file(&file).or_else(|_| fs::remove_dir(&file));
    }
    // Docker was started with it: without it, it does not start again.
    let DockerConfigLook::Unusable(why) = block_on(config.look(&nvidia(), NEWER)).unwrap() else {
        panic!("it is gone")
    };
    assert_eq!(why.code(), "docker_config_gone");
}

fn a_file_that_cannot_be_edited_stays_as_it_is() {
    let (docker, config, file) = docker();
    for (text, code) in [
        ("", "empty_file"),
        ("{} // x", "invalid_json"),
        ("{\"runtimes\": []}", "wrong_type"),
        ("{\"runtimes\": {\"nvidia\": {\"path\": \"/usr/bin/nvidia-container-runtime\"}}}", "runtime_exists"),
    ] {
        fs::write(&file, text).unwrap();
        let inode = fs::metadata(&file).unwrap().ino();
        let EntrySeen::Refused(refused) = seen(&config).entry else { panic!("{text}: it is not refused") };
        assert_eq!(refused.code(), code);
        for refused in [put(&config, NEWER), take(&config)] {
            let said = refused.unwrap_err().to_string();
            assert!(said.contains(&format!("({code})")) && said.contains("daemon.json"), "{said}");
        }
        assert_eq!((fs::read_to_string(&file).unwrap().as_str(), fs::metadata(&file).unwrap().ino()), (text, inode));
        assert_eq!(names(docker.folder()), ["daemon.json"]);
    }
    fs::write(&file, "\u{feff}{}").unwrap();
    assert!(put(&config, OLD).unwrap_err().to_string().contains("(bom)"));
    put(&config, NEWER).unwrap();
}

fn a_file_that_has_changed_meanwhile_stays_as_it_is() {
    let (docker, config, file) = docker();
    let old = seen(&config).sha256;
    fs::write(&file, "{\"debug\": false}").unwrap();
    for step in [
        DockerConfigStep::PutRuntime { entry: nvidia(), sha256: old.clone() },
        DockerConfigStep::TakeRuntime { entry: nvidia(), sha256: old },
        DockerConfigStep::PutRuntime { entry: nvidia(), sha256: None },
    ] {
        let said = act(&config, &step, NEWER).unwrap_err().to_string();
        assert!(said.contains("changed_meanwhile"), "{said}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "{\"debug\": false}");
    assert_eq!(names(docker.folder()), ["daemon.json"]);
}

fn what_docker_would_not_start_with_is_not_written() {
    let (docker, config, file) = docker();
    docker.refuse_drafts("the following directives are specified both as a flag and in the configuration file: labels");
    let said = put(&config, NEWER).unwrap_err().to_string();
    assert!(said.contains("both as a flag") && said.contains("not_validated"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), FILE);
    assert_eq!(names(docker.folder()), ["daemon.json"]);
    assert!(docker.judged().contains("--label\nx=y"), "its own arguments: {}", docker.judged());
    // 20.10 has no such check, and an engine of no known version does not answer.
    assert!(put(&config, None).is_err());
    put(&config, OLD).unwrap();
}

fn a_reload_reaches_the_process_that_answers() {
    let (docker, config, _) = docker();
    for reloads in 1..=3 {
        // What a write that was killed has left.
        for left in [".daemon.json.gpuhostd-new", ".daemon.json.gpuhostd-next"] {
            fs::write(docker.folder().join(left), "{").unwrap();
        }
        act(&config, &DockerConfigStep::Reload, NEWER).unwrap();
        docker.wait_for_reloads(reloads);
        assert_eq!(names(docker.folder()), ["daemon.json"]);
    }
    drop(docker);
    let said = act(&config, &DockerConfigStep::Reload, NEWER).unwrap_err().to_string();
    assert!(said.contains("docker_not_running"), "{said}");
}

fn a_policy_that_forbids_it_is_obeyed() {
    let (docker, config, file) = docker();
    let (sha256, entry) = (seen(&config).sha256, nvidia());
    let forbids = NvidiaPolicy { docker_config: false, ..NvidiaPolicy::default() };
    for step in [
        DockerConfigStep::PutRuntime { entry: entry.clone(), sha256: sha256.clone() },
        DockerConfigStep::TakeRuntime { entry, sha256 },
        DockerConfigStep::Reload,
    ] {
        let said = block_on(config.act(&step, NEWER, &forbids)).unwrap_err().to_string();
        assert!(said.contains("host.nvidia.docker_config"), "{said}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), FILE);
    assert_eq!(names(docker.folder()), ["daemon.json"]);
}

fn a_docker_that_cannot_be_edited_is_named() {
    let code = |args: &[&str]| {
        let docker = StandIn::start(tempfile::tempdir().unwrap(), args);
        match block_on(docker.config().look(&nvidia(), NEWER)).unwrap() {
            DockerConfigLook::Unusable(why) => why.code(),
            DockerConfigLook::File(seen) => panic!("{seen:?}"),
        }
    };
    assert_eq!(code(&["--config-file", "daemon.json"]), "docker_config_relative");
    assert_eq!(code(&["--config-file=/nonexistent/daemon.json"]), "docker_config_gone");
    assert_eq!(code(&["--add-runtime", "kata=/opt/kata"]), "docker_runtime_flag");
    // This program itself listens: it is no dockerd.
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let config = DockerConfigFile::new(stand_in::child(), &socket);
    let DockerConfigLook::Unusable(why) = block_on(config.look(&nvidia(), NEWER)).unwrap() else { panic!("no Docker") };
    assert_eq!(why.code(), "not_docker");
}
