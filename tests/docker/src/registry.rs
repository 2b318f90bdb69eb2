//! A registry on 127.0.0.1, where Docker takes plain HTTP: open, or with one user.

use crate::parts::tool;
use crate::{Engine, until};
use std::fs;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Who may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Users {
    /// Everybody.
    All,
    /// Only the user `gpu` with the password `secret-of-the-registry`.
    One,
}

/// `gpu:secret-of-the-registry` as `htpasswd -B` writes it.
const HTPASSWD: &str = "gpu:$2b$04$81nz2Ts6Gal3XilY1PpdCOebmxAar9i4HyAUDs0jlivmMXfDsdCoa\n";

/// A registry that answers; gone with the value.
pub struct Registry {
    process: Child,
    address: String,
    folder: TempDir,
}

impl Registry {
    /// Starts one and waits until it listens.
    ///
    /// # Panics
    /// Where it does not.
    #[must_use]
    pub fn start(users: Users) -> Self {
        let folder = TempDir::with_prefix("registry-").expect("a folder");
        let at = folder.path().display();
        let access = match users {
            Users::All => String::new(),
            Users::One => format!("auth:\n  htpasswd:\n    realm: gpuhostd\n    path: {at}/htpasswd\n"),
        };
        fs::write(folder.path().join("htpasswd"), HTPASSWD).expect("the users");
        let config = folder.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: {at}/data\n  delete:\n    \
             enabled: true\nhttp:\n  addr: 127.0.0.1:0\n{access}"
        );
        fs::write(&config, text).expect("its configuration");
        let log = fs::File::create(folder.path().join("log")).expect("a log");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(tool("usr/bin/docker-registry")).arg("serve").arg(config);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        // Its settings can be overwritten by variables of that name.
        command.env_clear().env("PATH", "/usr/bin:/bin");
        let process = command.spawn().expect("setpriv of util-linux");
        let mut registry = Self { process, address: String::new(), folder };
        registry.address = until("the registry to listen", || registry.listens_at());
        registry
    }

    fn listens_at(&mut self) -> Option<String> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        assert!(self.process.try_wait().expect("its status").is_none(), "the registry exited:\n{log}");
        let (_, after) = log.split_once("listening on 127.0.0.1:")?;
        let port: String = after.chars().take_while(char::is_ascii_digit).collect();
        Some(format!("127.0.0.1:{port}"))
    }

    /// Its address with the port, as it begins the name of an image.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Pushes an image of the engine into a repository here: `ADDRESS/REPOSITORY@sha256:…`. The engine forgets it by that name.
    ///
    /// # Panics
    /// Where it cannot be pushed.
    pub fn push(&self, engine: &Engine, image: &str, repository_and_tag: &str) -> String {
        let name = format!("{}/{repository_and_tag}", self.address);
        engine.docker(&["tag", image, &name]);
        engine.docker(&["push", "--quiet", &name]);
        let digests = engine.docker(&["image", "inspect", "--format", "{{json .RepoDigests}}", &name]);
        let digests: Vec<String> = serde_json::from_str(&digests).expect("a list");
        let digest =
            digests.into_iter().find(|digest| digest.starts_with(&self.address)).expect("the digest in this registry");
        engine.docker(&["rmi", &name]);
        digest
    }

    /// Forgets all that was pushed.
    ///
    /// # Panics
    /// Where its files cannot be removed.
    pub fn forget_all(&self) {
        fs::remove_dir_all(self.folder.path().join("data")).expect("its data");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}
