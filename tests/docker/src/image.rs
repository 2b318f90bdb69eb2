//! Images made here: a static busybox, a few files, and what the image has configured; no registry is needed for them.

use crate::Engine;
use crate::engine::busybox;
use std::io::Write;
use std::process::Stdio;

/// The commands of busybox that scripts in the images use.
const COMMANDS: [&str; 27] = [
    "cat", "chmod", "cp", "dd", "echo", "env", "false", "grep", "kill", "ln", "ls", "mkdir", "mknod", "mount", "mv",
    "printf", "rm", "sed", "sh", "sleep", "sort", "stat", "test", "touch", "true", "umount", "uname",
];

/// The contents of an image.
#[derive(Debug, Clone, Default)]
pub struct Image {
    files: Vec<(String, Vec<u8>, u32)>,
    changes: Vec<String>,
}

impl Image {
    /// A root with busybox, and nothing configured but its `PATH`.
    #[must_use]
    pub fn new() -> Self {
        Self { files: Vec::new(), changes: vec!["ENV PATH=/usr/local/bin:/usr/bin:/bin".to_owned()] }
    }

    /// With one more file.
    #[must_use]
    pub fn file(mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.trim_start_matches('/').to_owned(), bytes.into(), mode));
        self
    }

    /// With one more line of a Dockerfile (`ENTRYPOINT […]`, `ENV A=b`, `LABEL a=b`).
    #[must_use]
    pub fn with(mut self, line: &str) -> Self {
        self.changes.push(line.to_owned());
        self
    }

    /// With so many bytes that cannot be compressed, so that a pull takes its time. Other seeds are other bytes.
    #[must_use]
    pub fn ballast(self, bytes: usize, seed: u64) -> Self {
        let mut state = seed | 1;
        let noise = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        let noise: Vec<u8> = noise.flatten().take(bytes).collect();
        self.file("ballast", 0o644, noise)
    }

    /// Gives it to an engine under a name with a tag: the id of the image.
    ///
    /// # Panics
    /// Where the engine does not take it.
    pub fn import(&self, engine: &Engine, name: &str) -> String {
        let mut arguments = vec!["import"];
        for line in &self.changes {
            arguments.extend(["--change", line]);
        }
        arguments.extend(["-", name]);
        let mut command = engine.command(&arguments);
        let mut docker =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("docker");
        let archive = self.archive();
        let mut input = docker.stdin.take().expect("its input");
        // Where it refuses, its words are better than those of the pipe.
        let _written = input.write_all(&archive);
        drop(input);
        let output = docker.wait_with_output().expect("docker");
        assert!(output.status.success(), "docker import {name}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn archive(&self) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for folder in ["bin", "dev", "etc", "proc", "run", "sys", "tmp", "usr/bin", "usr/local/bin"] {
            append(&mut archive, tar::EntryType::Directory, folder, 0o755, &[]);
        }
        let bytes = std::fs::read(busybox()).expect("busybox");
        append(&mut archive, tar::EntryType::Regular, "bin/busybox", 0o755, &bytes);
        for command in COMMANDS {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            archive.append_link(&mut header, format!("bin/{command}"), "busybox").expect("an archive in memory");
        }
        for (path, bytes, mode) in &self.files {
            append(&mut archive, tar::EntryType::Regular, path, *mode, bytes);
        }
        archive.into_inner().expect("an archive in memory")
    }
}

fn append(archive: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType, path: &str, mode: u32, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(u64::try_from(bytes.len()).expect("a length"));
    archive.append_data(&mut header, path, bytes).expect("an archive in memory");
}
