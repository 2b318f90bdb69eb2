//! Writes one attribute of sysfs, from a process that has given up every write outside the scope of its change first.

use landlock::{
    ABI, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus,
};
use model::ids::PciAddress;
use model::os_cause::OsCause;
use model::plan::Scope;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The newest set of rights that we name; an older kernel takes what it knows of them.
const RIGHTS: ABI = ABI::V5;

/// Writes the text in one call, as sysfs wants it. The scope alone decides what may be written: a file that it has no part in is
/// refused by the kernel, no matter who named it.
pub(crate) fn sealed(sysfs: &Path, scope: &Scope, file: &Path, text: &[u8]) -> Result<(), OsCause> {
    seal(&files_of(sysfs, scope))
        .map_err(|fault| OsCause::found(format!("cannot restrict access to other files (Landlock): {fault}")))?;
    let mut attribute = OpenOptions::new().write(true).open(file)?;
    match attribute.write(text)? {
        length if length == text.len() => Ok(()),
        length => Err(OsCause::found(format!("the kernel accepted {length} of {} bytes", text.len()))),
    }
}

/// All that a step of the scope may write to: the attributes of its functions, `unbind` of the drivers that have them now, and
/// `drivers_probe`. Which function is written into the last two, Landlock cannot tell: that is the hand's check alone.
fn files_of(sysfs: &Path, scope: &Scope) -> Vec<PathBuf> {
    let bus = sysfs.join("bus/pci");
    let of_function = |address: &PciAddress| {
        let folder = bus.join("devices").join(address.to_string());
        ["driver_override", "power/control", "d3cold_allowed", "driver/unbind"].map(|file| folder.join(file))
    };
    let files = scope.members.iter().flat_map(of_function).chain([bus.join("drivers_probe")]);
    files.filter(|file| file.exists()).collect()
}

/// Nothing may be written but these files, from this thread on. A kernel without Landlock leaves that to the hand's check alone:
/// false.
pub(crate) fn seal(files: &[PathBuf]) -> Result<bool, Box<dyn std::error::Error>> {
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    seal_but(&files, AccessFs::WriteFile | AccessFs::Truncate)
}

/// As [`seal`]: nothing may be written but what is in these directories.
pub(crate) fn seal_in(folders: &[&Path]) -> Result<bool, Box<dyn std::error::Error>> {
    seal_but(folders, AccessFs::from_write(RIGHTS))
}

fn seal_but(places: &[&Path], rights: BitFlags<AccessFs>) -> Result<bool, Box<dyn std::error::Error>> {
    let all = AccessFs::from_write(RIGHTS);
    let rules = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(all)?.create()?;
    let rules = places.iter().try_fold(rules, |rules, place| -> Result<_, Box<dyn std::error::Error>> {
        Ok(rules.add_rule(PathBeneath::new(PathFd::new(place)?, rights))?)
    })?;
    Ok(rules.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir_all, read_to_string, write};
    use std::io::ErrorKind;

    /// A card, its neighbour, a driver that is not the card's, and a file of somebody else's.
    const FILES: [&str; 4] = ["41/driver_override", "42/driver_override", "drivers/nvme/unbind", "etc/passwd"];

    /// The check of the hand has no part in it: whatever asks the sealed thread for a write finds the kernel in the way. Where
    /// the kernel has no Landlock there is nothing to see, unless `GPUHOSTD_TEST_LANDLOCK` says that it must.
    #[test]
    fn a_sealed_thread_can_write_its_one_file_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let files = FILES.map(|file| folder.path().join(file));
        for file in &files {
            create_dir_all(file.parent().unwrap()).unwrap();
            write(file, "before").unwrap();
        }
        let [own, others @ ..] = files.clone();
        let made = folder.path().join("made");
        // Landlock binds the thread that asked for it, and its children: the other tests stay free.
        let sealed = std::thread::spawn(move || {
            let holds = seal(std::slice::from_ref(&own)).unwrap();
            let refused = others.map(|other| write(other, "after").map_err(|error| error.kind()));
            (holds, refused, write(&made, "").map_err(|error| error.kind()), write(&own, "after").is_ok())
        });
        let (holds, refused, made, own) = sealed.join().unwrap();
        if !holds {
            assert!(std::env::var_os("GPUHOSTD_TEST_LANDLOCK").is_none(), "this kernel has no Landlock");
            println!("SKIPPED: this kernel has no Landlock; make test-vm has one");
            return;
        }
        assert_eq!(refused, [Err(ErrorKind::PermissionDenied); 3]);
        assert_eq!((made, own), (Err(ErrorKind::PermissionDenied), true));
        assert_eq!(files.map(|file| read_to_string(file).unwrap()), ["after", "before", "before", "before"]);
    }

    #[test]
    fn a_thread_that_only_looks_can_write_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_owned();
        let sealed = std::thread::spawn(move || (seal(&[]).unwrap(), write(path, "x").is_err()));
        let (holds, refused) = sealed.join().unwrap();
        assert_eq!(holds, refused, "what is said to hold does");
        assert!(holds || std::env::var_os("GPUHOSTD_TEST_LANDLOCK").is_none(), "this kernel has no Landlock");
    }
}
