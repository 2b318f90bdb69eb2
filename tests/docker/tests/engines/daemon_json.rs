//! Docker's configuration on real engines: what `GET /info` shows after each step, and that the file is the same one afterwards.

use acts::docker_config::DockerConfigFile;
use docker_engines::{Engine, Options, Release, releases, until};
use model::daemon_json::{RuntimeEntry, needs_cdi_feature};
use model::docker_config::{
    DockerConfigLook, DockerConfigSeen, DockerConfigStep, DockerRestart, EntrySeen, FeatureSeen,
};
use model::policy::NvidiaPolicy;
use model::ports::ActError;
use protocol::child::Task;
use protocol::docker_task::{DockerFound, DockerTask};
use spawn::Own;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn nvidia() -> RuntimeEntry {
    "nvidia=nvidia-container-runtime".parse().expect("an entry")
}

/// The disposable child of this build.
fn child() -> PathBuf {
    let own = std::env::current_exe().expect("this program");
    let path = own.parent().and_then(|deps| deps.parent()).expect("target/debug").join("gpuhostd-child");
    assert!(path.exists(), "{} is missing: cargo build --workspace", path.display());
    path
}

/// An engine, and what edits its configuration.
struct Edited {
    engine: Engine,
    config: DockerConfigFile,
    version: String,
    runtime: tokio::runtime::Runtime,
}

impl Edited {
    fn start(release: Release, options: Options) -> Self {
        let engine = Engine::start_with(release, options);
        let config = DockerConfigFile::new(Own::at(child()), engine.socket());
        let version = engine.docker(&["version", "--format", "{{.Server.Version}}"]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { engine, config, version, runtime }
    }

    fn look(&self) -> DockerConfigLook {
        self.runtime.block_on(self.config.look(&nvidia(), Some(&self.version))).expect("a look")
    }

    fn seen(&self) -> DockerConfigSeen {
        match self.look() {
            DockerConfigLook::File(seen) => seen,
            DockerConfigLook::Unusable(why) => panic!("{}: {why}", self.version),
        }
    }

    fn act(&self, step: &DockerConfigStep) -> Result<(), ActError> {
        self.runtime.block_on(self.config.act(step, Some(&self.version), &NvidiaPolicy::default()))
    }

    fn put(&self) -> Result<(), ActError> {
        self.act(&DockerConfigStep::PutRuntime { entry: nvidia(), sha256: self.seen().sha256 })
    }

    fn take(&self) {
        self.act(&DockerConfigStep::TakeRuntime { entry: nvidia(), sha256: self.seen().sha256 }).expect("it comes out");
    }

    fn reload(&self) {
        let before = self.reloads();
        self.act(&DockerConfigStep::Reload).expect("a reload");
        until("dockerd to have reloaded", || (self.reloads() > before).then_some(()));
    }

    /// How often dockerd has read its file again: each reload ends with this line of its log, in all releases.
    fn reloads(&self) -> usize {
        self.engine.log().matches("Reloaded configuration").count()
    }

    fn runtimes(&self) -> Vec<String> {
        let info = self.engine.info();
        info["Runtimes"].as_object().expect("runtimes").keys().cloned().collect()
    }

    fn knows_nvidia(&self) -> bool {
        self.runtimes().iter().any(|name| name == "nvidia")
    }
}

/// Files as administrators write them: without runtimes, with another one, with an empty object.
const FILES: [&str; 3] = [
    "{\r\n\t\"debug\": true,\r\n\t\"labels\": [\"a=<&>\"]\r\n}",
    "{\n  \"runtimes\": {\n    \"kata\": {\"path\": \"/opt/kata\"}\n  },\n  \"debug\": true\n}\n",
    "{\"runtimes\": {}}\n",
];

#[test]
#[ignore = "make test-docker runs it"]
fn docker_has_the_runtime_after_a_reload_and_not_after_it_is_removed() {
    for release in releases() {
        for file in FILES {
            let docker = Edited::start(release, Options { config: file.into(), ..Options::default() });
            let (path, pid) = (docker.engine.config(), docker.engine.pid());
            let default = docker.engine.info()["DefaultRuntime"].clone();
            assert_eq!((docker.seen().entry, docker.knows_nvidia()), (EntrySeen::Absent, false));
            docker.put().expect("it goes in");
            assert!(!docker.knows_nvidia(), "{release}: nothing is taken up before the reload");
            docker.reload();
            assert!(docker.knows_nvidia(), "{release}: {:?}", docker.runtimes());
            docker.put().expect("it is there already");
            docker.take();
            docker.reload();
            assert!(!docker.knows_nvidia(), "{release}: {:?}", docker.runtimes());
            docker.take();
            assert_eq!(fs::read_to_string(&path).expect("the file"), file, "{release}");
            docker.reload();
            assert!(!docker.knows_nvidia(), "{release}: {:?}", docker.runtimes());
            assert_eq!(docker.runtimes().contains(&"kata".to_owned()), file.contains("kata"), "{release}");
            assert_eq!((docker.engine.info()["DefaultRuntime"].clone(), docker.engine.pid()), (default, pid));
        }
    }
}

/// What makes the two writes necessary: if an engine ever forgets by itself, one is enough.
#[test]
#[ignore = "make test-docker runs it"]
fn docker_keeps_a_runtime_that_a_file_without_runtimes_does_not_name() {
    for release in releases() {
        let docker = Edited::start(release, Options::default());
        docker.put().expect("it goes in");
        docker.reload();
        fs::write(docker.engine.config(), "{}\n").expect("the file");
        docker.reload();
        assert!(docker.knows_nvidia(), "{release} forgets it: one write would be enough");
    }
}

#[test]
#[ignore = "make test-docker runs it"]
fn docker_starts_with_each_file_of_the_way_in_and_out() {
    for release in releases() {
        let mut docker = Edited::start(release, Options { config: FILES[0].into(), ..Options::default() });
        docker.put().expect("it goes in");
        docker.engine.kill();
        docker.engine.start_again();
        assert!(docker.knows_nvidia(), "{release}");
        docker.take();
        assert_eq!(docker.seen().entry, EntrySeen::Emptied);
        docker.engine.kill();
        docker.engine.start_again();
        assert!(!docker.knows_nvidia(), "{release}");
        // After a crash between the two writes, the second one is all that is left to do.
        docker.take();
        assert_eq!(fs::read_to_string(docker.engine.config()).expect("the file"), FILES[0]);
    }
}

#[test]
#[ignore = "make test-docker runs it"]
fn what_docker_would_not_start_with_is_not_written() {
    for release in releases() {
        let docker = Edited::start(release, Options::default());
        // An administrator has written something since that dockerd does not know. 20.10 cannot be asked, and would not start either way.
        let file = "{\"debug\": true, \"no-such-key\": 1}\n";
        fs::write(docker.engine.config(), file).expect("the file");
        let outcome = docker.put();
        if release == Release::V20_10 {
            outcome.expect("it has no --validate");
            continue;
        }
        let said = outcome.expect_err("it does not start with it").to_string();
        assert!(said.contains("no-such-key") && said.contains("not_validated"), "{release}: {said}");
        assert_eq!(fs::read_to_string(docker.engine.config()).expect("the file"), file);
        fs::write(docker.engine.config(), "{\"debug\": true}\n").expect("the file");
        docker.put().expect("it is right again");
    }
}

#[test]
#[ignore = "make test-docker runs it"]
fn runtimes_of_the_command_line_would_be_forgotten_and_so_the_file_is_left_alone() {
    for release in releases() {
        let arguments = vec!["--add-runtime=kata=/opt/kata".to_owned()];
        let docker = Edited::start(release, Options { arguments, ..Options::default() });
        let DockerConfigLook::Unusable(why) = docker.look() else { panic!("{release}: it would be edited") };
        assert_eq!(why.code(), "docker_runtime_flag");
        // The reason, as an administrator would meet it.
        assert!(docker.runtimes().contains(&"kata".to_owned()), "{release}");
        fs::write(docker.engine.config(), "{\"runtimes\": {\"a\": {\"path\": \"/a\"}}}\n").expect("the file");
        docker.engine.signal(nix::sys::signal::Signal::SIGHUP);
        until("the reload", || (docker.reloads() > 0).then_some(()));
        assert!(!docker.runtimes().contains(&"kata".to_owned()), "{release} keeps it: the rule is not needed");
    }
}

/// Why Docker is restarted for CDI where it is disabled, and that the piece comes out as it went in. An engine that is no service of systemd
/// is never restarted.
#[test]
#[ignore = "make test-docker runs it"]
fn cdi_is_taken_up_at_a_restart_alone_and_comes_out_as_it_went_in() {
    let mut tried = 0;
    for release in releases() {
        let mut docker = Edited::start(release, Options { config: FILES[0].into(), ..Options::default() });
        if !needs_cdi_feature(&docker.version) {
            continue;
        }
        tried += 1;
        let reads_cdi =
            |docker: &Edited| docker.engine.info()["CDISpecDirs"].as_array().is_some_and(|all| !all.is_empty());
        docker.put().expect("the runtime goes in");
        let with_runtime = fs::read_to_string(docker.engine.config()).expect("the file");
        let sha256 = |docker: &Edited| docker.seen().sha256.expect("a file");
        docker.act(&DockerConfigStep::PutCdi { sha256: sha256(&docker) }).expect("it goes in");
        assert_eq!(docker.seen().cdi, FeatureSeen::Enabled, "{release}");
        docker.reload();
        assert!(!reads_cdi(&docker), "{release} takes it up at a reload: no restart is needed");
        let pid = docker.engine.pid();
        let restart = DockerConfigStep::Restart { allowed: DockerRestart::Always };
        let said = docker.act(&restart).expect_err("it is no service").to_string();
        assert!(said.contains("service of systemd"), "{said}");
        assert_eq!((docker.engine.pid(), docker.engine.ping()), (pid, true), "{release}");
        let running = docker.runtime.block_on(docker.config.running_containers()).expect("an answer");
        assert_eq!((running.live_restore, running.others, running.is_driver_up), (Some(false), Some(0), false));
        docker.engine.kill();
        docker.engine.start_again();
        assert!(reads_cdi(&docker), "{release} does not take it up at a restart");
        docker.act(&DockerConfigStep::TakeCdi { sha256: sha256(&docker) }).expect("it comes out");
        assert_eq!(fs::read_to_string(docker.engine.config()).expect("the file"), with_runtime, "{release}");
        docker.take();
        docker.reload();
        docker.take();
        assert_eq!(fs::read_to_string(docker.engine.config()).expect("the file"), FILES[0], "{release}");
    }
    assert!(tried > 0, "no engine here has CDI disabled");
}

/// The hand's unit leaves uid 0 no capability, and dockerd has all of them: the kernel shows little of such a process.
#[test]
#[ignore = "make test-docker runs it"]
fn root_without_a_capability_finds_and_signals_a_docker_that_has_all() {
    let docker = Edited::start(Release::V20_10, Options::default());
    let bare = |program: &std::ffi::OsStr, args: Vec<std::ffi::OsString>| {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--no-new-privs", "--"]);
        command.arg(program).args(args).output().expect("setpriv of util-linux")
    };
    let pid = docker.engine.pid().to_string();
    let link = bare("readlink".as_ref(), vec![format!("/proc/{pid}/exe").into()]);
    assert!(!link.status.success(), "the kernel shows more than the hand relies on: {link:?}");
    let task = DockerTask::Look { pid: docker.engine.pid(), entry: nvidia(), reads_mark: false };
    let task = serde_json::to_string(&task).expect("JSON");
    let output = bare(child().as_os_str(), Task::DockerConfig.arguments([task.into()]));
    let found: DockerFound = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let DockerFound::Daemon(daemon) = found else { panic!("{found:?}") };
    assert_eq!(PathBuf::from(daemon.seen.file), docker.engine.config());
    let before = docker.reloads();
    assert!(bare("kill".as_ref(), vec!["-HUP".into(), pid.into()]).status.success());
    until("dockerd to have reloaded", || (docker.reloads() > before).then_some(()));
}
