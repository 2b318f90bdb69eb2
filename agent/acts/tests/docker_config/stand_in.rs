//! A stand-in of dockerd: a process of its name with its arguments, which answers at a socket, counts its reloads and judges drafts.

use acts::docker_config::DockerConfigFile;
use spawn::Own;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

/// What is in its folder beside the configuration.
pub(crate) const FILES: [&str; 4] = ["dockerd", "docker.sock", "refuses", "judged"];

/// A process that runs until it is dropped.
pub(crate) struct StandIn {
    folder: TempDir,
    process: Child,
    lines: std::cell::RefCell<BufReader<std::process::ChildStdout>>,
}

/// This program as the disposable child.
pub(crate) fn child() -> Own {
    Own::at(std::env::current_exe().unwrap())
}

impl StandIn {
    /// Starts it, and waits until it listens.
    pub(crate) fn start(folder: TempDir, args: &[&str]) -> Self {
        let program = folder.path().join("dockerd");
        // A copy made by a process of its own: one that we write ourselves could still be open in a child of ours.
        let own = std::env::current_exe().unwrap();
        assert!(Command::new("install").args(["-m", "755"]).arg(&own).arg(&program).status().unwrap().success());
        let mut process = Command::new(&program).args(args).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert_eq!(line, "listens\n");
        Self { folder, process, lines: lines.into() }
    }

    pub(crate) fn config(&self) -> DockerConfigFile {
        DockerConfigFile::new(child(), self.folder.path().join("docker.sock"))
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// From now on it judges every draft with these words.
    pub(crate) fn refuse_drafts(&self, words: &str) {
        fs::write(self.folder.path().join("refuses"), words).unwrap();
    }

    /// The arguments of its last judgement, one a line.
    pub(crate) fn judged(&self) -> String {
        fs::read_to_string(self.folder.path().join("judged")).unwrap()
    }

    /// Waits until it has been reloaded so many times.
    pub(crate) fn wait_for_reloads(&self, reloads: u32) {
        let mut line = String::new();
        self.lines.borrow_mut().read_line(&mut line).unwrap();
        assert_eq!(line, format!("reloaded {reloads}\n"));
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// This program as dockerd.
pub(crate) fn as_dockerd(args: &[OsString]) -> ExitCode {
    let folder = std::env::args_os().next().map(|program| Path::new(&program).parent().unwrap().to_owned()).unwrap();
    if args.first().is_some_and(|first| first == "--validate") {
        let words: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
        fs::write(folder.join("judged"), words.join("\n")).unwrap();
        assert!(fs::read(&words[2]).is_ok(), "the draft cannot be read");
        let Ok(refuses) = fs::read_to_string(folder.join("refuses")) else { return ExitCode::SUCCESS };
        eprintln!("unable to configure the Docker daemon with file {}: {refuses}", words[2]);
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut reloads = signal(SignalKind::hangup()).unwrap();
        let _listener = UnixListener::bind(folder.join("docker.sock")).unwrap();
        println!("listens");
        for count in 1_u32.. {
            reloads.recv().await;
            println!("reloaded {count}");
        }
    });
    ExitCode::SUCCESS
}
