//! The commands that need no daemon.

use crate::run::{Ran, finish, program};

fn run(args: &[&str], input: &[u8]) -> Ran {
    let mut command = program("unix:path=/nonexistent");
    command.args(args);
    finish(command, input)
}

const DOCUMENT: &str = r#"<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log>
  <driver_version>550.163.01</driver_version>
  <cuda_version>12.4</cuda_version>
  <attached_gpus>1</attached_gpus>
  <gpu id="00000000:41:00.0">
    <product_name>NVIDIA L4</product_name>
    <uuid>GPU-5d0e1f4a-2c33-0b1e-8a4e-1f0d9c6b7a88</uuid>
    <temperature><gpu_temp>41 C</gpu_temp></temperature>
    <fan_speed>N/A</fan_speed>
  </gpu>
</nvidia_smi_log>
"#;

#[test]
fn parse_smi_reads_a_file_and_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("l4.xml");
    std::fs::write(&file, DOCUMENT).unwrap();
    let from_file = run(&["debug", "parse-smi", file.to_str().unwrap()], b"");
    let from_input = run(&["debug", "parse-smi", "-"], DOCUMENT.as_bytes());
    assert_eq!(from_file.status, 0, "{from_file:?}");
    assert_eq!(from_file.out, from_input.out);
    let document: serde_json::Value = serde_json::from_str(&from_file.out).unwrap();
    assert_eq!(document["driver_version"], "550.163.01");
    let text = document["gpus"][0]["inventory"].to_string();
    assert!(text.contains("NVIDIA L4") && text.contains("0000:41:00.0"), "{text}");
    assert_eq!(document["gpus"].as_array().unwrap().len(), 1);
}

#[test]
fn what_is_no_document_is_refused_by_its_name() {
    for (input, what) in [
        (&b"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."[..], "text"),
        (&DOCUMENT.as_bytes()[..200], "cut off"),
        (b"", "empty"),
        (b"\x7fELF\0\0", "binary"),
    ] {
        let ran = run(&["debug", "parse-smi", "-"], input);
        assert_eq!(ran.status, 2, "{what}: {ran:?}");
        assert!(ran.err.starts_with("gpuhostctl: standard input: ") && ran.out.is_empty(), "{what}: {ran:?}");
    }
    let missing = run(&["debug", "parse-smi", "/nonexistent.xml"], b"");
    assert!(missing.status == 1 && missing.err.contains("/nonexistent.xml"), "{missing:?}");
}

#[test]
fn each_command_has_a_manual_page_and_each_page_that_one_leads_to_exists() {
    let list = run(&["man", "--list"], b"").out;
    let commands: Vec<&str> = list.lines().collect();
    assert!(commands.len() > 50 && commands.contains(&"mig apply") && !commands.contains(&"man"), "{commands:?}");
    assert_eq!(run(&["man", "no-such"], b"").status, 2);
    let there: Vec<String> = commands.iter().map(|one| format!("gpuhostctl-{}(1)", one.replace(' ', "-"))).collect();
    for command in commands.iter().map(|one| one.split(' ').collect()).chain([Vec::new()]) {
        let page = run(&[&["man", "--"][..], &command].concat(), b"");
        let title = format!(".TH {} 1", [&["gpuhostctl"][..], &command].concat().join("-"));
        assert!(page.status == 0 && page.out.contains(&title), "{command:?}: {page:?}");
        let plain = page.out.replace('\\', "");
        for named in plain.split_whitespace().filter(|word| word.starts_with("gpuhostctl-") && word.ends_with("(1)")) {
            assert!(there.contains(&named.to_owned()), "the page of {command:?} leads to {named}");
        }
    }
    for file in ["config", "policy"] {
        let page = run(&["man", "--of-file", file], b"");
        let mut man = std::process::Command::new("man");
        man.args(["--warnings", "--encoding=UTF-8", "-P", "cat", "-l", "-"])
            .env("MANWIDTH", "100")
            .env("LC_ALL", "C.UTF-8");
        let shown = crate::run::finish(man, page.out.as_bytes());
        assert!(shown.status == 0 && shown.err.is_empty() && shown.out.contains("SEE ALSO"), "{file}: {}", shown.err);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_fault_and_a_full_disk_is_one() {
    for args in [&["completions", "bash"][..], &["--help"], &["--version"], &["policy", "show", "--file", "/dev/null"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let outputs: [(std::process::Stdio, i32); 2] = [(writer.into(), 0), (full.into(), 1)];
        for (output, status) in outputs {
            let mut command = program("unix:path=/nonexistent");
            let ended = command.args(args).stdout(output).stderr(std::process::Stdio::piped()).output().unwrap();
            let said = String::from_utf8_lossy(&ended.stderr);
            assert_eq!((ended.status.code(), said.contains("panicked")), (Some(status), false), "{args:?}: {said}");
        }
    }
}

#[test]
fn a_file_that_is_named_is_a_plain_one_or_what_the_shell_pipes_in() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let pipe = pipe.to_str().unwrap();
    for (path, what) in [(pipe, "a named pipe"), ("/dev/zero", "a device"), ("/", "a directory")] {
        let enrol = ["enroll", "https://m.example", "--token-file"];
        for args in [
            &["policy", "show", "--file", path][..],
            &["policy", "explain", "passthrough-bind", "--file", path],
            &["debug", "kernel-log", path],
            &["debug", "workspace-plan", "--document", "/dev/null", "--host", path],
            &["mig", "assert", "--config-file", path],
            &["debug", "parse-smi", path],
            &["doctor", "--facts", path],
            &[&enrol[..], &[path]].concat(),
            &[&enrol[..], &["/dev/null", "--ca-file", path]].concat(),
        ] {
            let ran = run(args, b"");
            assert!(ran.status == 2 && ran.err.contains(&format!("{path} is {what}")), "{args:?}: {ran:?}");
        }
    }
    for args in [&["debug", "parse-smi", "-"][..], &["doctor", "--facts", "-"]] {
        let mut command = program("unix:path=/nonexistent");
        command.args(args).stdin(std::fs::File::open("/dev/zero").unwrap());
        let ended = command.output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.code() == Some(2) && said.contains("standard input is larger than"), "{args:?}: {said}");
    }
    let huge = folder.path().join("huge.toml");
    std::fs::File::create(&huge).unwrap().set_len(1 << 40).unwrap();
    let ran = run(&["policy", "show", "--file", huge.to_str().unwrap()], b"");
    assert!(ran.status == 2 && ran.err.contains("larger than 1048576 bytes"), "{ran:?}");
    let ran = run(&["policy", "show", "--file", "/dev/stdin"], b"[manager]\npassthrough = true\n");
    assert!(ran.status == 0 && ran.out.contains("passthrough         true"), "{ran:?}");
}

#[test]
fn the_policy_says_what_is_allowed_and_which_key_decides() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    let path = file.to_str().unwrap();
    std::fs::write(&file, "[host.passthrough]\nnever = ['0000:41:00.0']\n").unwrap();
    let shown = run(&["policy", "show", "--file", path], b"");
    assert!(shown.status == 0 && shown.out.contains("never               0000:41:00.0"), "{shown:?}");
    let explain = |gpu: &str| {
        let ran = run(&["--json", "policy", "explain", "passthrough-bind", gpu, "--file", path], b"");
        assert_eq!(ran.status, 0, "{ran:?}");
        serde_json::from_str::<serde_json::Value>(&ran.out).unwrap()
    };
    assert_eq!(explain("41:00.0")["local"]["rule"], "host.passthrough.never");
    let other = explain("42:00.0");
    assert_eq!((&other["local"]["allowed"], &other["manager"]["allowed"]), (&true.into(), &false.into()));
    assert_eq!(other["manager"]["rule"], "manager.passthrough");
    std::fs::write(&file, "[manager]\nlabels = false\nfeatures = true\n").unwrap();
    for (act, allowed) in [
        ("enable", true),
        ("drain", true),
        ("labels", false),
        ("intervals", true),
        ("overrides", true),
        ("features", true),
    ] {
        let ran = run(&["--json", "policy", "explain", act, "--file", path], b"");
        let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        let manager = (&said["manager"]["allowed"], said["manager"]["rule"].as_str().unwrap());
        assert_eq!(manager, (&allowed.into(), format!("manager.{act}").as_str()));
        assert_eq!(said["local"]["allowed"], true, "the files of this host may set it");
    }
    assert!(run(&["policy", "show", "--file", path], b"").out.contains("labels              false"));
    let ran = run(&["policy", "explain", "labels", "41:00.0", "--file", path], b"");
    assert!(ran.status == 2 && ran.err.contains("for the whole host: name no GPU"), "{ran:?}");
}

#[test]
fn a_wrong_policy_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    std::fs::write(&file, "[manager]\npasthrough = true\n").unwrap();
    let ran = run(&["policy", "show", "--file", file.to_str().unwrap()], b"");
    assert!(ran.status == 2 && ran.err.contains("policy.toml:2:1: manager.pasthrough is not known"), "{ran:?}");
    let ran = run(&["policy", "explain", "reboot"], b"");
    assert!(ran.status == 2 && ran.err.contains("passthrough-bind") && ran.err.contains("overrides"), "{ran:?}");
}

#[test]
fn a_runtime_goes_into_a_daemon_json_and_comes_out_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let before = "{\r\n\t\"debug\": true, \"x\": \"\u{1b}[31m\u{e9}\"\r\n}";
    let (file, edited) = (path("daemon.json"), path("edited.json"));
    // A control character has to be escaped in JSON; DEL need not be.
    let before = before.replace('\u{1b}', "\u{7f}");
    std::fs::write(&file, &before).unwrap();
    let add = ["debug", "daemon-json", "--add", "nvidia=nvidia-container-runtime"];
    let remove = ["debug", "daemon-json", "--remove", "nvidia"];
    let into = |how: &[&str], file: &str| run(&[how, &[file]].concat(), b"");
    let ran = into(&add, &file);
    assert!(ran.status == 0 && ran.err.is_empty(), "{ran:?}");
    assert!(ran.out.contains("\r\n\t\"runtimes\": {\"nvidia\"") && ran.out.ends_with(&before[1..]), "{ran:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before, "it writes nothing");
    std::fs::write(&edited, &ran.out).unwrap();
    assert_eq!(into(&remove, &edited).out, before);
    // In already: the same bytes again. Standard input is as good as a file.
    assert_eq!(into(&add, &edited).out, ran.out);
    assert_eq!(run(&[&add[..], &["-"]].concat(), before.as_bytes()).out, ran.out);
    // No file yet: one is made, and goes again.
    let made = into(&add, &path("none.json"));
    assert!(made.status == 0 && made.out.ends_with("}\n"), "{made:?}");
    std::fs::write(&edited, &made.out).unwrap();
    let gone = into(&remove, &edited);
    assert!(gone.status == 0 && gone.out.is_empty(), "{gone:?}");
}

#[test]
fn a_daemon_json_that_is_not_right_is_refused_with_its_code_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let pipe = path("pipe");
    nix::unistd::mkfifo(pipe.as_str(), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let (dangling, round) = (path("dangling"), path("round"));
    std::os::unix::fs::symlink("nowhere", &dangling).unwrap();
    std::os::unix::fs::symlink("round", &round).unwrap();
    let link = path("link");
    std::fs::write(path("real.json"), "{}").unwrap();
    std::os::unix::fs::symlink("real.json", &link).unwrap();
    let edit = |more: &[&str], input: &[u8]| {
        run(&[&["debug", "daemon-json", "--add", "nvidia=nvidia-container-runtime"], more].concat(), input)
    };
    assert_eq!(edit(&[&link], b"").status, 0);
    let folder = folder.path().to_str().unwrap().to_owned();
    for (more, input, code) in [
        (vec!["-"], &b""[..], "empty_file"),
        (vec!["-"], b"{\n  // mirror\n}", "invalid_json"),
        (vec!["-"], b"{\"runtimes\": {\"nvidia\": {\"path\": \"/x\"}}}", "runtime_exists"),
        (vec!["--engine", "20.10.24+dfsg1", "-"], b"\xef\xbb\xbf{}", "bom"),
        (vec![pipe.as_str()], b"", "not_a_file"),
        (vec!["/dev/zero"], b"", "not_a_file"),
        (vec![folder.as_str()], b"", "not_a_file"),
        (vec![dangling.as_str()], b"", "unreadable"),
        (vec![round.as_str()], b"", "unreadable"),
    ] {
        let ran = edit(&more, input);
        assert!(ran.status == 11 && ran.out.is_empty(), "{more:?}: {ran:?}");
        assert!(ran.err.ends_with(&format!("({code})\n")), "{more:?}: {ran:?}");
    }
    let ran = edit(&["-"], b"{\n  // mirror\n}");
    assert!(ran.err.starts_with("gpuhostctl: standard input: line 2, column 3: a comment"), "{ran:?}");
    for wrong in [&["--add", "runc=/x", "-"][..], &["--add", "nvidia", "-"], &["--remove", "a b", "-"], &["-"]] {
        let ran = run(&[&["debug", "daemon-json"], wrong].concat(), b"{}");
        assert_eq!(ran.status, 2, "{wrong:?}: {ran:?}");
    }
}

#[test]
fn workspaces_are_planned_on_a_described_host() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (host, document) = (path("host.json"), path("document.json"));
    std::fs::write(&host, r#"{"docker": {"runtimes": ["runc"]}, "cores": 4, "memory": 8589934592}"#).unwrap();
    let image = format!("registry.example/desktop@sha256:{}", "0f".repeat(32));
    let workspace = |id: &str, cores: u32| {
        serde_json::json!({ "workspace_id": id, "desired": "running", "image": image, "cores": cores, "memory": 1 << 30,
                            "environment": { "VNC_PW": "canary" } })
    };
    let write = |workspaces: &[serde_json::Value]| {
        std::fs::write(&document, serde_json::json!({ "workspaces": workspaces }).to_string()).unwrap();
    };
    let plan = |more: &[&str]| {
        run(&[&["debug", "workspace-plan", "--host", &host, "--document", &document], more].concat(), b"")
    };
    write(&[workspace("a", 3)]);
    let ran = plan(&[]);
    assert_eq!((ran.status, ran.out.as_str()), (0, "a: create gpuhost-a\n"), "{ran:?}");
    write(&[workspace("a", 3), workspace("b", 3)]);
    let ran = plan(&[]);
    assert!(ran.status == 11 && ran.out.contains("b: no_cores 3 cores are wanted, and 1 of 4 are left"), "{ran:?}");
    assert!(ran.err.contains("1 of 2 workspaces are refused") && !ran.out.contains("canary"), "{ran:?}");
    let ran = plan(&["--json"]);
    let told: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(told[0]["create"]["body"]["HostConfig"]["NanoCpus"], 3_000_000_000_u64);
    assert_eq!(
        told[1]["refusal"],
        serde_json::json!({ "code": "no_cores", "wanted": 3.0, "available": 1.0, "effective": 4.0 })
    );
    std::fs::write(&document, "{\"workspaces\": 7}").unwrap();
    let ran = plan(&[]);
    assert!(ran.status == 2 && ran.err.contains("document.json: invalid type"), "{ran:?}");
}
