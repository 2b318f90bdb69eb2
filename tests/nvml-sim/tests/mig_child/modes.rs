//! MIG mode: what it is afterwards decides, not what the call returned.

use crate::rig::{Rig, create, create_compute};
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
