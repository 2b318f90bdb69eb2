//! MIG mode: what it is afterwards decides, not what the call returned.

use crate::rig::{Rig, create, create_compute, destroy, destroy_compute};
use model::absence::Reading;
use model::driver::MigMode;
use model::mig::MigStep;

const ON: MigStep = MigStep::SetMode { to: MigMode::Enabled };
const OFF: MigStep = MigStep::SetMode { to: MigMode::Disabled };

pub fn a_mode_that_waits_for_a_reset_is_no_success() {
    let rig = Rig::new("A100-80GB");
    let said = rig.act(&OFF).unwrap_err().said;
    assert!(said.contains("In use by another client") && said.contains("waits for a reset"), "{said}");
    let seen = rig.look();
    assert_eq!((seen.current, seen.pending), (Reading::Known(MigMode::Enabled), Reading::Known(MigMode::Disabled)));
    // The wish is taken back, and nothing waits any more.
    rig.build(&[ON]);
    assert_eq!(rig.look().pending, Reading::Known(MigMode::Enabled));
    rig.act(&OFF).unwrap_err();
    rig.change(sim::mig::SimMig::reset);
    assert_eq!(rig.look().current, Reading::Known(MigMode::Disabled));
}

pub fn a_card_that_needs_no_reset_switches_at_once_and_loses_nothing_twice() {
    let rig = Rig::new("H100-80GB");
    rig.build(&[OFF]);
    assert_eq!(rig.look().current, Reading::Known(MigMode::Disabled));
    rig.build(&[ON, create("1g.10gb", 0), create_compute("1g.10gb", 0, 1), ON]);
    assert_eq!(rig.look().instances.len(), 1, "a mode that is on already is no change");
    let said = rig.act(&OFF).unwrap_err().said;
    assert!(said.contains("In use by another client"), "{said}");
    assert_eq!(rig.look().instances.len(), 1);
}

/// A link to nothing is a file that the process cannot open, also where it is root.
pub fn who_may_not_open_the_configuration_changes_nothing_and_is_named_what_is_missing() {
    let rig = Rig::new("H100-80GB");
    let built = [create("2g.20gb", 2), create_compute("2g.20gb", 2, 2)];
    rig.build(&built);
    let was = rig.state();
    let closed = |name: &str| std::os::unix::fs::symlink("nothing", rig.path(name)).unwrap();
    let opened = |name: &str| {
        std::fs::remove_file(rig.path(name)).unwrap();
        std::fs::write(rig.path(name), "").unwrap();
    };
    closed("mig-config");
    for step in [create("1g.10gb", 0), destroy_compute("2g.20gb", 2, 0, 2)] {
        let said = rig.act(&step).unwrap_err().said;
        assert!(said.contains("Permission"), "{step}: {said}");
        assert_eq!(rig.state(), was, "{step}");
    }
    // Whose layout cannot be listed is never taken for one without instances.
    let said = rig.try_look().unwrap_err().said;
    assert!(said.contains("Permission"), "{said}");
    opened("mig-config");
    assert_eq!(rig.look().instances.len(), 1);
    // Layouts need no more than that; the mode does.
    closed("sys-admin");
    rig.build(&[destroy_compute("2g.20gb", 2, 0, 2), destroy("2g.20gb", 2)]);
    let said = rig.act(&OFF).unwrap_err().said;
    assert!(said.contains("Permission"), "{said}");
    assert_eq!(rig.look().current.get(), Some(MigMode::Enabled));
    opened("sys-admin");
    rig.build(&[OFF]);
    assert_eq!(rig.look().current.get(), Some(MigMode::Disabled));
}
