//! MIG through the real path: the child of the hands as a process, with the simulated library loaded as NVIDIA's is.
//!
//! This program is its own child, so it has no test harness: with the child's arguments it is the child.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test stops where its world is broken"
)]

mod catalogs;
mod failing_calls;
mod hand;
mod life_cycle;
mod modes;
mod rig;

use protocol::child::VERSION;
use std::ffi::OsString;
use std::process::ExitCode;

macro_rules! tests {
    ($($module:ident :: $name:ident),* $(,)?) => { [$((concat!(stringify!($module), "::", stringify!($name)), $module::$name)),*] };
}

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|first| first == VERSION) {
        return gpuhostd_child::run(&args);
    }
    let wanted = args.iter().filter_map(|arg| arg.to_str()).find(|arg| !arg.starts_with('-'));
    let all: [(&str, fn()); 28] = tests![
        catalogs::each_product_is_what_its_table_has,
        catalogs::compute_profiles_are_known_where_there_is_an_instance,
        catalogs::older_structures_give_the_same,
        catalogs::a_library_without_names_has_those_of_nvidia_smi,
        catalogs::an_old_driver_lists_nothing_while_mig_is_off,
        catalogs::a_gpu_without_mig_has_a_reason_for_each_value,
        life_cycle::each_profile_of_each_product_comes_and_goes,
        life_cycle::an_occupied_place_is_refused_and_named,
        life_cycle::what_is_in_use_stays,
        life_cycle::what_is_in_use_by_nobody_stays_too,
        life_cycle::a_step_that_names_nothing_there_is_refused,
        life_cycle::two_at_once_for_one_place_get_one_instance,
        life_cycle::holes_in_the_list_of_mig_devices_confuse_no_one,
        life_cycle::a_rule_that_no_sum_reveals_is_the_drivers_word,
        modes::who_may_not_open_the_configuration_changes_nothing_and_is_named_what_is_missing,
        modes::a_mode_that_waits_for_a_reset_is_no_success,
        modes::a_card_that_needs_no_reset_switches_at_once_and_loses_nothing_twice,
        hand::a_layout_comes_and_goes_with_its_files,
        hand::what_is_in_use_stays_with_its_files,
        hand::the_mode_is_the_other_hands,
        failing_calls::success_without_effect_is_a_failure,
        failing_calls::a_crash_at_any_call_leaves_before_or_after,
        failing_calls::a_hang_at_any_call_leaves_before,
        failing_calls::an_error_of_any_call_hides_no_process,
        failing_calls::a_call_that_fails_after_others_fails_in_another_process_too,
        failing_calls::a_look_at_a_full_gpu_takes_a_bounded_number_of_calls,
        failing_calls::a_function_that_the_library_lacks_is_named,
        failing_calls::arguments_that_mean_nothing_do_nothing,
    ];
    for (name, test) in all {
        if wanted.is_none_or(|wanted| name.contains(wanted)) {
            println!("test {name} ...");
            test();
        }
    }
    println!("test result: ok");
    ExitCode::SUCCESS
}
