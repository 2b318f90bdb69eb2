//! Reads the configuration files: front, hands, snapshot, doctor and `config check` all by this one function, so that they agree on what they read.

use files::{ReadError, USUAL_TIME, fragments, in_time, read_text};
use model::fields::{ConfigError, ConfigErrors, ConfigPlace};
use model::settings::{Merged, Settings, merge};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A configuration file is no larger than this.
const FILE_MAX_BYTES: usize = 256 * 1024;
/// More fragments than anybody writes.
const FRAGMENTS_MAX: usize = 256;

/// What the package ships, then what the administrator wrote; one that is missing is no fault.
const BASES: [&str; 2] = ["/usr/lib/gpuhostd/config.toml", "/etc/gpuhostd/config.toml"];
/// Fragments of the administrator, in the order of their names.
const FRAGMENTS: &str = "/etc/gpuhostd/config.d";

/// The files and what they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// The settings, as far as they are right; for what is wrong or could not be read the defaults.
    pub settings: Settings,
    /// Where the value of each field is.
    pub places: BTreeMap<String, ConfigPlace>,
    /// The files that were read, in their order.
    pub files: Vec<PathBuf>,
    /// What is wrong, where something is.
    pub faults: Option<ConfigErrors>,
    /// Something could not be read for lack of rights, which reports nothing about what the service may read.
    pub denied: bool,
}

/// Reads these files, or the default places where none is named. Whatever is placed there: only plain files are read, no more than
/// 256 KiB of each, and one whose file system hangs is given up after some seconds. Blocking.
#[must_use]
pub fn read(named: &[PathBuf]) -> Configuration {
    read_places(named, &Places::default())
}

/// The default places; others are for tests.
struct Places {
    bases: Vec<PathBuf>,
    fragments: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self { bases: BASES.map(PathBuf::from).to_vec(), fragments: FRAGMENTS.into() }
    }
}

/// What could not be read.
#[derive(Default)]
struct Unread {
    faults: Vec<ConfigError>,
    denied: bool,
    /// A file system hangs: what follows is not tried, or each file would take its time.
    hangs: bool,
}

impl Unread {
    fn note(&mut self, fault: &ReadError) {
        self.denied |= fault.is_denied();
        self.hangs |= matches!(fault, ReadError::Hangs { .. });
        let file = fault.path().display().to_string();
        // The text of the fault begins with the file or names it in "cannot read …".
        let said = fault.to_string();
        let why = said.strip_prefix(&format!("{file} ")).map_or_else(|| said.clone(), str::to_owned);
        self.faults.push(ConfigError::of_file(&file, &why));
    }
}

fn read_places(named: &[PathBuf], places: &Places) -> Configuration {
    let mut unread = Unread::default();
    let files = if named.is_empty() { default_files(places, &mut unread) } else { named.to_vec() };
    let may_be_missing = |file: &PathBuf| named.is_empty() && places.bases.contains(file);
    let mut texts = Vec::new();
    for file in files {
        if unread.hangs {
            break;
        }
        let path = file.clone();
        match in_time(&file, USUAL_TIME, move || read_text(&path, FILE_MAX_BYTES)) {
            Ok(text) => texts.push((file, text)),
            Err(ReadError::Missing { .. }) if may_be_missing(&file) => {}
            Err(fault) => unread.note(&fault),
        }
    }
    let named: Vec<(String, String)> = texts.iter().map(|(file, text)| (name(file), text.clone())).collect();
    let Merged { settings, faults: wrong, places } = merge(&named);
    let faults = ConfigErrors::of(unread.faults.into_iter().chain(wrong).collect());
    let files = texts.into_iter().map(|(file, _)| file).collect();
    Configuration { settings, places, files, faults, denied: unread.denied }
}

fn name(file: &Path) -> String {
    file.display().to_string()
}

fn default_files(places: &Places, unread: &mut Unread) -> Vec<PathBuf> {
    let folder = places.fragments.clone();
    let listed = in_time(&places.fragments, USUAL_TIME, move || fragments(&folder, "toml", FRAGMENTS_MAX));
    let listed = listed.unwrap_or_else(|fault| {
        unread.note(&fault);
        Vec::new()
    });
    places.bases.iter().cloned().chain(listed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Etc(tempfile::TempDir);

    impl Etc {
        fn new() -> Self {
            let etc = Self(tempfile::tempdir().unwrap());
            std::fs::create_dir(etc.path("config.d")).unwrap();
            etc.write("config.toml", "[agent]\nsample_interval_s = 60\n");
            etc
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.path(name), text).unwrap();
        }

        fn read(&self) -> Configuration {
            let bases = vec![self.path("vendor.toml"), self.path("config.toml")];
            read_places(&[], &Places { bases, fragments: self.path("config.d") })
        }

        fn faults(&self) -> String {
            self.read().faults.map(|faults| faults.to_string()).unwrap_or_default()
        }
    }

    #[test]
    fn fragments_are_laid_over_the_files_and_what_is_missing_is_no_fault() {
        let etc = Etc::new();
        etc.write("config.d/20.toml", "[agent]\nsample_interval_s = 20\n");
        etc.write("config.d/10.toml", "[agent]\nsample_interval_s = 10\n[manager]\nzone = 'z'\n");
        symlink("/dev/null", etc.path("config.d/30.toml")).unwrap();
        etc.write("config.d/readme.txt", "no TOML");
        let read = etc.read();
        assert_eq!((read.faults, read.settings.agent.sample_interval_s), (None, 20));
        assert_eq!(read.settings.manager.zone.as_deref(), Some("z"));
        assert_eq!(read.files.len(), 4, "{:?}", read.files);
        std::fs::remove_dir_all(etc.path("config.d")).unwrap();
        assert_eq!((etc.read().faults, etc.read().settings.agent.sample_interval_s), (None, 60));
    }

    #[test]
    fn whatever_is_placed_there_is_named_and_nothing_is_waited_for() {
        let etc = Etc::new();
        let fragment = etc.path("config.d/a.toml");
        nix::unistd::mkfifo(&fragment, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(etc.faults(), format!("{}: is a named pipe, and only a regular file is read", fragment.display()));
        assert_eq!(etc.read().settings.agent.sample_interval_s, 60, "what is right is taken");
        for target in ["/dev/zero", "nothing"] {
            std::fs::remove_file(&fragment).unwrap();
            symlink(target, &fragment).unwrap();
            assert!(etc.faults().starts_with(&format!("{}: is a ", fragment.display())), "{}", etc.faults());
        }
        std::fs::remove_file(&fragment).unwrap();
        std::fs::create_dir(&fragment).unwrap();
        assert!(etc.faults().ends_with("is a directory, and only a regular file is read"), "{}", etc.faults());
        std::fs::remove_dir(&fragment).unwrap();
        std::fs::write(&fragment, vec![b'#'; FILE_MAX_BYTES + 1]).unwrap();
        assert!(etc.faults().ends_with("is larger than 262144 bytes"), "{}", etc.faults());
        std::fs::write(&fragment, [0xff]).unwrap();
        assert!(etc.faults().ends_with("is not UTF-8 text"), "{}", etc.faults());
        std::fs::remove_file(etc.path("config.toml")).unwrap();
        symlink("nothing", etc.path("config.toml")).unwrap();
        assert!(etc.faults().contains("config.toml: is a link to a file that does not exist"), "{}", etc.faults());
    }

    #[test]
    fn a_folder_that_cannot_be_listed_is_a_fault_and_not_an_empty_one() {
        let etc = Etc::new();
        std::fs::remove_dir(etc.path("config.d")).unwrap();
        etc.write("config.d", "");
        assert!(etc.faults().contains("config.d: cannot read"), "{}", etc.faults());
        assert_eq!(etc.read().settings.agent.sample_interval_s, 60);
    }

    #[test]
    fn all_that_is_wrong_is_named_at_once() {
        let etc = Etc::new();
        etc.write("config.d/a.toml", "[agent]\nlog_level = 'loud'\nx = 1\n");
        symlink("nothing", etc.path("config.d/b.toml")).unwrap();
        let said = etc.faults();
        assert_eq!(said.lines().count(), 3, "{said}");
        let named = read_places(&[etc.path("none.toml")], &Places::default()).faults.unwrap().to_string();
        assert!(named.ends_with("none.toml: does not exist"), "{named}");
    }
}
