//! `debug parse-smi`: the values of the JSON are those of the document, and the contract's schemas accept them.

use crate::contract::violations;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn parsed(xml: &[u8]) -> Value {
    let report = model::smi::parse(xml).unwrap_or_else(|fault| panic!("{fault}"));
    serde_json::to_value(wire::parse_smi::document(&report)).unwrap()
}

const A100: &str = "<nvidia_smi_log><driver_version>550.163.01</driver_version><attached_gpus>1</attached_gpus>
<gpu id=\"00000000:41:00.0\"><product_name>NVIDIA A100-SXM4-40GB</product_name>
<product_architecture>Ampere</product_architecture>
<mig_mode><current_mig>Enabled</current_mig><pending_mig>Disabled</pending_mig></mig_mode>
<mig_devices><mig_device><index>0</index><gpu_instance_id>1</gpu_instance_id><compute_instance_id>2</compute_instance_id>
<device_attributes><shared><multiprocessor_count>42</multiprocessor_count><copy_engine_count>3</copy_engine_count>
<encoder_count>0</encoder_count><decoder_count>2</decoder_count><ofa_count>N/A</ofa_count><jpg_count>1</jpg_count></shared>
</device_attributes><fb_memory_usage><total>19968 MiB</total><used>19 MiB</used><free>19948 MiB</free></fb_memory_usage>
</mig_device></mig_devices>
<serial>1324321002473</serial><uuid>GPU-27b94a00-ed54-5c24-b1fd-1054085de32a</uuid><minor_number>4</minor_number>
<gpu_virtualization_mode><virtualization_mode>None</virtualization_mode></gpu_virtualization_mode>
<pci><pci_device_id>20B010DE</pci_device_id><pci_sub_system_id>134F10DE</pci_sub_system_id>
<pci_gpu_link_info><pcie_gen><max_link_gen>4</max_link_gen><current_link_gen>1</current_link_gen></pcie_gen>
<link_widths><max_link_width>16x</max_link_width><current_link_width>8x</current_link_width></link_widths>
</pci_gpu_link_info></pci><fan_speed>N/A</fan_speed><performance_state>P0</performance_state>
<clocks_event_reasons><clocks_event_reason_gpu_idle>Active</clocks_event_reason_gpu_idle>
<clocks_event_reason_sw_power_cap>Not Active</clocks_event_reason_sw_power_cap></clocks_event_reasons>
<fb_memory_usage><total>40960 MiB</total><used>38 MiB</used><free>40315 MiB</free></fb_memory_usage>
<utilization><gpu_util>7 %</gpu_util><memory_util>3 %</memory_util><encoder_util>1 %</encoder_util>
<decoder_util>2 %</decoder_util></utilization>
<ecc_errors><volatile><sram_uncorrectable_parity>1</sram_uncorrectable_parity>
<sram_uncorrectable_secded>2</sram_uncorrectable_secded><dram_uncorrectable>3</dram_uncorrectable></volatile></ecc_errors>
<temperature><gpu_temp>33 C</gpu_temp></temperature>
<gpu_power_readings><average_power_draw>40.00 W</average_power_draw><instant_power_draw>66.92 W</instant_power_draw>
<current_power_limit>400.00 W</current_power_limit></gpu_power_readings></gpu></nvidia_smi_log>";

#[test]
fn every_name_of_the_contract_gets_its_value() {
    let document = parsed(A100.as_bytes());
    assert_eq!(document["driver_version"], "550.163.01");
    let inventory = json!({
        "bdf": "0000:41:00.0", "pci_id": "10de:20b0", "subsys_id": "10de:134f", "vendor": "nvidia",
        "name": "NVIDIA A100-SXM4-40GB", "arch": "Ampere", "compute_capability": null,
        "uuid": "GPU-27b94a00-ed54-5c24-b1fd-1054085de32a", "index": 0, "minor": 4, "serial": "1324321002473",
        "driver": null, "driver_version": "550.163.01", "iommu_group": null, "numa_node": null, "memory_mib": 40960,
        "virt_mode": "None", "features": {}, "schedulable": false, "unschedulable_reason": "mig_enabled",
        "health": {"state": "degraded", "reasons": ["ecc_uncorrected"]},
        "pcie": {"gen": 1, "max_gen": 4, "width": 8, "max_width": 16},
        "mig": {"supported": true, "current": "enabled", "pending": "disabled", "instances": [{
            "uuid": null, "gi": 1, "ci": 2, "dev": 0, "profile": null, "memory_mib": 19968,
            "sm": 42, "ce": 3, "enc": 0, "dec": 2, "jpeg": 1,
        }]},
    });
    assert_eq!(document["gpus"][0]["inventory"], inventory);
    let metrics = json!({
        "uuid": "GPU-27b94a00-ed54-5c24-b1fd-1054085de32a", "bdf": "0000:41:00.0", "reason": "not_supported",
        "temp_c": 33.0, "util_pct": 7.0, "mem_util_pct": 3.0, "mem_total_mib": 40960, "mem_used_mib": 38,
        "mem_free_mib": 40315, "power_w": 66.92, "power_limit_w": 400.0, "enc_pct": 1.0, "dec_pct": 2.0, "fan_pct": null,
        "pstate": "P0", "ecc_uncorr": 6, "xid_last": null, "throttle": ["gpu_idle"],
        "mig": [{"uuid": null, "gi": 1, "ci": 2, "mem_total_mib": 19968, "mem_used_mib": 19, "mem_free_mib": 19948}],
    });
    assert_eq!(document["gpus"][0]["metrics"], metrics);
}

#[test]
fn unknown_is_null_and_lost_is_told() {
    let bare = parsed(b"<nvidia_smi_log><gpu id=\"0000:01:00.0\"></gpu></nvidia_smi_log>");
    assert_eq!(bare["driver_version"], Value::Null);
    let (inventory, metrics) = (&bare["gpus"][0]["inventory"], &bare["gpus"][0]["metrics"]);
    assert_eq!((&inventory["pci_id"], &inventory["vendor"]), (&Value::Null, &json!("nvidia")));
    assert_eq!((&inventory["mig"]["supported"], &inventory["schedulable"]), (&json!(false), &json!(true)));
    assert_eq!((&metrics["temp_c"], &metrics["mem_used_mib"]), (&Value::Null, &Value::Null));
    assert_eq!(metrics["reason"], "not_reported");
    let lost = A100.replace("33 C", "GPU is lost").replace("Enabled", "Disabled");
    let lost = parsed(lost.as_bytes());
    assert_eq!(lost["gpus"][0]["metrics"]["reason"], "gpu_lost");
    assert_eq!(lost["gpus"][0]["inventory"]["unschedulable_reason"], "gpu_lost");
    assert_eq!(lost["gpus"][0]["inventory"]["health"]["state"], "failed");
}

fn recordings() -> Vec<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if !data.is_dir() {
        println!("SKIPPED: {} is absent, so no recorded document was read", data.display());
        return Vec::new();
    }
    let folders = ["nvsmi_xml", "nvsmi_xml_mock", "nvsmi_xml_synthetic"];
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(data.join(folder)).unwrap());
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 60, "only {} recordings", files.len());
    files
}

#[test]
fn the_contract_accepts_what_every_recording_gives() {
    for file in recordings() {
        let document = parsed(&std::fs::read(&file).unwrap());
        for gpu in document["gpus"].as_array().unwrap() {
            assert_eq!(violations("GpuMetrics", &gpu["metrics"]), Vec::<String>::new(), "{}", file.display());
            let mut wrong = violations("Gpu", &gpu["inventory"]);
            // A recording without the PCI id has none to give; a host always has it, from sysfs.
            wrong.retain(|error| !(error.starts_with("/pci_id:") && gpu["inventory"]["pci_id"].is_null()));
            assert_eq!(wrong, Vec::<String>::new(), "{}", file.display());
        }
    }
}

#[test]
fn the_card_of_every_recording_has_its_own_memory() {
    for file in recordings() {
        let bytes = std::fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let document = parsed(&bytes);
        for (gpu, xml) in document["gpus"].as_array().unwrap().iter().zip(text.split("<gpu id=").skip(1)) {
            // The card's block stands behind those of its slices.
            let card = xml.rsplit("</mig_devices>").next().unwrap();
            let block = card.split("<fb_memory_usage>").nth(1);
            let total = block.and_then(|b| b.split("<total>").nth(1)?.split(" MiB").next()?.trim().parse::<u64>().ok());
            assert_eq!(gpu["inventory"]["memory_mib"], json!(total), "{}", file.display());
            assert_eq!(gpu["metrics"]["mem_total_mib"], json!(total), "{}", file.display());
        }
    }
}
