//! What nvidia-smi prints: any bytes give a report or a fault, and a value is one that the text holds.

use super::often;
use crate::Target;
use crate::bounds::Bounds;
use model::absence::Reading;
use model::driver::{DriverGpu, DriverReport};
use std::fmt::Display;

/// The target.
pub const TARGET: Target = Target {
    name: "smi",
    what: "nvidia-smi -q -x",
    run,
    seeds,
    words: &WORDS,
    // Each GPU has its own struct of about 2 kB, so the empty ones of a document are dear.
    bounds: Bounds { heap: 2 * 1024 * 1024, ..Bounds::USUAL },
};

const WORDS: [&str; 44] = [
    "<nvidia_smi_log>",
    "</nvidia_smi_log>",
    "<?xml version=\"1.0\" ?>",
    "<!DOCTYPE nvidia_smi_log SYSTEM \"nvsmi_device_v12.dtd\">",
    "<!ENTITY a \"b\">",
    "<gpu id=\"00000000:41:00.0\">",
    "</gpu>",
    "<uuid>GPU-1a</uuid>",
    "<attached_gpus>1</attached_gpus>",
    "<driver_version>580.65.06</driver_version>",
    "<cuda_version>13.0</cuda_version>",
    "<fb_memory_usage>",
    "<total>81559 MiB</total>",
    "<mig_mode>",
    "<current_mig>Enabled</current_mig>",
    "<mig_devices>",
    "<mig_device>",
    "<index>0</index>",
    "<processes>",
    "<process_info>",
    "<pid>1</pid>",
    "<process_name>a</process_name>",
    "<temperature>",
    "<gpu_temp>30 C</gpu_temp>",
    "<gpu_power_readings>",
    "<clocks_event_reasons>",
    "<pci>",
    "<pci_bus_id>",
    "<minor_number>",
    "<utilization>",
    "<ecc_errors>",
    "N/A",
    "GPU is lost",
    "Unknown Error",
    "Requested functionality has been deprecated",
    "None",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "&amp;",
    "&#x41;",
    "\u{feff}",
    "/>",
];

fn run(input: &[u8]) {
    let fault_fits = |text: String| assert!(text.len() <= 4096, "a fault of {} bytes", text.len());
    if let Err(fault) = model::smi::answer(1, input, b"said on stderr") {
        fault_fits(fault.to_string());
    }
    fault_fits(model::smi::explain_failure(9, input, input).to_string());
    match model::smi::parse(input) {
        Err(fault) => fault_fits(fault.to_string()),
        Ok(report) => judge(input, &report),
    }
}

fn judge(input: &[u8], report: &DriverReport) {
    assert!(report.problems.iter().all(|problem| problem.len() < 4096) && report.problems.len() < 80);
    let again = serde_json::to_vec(report).expect("a report has a JSON form");
    let read: DriverReport = serde_json::from_slice(&again).expect("the front reads what the hand wrote");
    assert_eq!(read.gpus.len(), report.gpus.len());
    let text = String::from_utf8_lossy(input);
    // With these a value need not stand in the text as it is: it may be put together of pieces.
    let inner = text.split_once("<nvidia_smi_log").map_or("", |(_, inner)| inner);
    if ["&", "<!", "<?"].iter().any(|markup| inner.contains(markup)) {
        return;
    }
    held(&text, &report.driver_version);
    held(&text, &report.cuda_version);
    for gpu in &report.gpus {
        assert!(gpu.uuid.known().is_none_or(|uuid| text.contains(uuid.as_str())), "{:?}", gpu.uuid);
        values(&text, gpu);
    }
}

fn values(text: &str, gpu: &DriverGpu) {
    for said in [&gpu.serial, &gpu.name, &gpu.brand, &gpu.architecture, &gpu.vbios, &gpu.virtualization] {
        held(text, said);
    }
    for number in [&gpu.memory.total, &gpu.memory.used, &gpu.memory.free, &gpu.memory.reserved] {
        held(text, number);
    }
    for number in [
        &gpu.metrics.temperature_c,
        &gpu.metrics.utilization_pct,
        &gpu.metrics.power_w,
        &gpu.metrics.power_limit_w,
        &gpu.metrics.fan_pct,
    ] {
        held(text, number);
    }
    for process in gpu.processes.known().into_iter().flatten() {
        assert!(text.contains(&process.pid.to_string()), "process {}", process.pid);
    }
}

/// A value that is known stands in the text. Decimals beyond what a double holds are printed otherwise than they were read.
fn held<T: Display>(text: &str, reading: &Reading<T>) {
    let Some(value) = reading.known().map(ToString::to_string) else { return };
    let digits = value.strip_prefix('-').unwrap_or(&value);
    let is_long = digits.len() > 15 && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    assert!(is_long || text.contains(digits), "{value:?} stands nowhere in the text");
}

fn seeds() -> Vec<Vec<u8>> {
    let whole = one_gpu(
        "<mig_mode><current_mig>Disabled</current_mig></mig_mode><processes><process_info><pid>7</pid><type>C</type>\
         <process_name>a b</process_name><used_memory>1 MiB</used_memory></process_info></processes>",
    );
    let mig = one_gpu(
        "<mig_mode><current_mig>Enabled</current_mig><pending_mig>Enabled</pending_mig></mig_mode><mig_devices><mig_device>\
         <index>0</index><gpu_instance_id>7</gpu_instance_id><compute_instance_id>0</compute_instance_id><device_attributes>\
         <shared><multiprocessor_count>14</multiprocessor_count></shared></device_attributes><fb_memory_usage><total>4864 MiB\
         </total></fb_memory_usage></mig_device></mig_devices>",
    );
    let lost = one_gpu("<temperature><gpu_temp>GPU is lost</gpu_temp></temperature><processes>GPU is lost</processes>");
    let bomb = b"<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]><nvidia_smi_log><gpu id=\"1:00.0\">\
                 <uuid>&b;</uuid></gpu></nvidia_smi_log>";
    let said = b"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n";
    let many = [b"<nvidia_smi_log>".to_vec(), often("<gpu id=\"41:00.0\"></gpu>", 300), b"</nvidia_smi_log>".to_vec()];
    let (crlf, cut) = (whole.replace('>', ">\r\n\t"), whole[..whole.len() / 2].to_owned());
    let deep = [b"<nvidia_smi_log>".to_vec(), often("<gpu>", 500)].concat();
    let texts = [whole, mig, lost, crlf, cut].map(String::into_bytes);
    texts.into_iter().chain([bomb.to_vec(), said.to_vec(), many.concat(), deep, Vec::new()]).collect()
}

fn one_gpu(inner: &str) -> String {
    format!(
        "<?xml version=\"1.0\" ?>\n<!DOCTYPE nvidia_smi_log SYSTEM \"nvsmi_device_v12.dtd\">\n<nvidia_smi_log><driver_version>\
         580.65.06</driver_version><cuda_version>13.0</cuda_version><attached_gpus>1</attached_gpus><gpu id=\"00000000:41:00.0\">\
         <product_name>NVIDIA A100</product_name><uuid>GPU-1a2b</uuid><minor_number>0</minor_number><fb_memory_usage><total>\
         81920 MiB</total><used>3 MiB</used></fb_memory_usage><utilization><gpu_util>7 %</gpu_util></utilization><power_readings>\
         <power_draw>68.92 W</power_draw></power_readings><temperature><gpu_temp>38 C</gpu_temp></temperature><pci>\
         <pci_device_id>20B010DE</pci_device_id></pci>{inner}</gpu></nvidia_smi_log>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_from_nowhere_is_seen() {
        let text = String::from_utf8(seeds().remove(0)).unwrap();
        let mut report = model::smi::parse(text.as_bytes()).unwrap();
        judge(text.as_bytes(), &report);
        report.gpus[0].memory.total = Reading::Known(4711);
        assert!(std::panic::catch_unwind(|| judge(text.as_bytes(), &report)).is_err());
    }
}
