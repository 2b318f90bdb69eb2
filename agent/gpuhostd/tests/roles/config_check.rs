//! `gpuhostd config check`, which `gpuhostctl config check` and the reload of the unit run.

use crate::run;
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use tempfile::TempDir;

struct Files(TempDir);

impl Files {
    /// A folder that every user may enter, since the service's user may have to.
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        set_permissions(files.0.path(), Permissions::from_mode(0o755)).unwrap();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        set_permissions(self.path(name), Permissions::from_mode(0o644)).unwrap();
        self.path(name).display().to_string()
    }

    /// What is said of a file with this text, a line each.
    fn faults(&self, text: &str) -> Vec<String> {
        let file = self.write("config.toml", text);
        let state = self.path("state").display().to_string();
        let (status, out, err) = run(&["config", "check", "--state", &state, &file]);
        assert_eq!((status, out.as_str()), (2, ""), "{err}");
        err.lines().map(|line| line.strip_prefix(self.0.path().to_str().unwrap()).unwrap_or(line).to_owned()).collect()
    }
}

#[test]
fn files_are_laid_over_each_other() {
    let files = Files::new();
    let base = files.write("config.toml", "[agent]\nsample_interval_s = 60\n");
    let over = files.write("10-site.toml", "[agent]\nsample_interval_s = 90\n");
    let (status, out, err) = run(&["config", "check", &base, &over]);
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(out, format!("read {base}\nread {over}\nthe configuration is valid\n"));
    let (status, out, _) = run(&["config", "check", "--json", "--", &base, &over]);
    let settings: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, &settings["agent"]["sample_interval_s"]), (0, &90.into()));
}

#[test]
fn all_that_is_wrong_is_named_at_once_with_file_line_column_and_field() {
    let files = Files::new();
    let text =
        "[agent]\nsampel_interval_s = 60\nlog_level = 'verbose'\n[manager]\nurls = ['http://x']\npublic_port = 0\n";
    let faults = files.faults(text);
    assert_eq!(faults.len(), 4, "{faults:?}");
    assert_eq!(faults[0], "/config.toml:2:1: agent.sampel_interval_s is not known; did you mean sample_interval_s?");
    assert!(
        faults[1].starts_with("/config.toml:3:13: agent.log_level is \"verbose\": expected one of off, error, warn")
    );
    assert!(faults[2].starts_with("/config.toml:5:9: manager.urls has \"http://x\": expected https://host"));
    assert!(faults[3].starts_with("/config.toml:6:15: manager.public_port is 0: expected a whole number from 1"));
}

#[test]
fn no_message_has_a_word_of_the_programming_language_or_a_secret() {
    let files = Files::new();
    let text = "[agent]\nsample_interval_s = 'x'\n[manager]\nurls = ['https://joe:hunter2@a', 3]\npin_sha256 = 3\n\
                public_port = 3.5\nserver_id = 'x'\nenrolment_token_file = 'tok3n'\n[nvidia]\nsmi_paths = 'a'\n\
                [gpu.x]\nfeatures_off = {}\n[metrics]\nsocket = []\n";
    let faults = files.faults(text).join("\n");
    for word in
        ["u64", "i64", "u16", "sequence", "variant", "struct", "None", "Some(", "map", "unit", "hunter2", "tok3n"]
    {
        let found = faults.replace("\"None\"", "").contains(word);
        assert!(!found, "{word}: {faults}");
    }
    for text in [
        "[manager]\nurls = 'https://joe:hunter2@a'\n",
        "[manager]\nurls = ['https://joe:hunter2@a'\n",
        "[manager]\n'https://joe:hunter2@a' = 1\n",
        "['https://joe:hunter2@a']\nx = 1\n",
        "[gpu.'https://joe:hunter2@a']\nx = 1\n",
        "[manager]\nurls = ['https://a?token=hunter2', 'joe:hunter2@a', 'https://joe:hunter2%40a']\n",
        "[agent]\nlog_level = 'https://joe:hunter2@a'\n[metrics]\nsocket = 'https://joe:hunter2@a'\n",
    ] {
        let faults = files.faults(text).join("\n");
        assert!(!faults.contains("hunter2"), "{text}: {faults}");
    }
    let syntax = files.faults("[manager]\nshared_token = \"hunter2\n").join("\n");
    assert!(syntax.contains("config.toml:2:") && !syntax.contains("hunter2"), "{syntax}");
}

#[test]
fn files_that_the_service_cannot_use_are_named_where_they_are_set() {
    let files = Files::new();
    let path = |name: &str| files.path(name).display().to_string();
    std::fs::create_dir(files.path("state")).unwrap();
    let manager = |field: &str, file: &str| format!("[manager]\n{field} = '{file}'\n");
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = rcgen::CertificateParams::new(["m.example".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
    nix::unistd::mkfifo(&files.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    symlink("/dev/null", files.path("null.prom")).unwrap();
    for (text, words) in [
        (
            manager("ca_file", &path("none.pem")),
            "2:11: manager.ca_file cannot be used: ".to_owned() + &path("none.pem"),
        ),
        (manager("ca_file", &path("pipe")), "is a named pipe".to_owned()),
        (manager("ca_file", &files.write("text.pem", "x")), "it has no certificate".to_owned()),
        (manager("enrolment_token_file", &path("none")), "manager.enrolment_token_file cannot be used".to_owned()),
        (manager("shared_token_file", &files.write("empty", "\n")), "it is empty".to_owned()),
        (
            format!("[metrics]\ntextfile = '{}'\n", path("none/x.prom")),
            "2:12: metrics.textfile cannot be used".to_owned(),
        ),
        (format!("[metrics]\ntextfile = '{}'\n", path("null.prom")), "is a link, and is not replaced".to_owned()),
        (
            format!("[metrics]\njob_mapping = '{}'\n", path("text.pem")),
            "is a regular file, and is not replaced".to_owned(),
        ),
        (format!("[metrics]\nsocket = '{}'\n", path("text.pem")), "is a regular file, and is not replaced".to_owned()),
    ] {
        let faults = files.faults(&text);
        assert!(
            faults.len() == 1 && faults[0].contains(words.trim_start_matches(files.0.path().to_str().unwrap())),
            "{text}: {faults:?}"
        );
    }
    // What the host is enrolled with already needs no token any more.
    std::fs::create_dir(files.path("state/identity")).unwrap();
    files.write("state/identity/identity.json", "{}");
    let ca = files.write("ca.pem", &pem);
    let text = format!("{}enrolment_token_file = '{}'\n", manager("ca_file", &ca), path("none"));
    let file = files.write("config.toml", &text);
    let (status, out, err) = run(&["config", "check", "--state", &path("state"), &file]);
    assert_eq!(status, 0, "{err}");
    assert!(
        out.contains("does not exist, but this host is already enrolled") && out.contains("the configuration is valid")
    );
}

#[test]
fn what_is_no_plain_file_is_named_and_not_waited_for() {
    let files = Files::new();
    nix::unistd::mkfifo(&files.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::fs::File::create(files.path("huge")).unwrap().set_len(1 << 40).unwrap();
    for (path, what) in [
        (files.path("pipe").display().to_string(), "is a named pipe"),
        ("/dev/zero".to_owned(), "is a device"),
        (files.path("huge").display().to_string(), "is larger than 262144 bytes"),
        (files.path("none").display().to_string(), "does not exist"),
        ("/".to_owned(), "is a directory"),
    ] {
        let (status, out, err) = run(&["config", "check", &path]);
        assert_eq!((status, out.as_str()), (2, ""), "{err}");
        assert!(err.starts_with(&format!("{path}: {what}")), "{err}");
    }
}
