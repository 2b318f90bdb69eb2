//! `gpuhostd config cat`, which `gpuhostctl cat-config` runs.

use crate::run;

#[test]
fn files_are_printed_in_their_order_behind_their_paths_and_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let base = write("config.toml", "[agent]\nsample_interval_s = 60\n");
    let over =
        write("10-site.toml", "[manager]\nurls = ['https://joe:hunter2@m.example']\nenrolment_token_file = '/t'\n");
    let policy = write("policy.toml", "[host.mig]\nallowed = false\n");
    let files = ["--config", &base, "--config", &over, "--policy", &policy];
    let (status, out, err) = run(&[&["config", "cat"][..], &files].concat());
    assert_eq!((status, err.as_str()), (0, ""));
    let expected = format!(
        "# {base}\n[agent]\nsample_interval_s = 60\n\n# {over}\n[manager]\nurls = ['https://[redacted]@m.example']\n\
         enrolment_token_file = '/t'\n\n# {policy}\n[host.mig]\nallowed = false\n"
    );
    assert_eq!(out, expected);
    let (status, out, _) = run(&[&["config", "cat", "policy"][..], &files].concat());
    assert_eq!((status, out), (0, format!("# {policy}\n[host.mig]\nallowed = false\n")));
    let gone = folder.path().join("none.toml").display().to_string();
    let (status, out, _) = run(&["config", "cat", "policy", "--policy", &gone]);
    assert_eq!((status, out), (0, format!("# {gone} does not exist; the defaults apply\n")));
    let (status, out, err) = run(&["config", "cat", "config", "--config", &gone]);
    assert!(status == 1 && err.contains(&gone) && out.contains("the defaults apply"), "{out}{err}");
    let (status, _, err) = run(&["config", "cat", "moon"]);
    assert!(status == 2 && err.contains("moon"), "{err}");
}
