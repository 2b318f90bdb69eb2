//! What stands where a file should be: read where it is a plain file, and named without being opened where it is not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use files::{ReadError, ReadErrorKind, fragments, open, read, read_text};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

fn kind(path: &Path) -> ReadErrorKind {
    match read(path, 10) {
        Err(ReadError::NotPlain { kind, .. }) => kind,
        other => panic!("{}: {other:?}", path.display()),
    }
}

#[test]
fn a_plain_file_is_read_through_links_too() {
    let dir = tempfile::tempdir().unwrap();
    let (file, link) = (dir.path().join("file"), dir.path().join("link"));
    std::fs::write(&file, "text").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    symlink("file", &link).unwrap();
    assert_eq!((read(&file, 4).unwrap(), read_text(&link, 4).unwrap()), (b"text".to_vec(), "text".to_owned()));
    let plain = open(&link).unwrap();
    assert_eq!((plain.mode, plain.uid), (0o640, nix::unistd::geteuid().as_raw()));
    assert!(matches!(read(&file, 3), Err(ReadError::TooLarge { max_bytes: 3, .. })));
    std::fs::write(&file, [0xff]).unwrap();
    assert!(matches!(read_text(&file, 4), Err(ReadError::NotText { .. })));
}

#[test]
fn what_is_no_plain_file_is_named_and_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    mkfifo(&at("pipe"), Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    symlink("pipe", at("link")).unwrap();
    assert_eq!(
        [kind(&at("pipe")), kind(&at("link")), kind(&at("socket"))],
        [ReadErrorKind::Pipe, ReadErrorKind::Pipe, ReadErrorKind::Socket]
    );
    assert_eq!([kind(dir.path()), kind(Path::new("/dev/zero"))], [ReadErrorKind::Folder, ReadErrorKind::Device]);
    let said = read(&at("pipe"), 10).unwrap_err().to_string();
    assert!(said.contains("pipe is a named pipe"), "{said}");
}

#[test]
fn a_masked_file_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("masked.toml");
    symlink("/dev/null", &link).unwrap();
    assert_eq!(read(&link, 10).unwrap(), b"");
}

#[test]
fn a_link_to_nothing_is_no_missing_file() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("link");
    symlink("nothing", &link).unwrap();
    assert!(matches!(read(&link, 10), Err(ReadError::DeadLink { .. })));
    assert!(matches!(read(&dir.path().join("none"), 10), Err(ReadError::Missing { .. })));
}

#[test]
fn fragments_are_sorted_and_hidden_ones_left_out() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["b.toml", "a.toml", ".c.toml", "d.toml.bak", "toml"] {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    symlink("nothing", dir.path().join(".#a.toml")).unwrap();
    assert_eq!(fragments(dir.path(), "toml", 2).unwrap(), [dir.path().join("a.toml"), dir.path().join("b.toml")]);
    assert!(fragments(dir.path(), "toml", 1).unwrap_err().to_string().contains("more than 1"));
    assert_eq!(fragments(&dir.path().join("none"), "toml", 1).unwrap(), Vec::<std::path::PathBuf>::new());
    let file = dir.path().join("a.toml");
    assert!(matches!(fragments(&file, "toml", 1), Err(ReadError::Host { .. })));
}

#[test]
fn a_pipe_that_the_caller_has_opened_is_an_input_and_a_named_one_is_not() {
    use std::io::Write;
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"piped").unwrap();
    drop(writer);
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
    let path = Path::new(&path);
    assert_eq!(kind(path), ReadErrorKind::Pipe);
    assert_eq!(files::open_input(path).unwrap().read(path, 5).unwrap(), b"piped");
    let dir = tempfile::tempdir().unwrap();
    let named = dir.path().join("pipe");
    mkfifo(&named, Mode::S_IRWXU).unwrap();
    assert!(matches!(files::open_input(&named), Err(ReadError::NotPlain { kind: ReadErrorKind::Pipe, .. })));
}
