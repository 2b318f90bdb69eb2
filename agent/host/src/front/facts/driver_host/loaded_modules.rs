//! NVIDIA's modules as `/proc/modules` lists them, with who uses them.

use crate::front::facts::text::content;
use model::absence::Reading;
use model::driver_host::KernelModule;
use std::path::Path;

/// NVIDIA's driver has ten modules.
const MODULES_MAX: usize = 64;

/// Those whose name begins with `nvidia`: the others that hold them are named as their users.
pub(super) fn read(proc: &Path) -> Reading<Vec<KernelModule>> {
    match content(&proc.join("modules")) {
        Ok(text) => Reading::Known(
            text.lines().filter_map(module).filter(|it| it.name.starts_with("nvidia")).take(MODULES_MAX).collect(),
        ),
        Err(why) => Reading::Absent(why),
    }
}

/// `nvidia 62000000 42 nvidia_uvm,nvidia_modeset, Live 0x0000000000000000 (POE)`; `-` where no module uses it.
fn module(line: &str) -> Option<KernelModule> {
    let mut columns = line.split_ascii_whitespace();
    let (name, _size, references) = (columns.next()?, columns.next()?, columns.next()?.parse().ok()?);
    let users = columns.next().unwrap_or("-").split(',').filter(|user| !user.is_empty() && *user != "-");
    Some(KernelModule { name: name.to_owned(), references, used_by: users.map(str::to_owned).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_references_and_users() {
        let module = |line: &str| module(line).map(|it| (it.name, it.references, it.used_by.join("+")));
        let expected = |name: &str, references, users: &str| Some((name.to_owned(), references, users.to_owned()));
        assert_eq!(
            module("nvidia 62 42 nvidia_uvm,nvidia_modeset, Live 0x0 (POE)"),
            expected("nvidia", 42, "nvidia_uvm+nvidia_modeset")
        );
        assert_eq!(module("nvidia_uvm 62 0 - Live 0x0 (POE)"), expected("nvidia_uvm", 0, ""));
        // A kernel without unloading has `-` there.
        assert_eq!(module("nvidia_uvm 62 - - Live 0x0"), None);
        assert_eq!(module(""), None);
    }
}
