//! `nvidia.json` as schema 1 writes it: every later version has to read it, or containers that are there would be nobody's.

use model::nvidia_container::{
    BadNvidiaRecord, KernelModuleType, NvidiaRecord, NvidiaRole, NvidiaWish, RuntimeOurs, record_for,
};
use serde_json::Value;

const SCHEMA_1: &str = include_str!("nvidia-record-schema-1.json");

#[test]
fn a_record_of_schema_1_is_read_and_nothing_of_it_is_lost() {
    let record = NvidiaRecord::decode(SCHEMA_1.as_bytes()).unwrap();
    for role in NvidiaRole::ALL {
        assert!(record.of(*role).wish.is_some() && record.of(*role).good.is_some(), "{role}");
    }
    assert!(record.driver.is_over_files && record.driver.failed.is_some() && record.runtime.ours == RuntimeOurs::Ours);
    let written: Value = serde_json::from_slice(&record.encode()).unwrap();
    assert_eq!(written, serde_json::from_str::<Value>(SCHEMA_1).unwrap(), "what is written is still schema 1");
}

/// What the first builds with this schema did not write yet.
#[test]
fn what_was_added_to_the_schema_may_be_missing() {
    let mut document: Value = serde_json::from_str(SCHEMA_1).unwrap();
    let nvidia = document["nvidia"].as_object_mut().unwrap();
    for added in ["driver_host", "gpu_access"] {
        assert!(nvidia.remove(added).is_some(), "{added}");
    }
    for role in ["driver", "toolkit"] {
        assert!(nvidia[role].as_object_mut().unwrap().remove("is_over_files").is_some());
    }
    let record = NvidiaRecord::decode(document.to_string().as_bytes()).unwrap();
    assert!(record.driver.good.is_some() && !record.driver_host.is_ours && record.gpu_access.probed.is_none());
}

#[test]
fn a_record_of_a_later_schema_or_a_damaged_one_is_not_taken_for_an_empty_one() {
    let later = SCHEMA_1.replacen("\"schema\": 1", "\"schema\": 2", 1);
    assert_eq!(NvidiaRecord::decode(later.as_bytes()), Err(BadNvidiaRecord::Later(2)));
    for cut in [0, 1, SCHEMA_1.len() / 2, SCHEMA_1.len() - 1] {
        let damaged = NvidiaRecord::decode(&SCHEMA_1.as_bytes()[..cut]);
        assert!(matches!(damaged, Err(BadNvidiaRecord::Damaged(_))), "{cut}");
    }
}

/// The first builds wrote the option of a wish with a capital letter.
#[test]
fn a_wish_as_the_first_builds_wrote_it_is_the_same_wish_and_begins_nothing_afresh() {
    let record = NvidiaRecord::decode(SCHEMA_1.as_bytes()).unwrap();
    let (image, option) = record.driver.wish.as_deref().unwrap().rsplit_once(' ').unwrap();
    assert!(option.starts_with(|c: char| c.is_ascii_uppercase()), "{option}");
    let wish = NvidiaWish {
        deploy_driver: true,
        driver_image: image.parse().unwrap(),
        driver_kernel_modules: option.to_ascii_lowercase().parse().unwrap(),
        ..NvidiaWish::default()
    };
    let now = record_for(&wish, &record, &record.boot_id);
    assert_eq!(now.driver.wish, Some(format!("{image} {}", option.to_ascii_lowercase())));
    assert_eq!((&now.driver.failed, &now.driver.resolved), (&record.driver.failed, &record.driver.resolved));
    assert!(now.driver.failed.is_some());
    let other = NvidiaWish { driver_kernel_modules: KernelModuleType::Proprietary, ..wish };
    assert_eq!(record_for(&other, &record, &record.boot_id).driver.failed, None, "another wish does");
}
