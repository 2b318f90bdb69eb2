//! Made-up documents of every shape: each value is found in its place, and a bad one costs itself only.

use crate::smi_shapes::{BRANCHES, document};
use model::absence::{Absence, Reading};
use model::driver::{DriverReport, ProbeError};
use model::metric::{Metric, Smi, Unit, of_driver};
use model::smi::parse;
use proptest::prelude::*;

fn read(text: &str) -> DriverReport {
    parse(text.as_bytes()).unwrap_or_else(|fault| panic!("{fault}\n{text}"))
}

/// The document of a branch with `from` replaced by `to`, which must be there.
fn with(branch: u32, from: &str, to: &str) -> DriverReport {
    let text = document(branch, 1);
    assert!(text.contains(from), "{from} is not in the document of {branch}");
    read(&text.replacen(from, to, 1))
}

fn why(text: &str) -> String {
    match parse(text.as_bytes()) {
        Err(ProbeError::Garbled { why, .. }) => why,
        other => panic!("not refused as garbled: {other:?}"),
    }
}

#[test]
fn every_shape_is_read_as_a_second_reader_reads_it() {
    for branch in BRANCHES {
        let text = document(branch, 4);
        // The second reader knows only `MiB`.
        let compared = crate::smi_oracle::compare(text.replace(" MB<", " MiB<").as_bytes());
        assert!(compared.unwrap_or_else(|wrong| panic!("{branch}: {wrong}")) > 100);
        let report = read(&text);
        assert_eq!(report.problems, Vec::<String>::new(), "{branch}");
        assert!(report.gpus.iter().all(|gpu| gpu.memory.total.known().is_some()), "{branch}");
    }
}

#[test]
fn each_metric_with_a_path_is_read_there_and_nowhere_else() {
    for metric in Metric::ALL {
        let Smi::At { container, element } = metric.row().smi else { continue };
        let unit = metric.row().unit;
        let text = if unit == Unit::Text { "P5".to_owned() } else { format!("5{}", unit.suffix()) };
        let leaf = format!("<{element}>{text}</{element}>");
        let document = |container: &str| {
            let path: Vec<&str> = container.split('/').filter(|name| !name.is_empty()).collect();
            let (open, close): (Vec<_>, Vec<_>) =
                path.iter().map(|name| (format!("<{name}>"), format!("</{name}>"))).unzip();
            let close: String = close.into_iter().rev().collect();
            format!("<nvidia_smi_log><gpu id=\"0000:01:00.0\">{}{leaf}{close}</gpu></nvidia_smi_log>", open.concat())
        };
        let value = |container: &str| of_driver(*metric, &read(&document(container)).gpus[0]);
        assert!(value(container).known().is_some(), "{container}/{element}: {:?}", value(container));
        assert_eq!(value("max_clocks"), Reading::Absent(Absence::NotReported), "{element}");
    }
}

#[test]
fn a_slices_memory_is_not_the_cards() {
    let text = "<nvidia_smi_log><gpu id=\"00000000:00:04.0\"><mig_devices><mig_device><gpu_instance_id>1</gpu_instance_id>\
                <compute_instance_id>0</compute_instance_id><fb_memory_usage><total>19968 MiB</total></fb_memory_usage>\
                </mig_device></mig_devices><fb_memory_usage><total>40960 MiB</total></fb_memory_usage></gpu></nvidia_smi_log>";
    let report = read(text);
    let gpu = &report.gpus[0];
    assert_eq!(gpu.memory.total, Reading::Known(40960));
    assert_eq!(gpu.mig_devices[0].memory.total, Reading::Known(19968));
    let alone = read(&text.replace("<fb_memory_usage><total>40960 MiB</total></fb_memory_usage>", ""));
    assert_eq!(alone.gpus[0].memory.total, Reading::Absent(Absence::NotReported));
}

#[test]
fn the_power_of_the_gpu_is_told_from_that_of_its_memory_and_module() {
    let blocks = |inner: &str| {
        read(&format!(
            "<nvidia_smi_log><gpu id=\"0000:01:00.0\"><module_power_readings><instant_power_draw>900.00 W</instant_power_draw>\
             </module_power_readings><gpu_memory_power_readings><instant_power_draw>80.00 W</instant_power_draw>\
             </gpu_memory_power_readings>{inner}</gpu></nvidia_smi_log>"
        ))
        .gpus
        .remove(0)
    };
    let drawn = |inner: &str| blocks(&format!("<gpu_power_readings>{inner}</gpu_power_readings>")).metrics.power_w;
    let (average, instant) =
        ("<average_power_draw>5.00 W</average_power_draw>", "<instant_power_draw>6.50 W</instant_power_draw>");
    assert_eq!(drawn(&format!("{average}{instant}")), Reading::Known(6.5));
    assert_eq!(drawn(average), Reading::Known(5.0));
    assert_eq!(drawn(&format!("{average}<instant_power_draw>N/A</instant_power_draw>")), Reading::Known(5.0));
    assert_eq!(drawn("<power_draw>4.25 W</power_draw>"), Reading::Known(4.25));
    assert_eq!(drawn("<power_draw>GPU is lost</power_draw>"), Reading::Absent(Absence::GpuLost));
    assert_eq!(blocks("").metrics.power_w, Reading::Absent(Absence::NotReported));
    assert_eq!(
        blocks("<gpu_power_readings>N/A</gpu_power_readings>").metrics.power_w,
        Reading::Absent(Absence::NotSupported)
    );
}

#[test]
fn all_words_for_no_value_are_told_apart() {
    let cases = [
        ("N/A", Absence::NotSupported),
        ("[N/A]", Absence::NotSupported),
        ("[Not Supported]", Absence::NotSupported),
        ("Requested functionality has been deprecated", Absence::Deprecated),
        ("GPU is lost", Absence::GpuLost),
        ("[GPU is lost]", Absence::GpuLost),
        ("GPU requires reset", Absence::ResetRequired),
        ("Insufficient Permissions", Absence::NoPermission),
        ("Not Found", Absence::None),
        ("Unknown Error", Absence::UnknownError),
        ("[Unknown Error]", Absence::UnknownError),
        ("ERR!", Absence::UnknownError),
        ("Insufficient Size", Absence::UnknownError),
        ("", Absence::NotReported),
        ("38", Absence::Garbled("38".to_owned())),
        ("38 F", Absence::Garbled("38 F".to_owned())),
        ("inf C", Absence::Garbled("inf C".to_owned())),
        ("1e9 C", Absence::Garbled("1e9 C".to_owned())),
        ("hot", Absence::Garbled("hot".to_owned())),
    ];
    for (text, expected) in cases {
        let doc = format!(
            "<nvidia_smi_log><gpu id=\"0000:01:00.0\"><temperature><gpu_temp>{text}</gpu_temp></temperature></gpu></nvidia_smi_log>"
        );
        assert_eq!(read(&doc).gpus[0].metrics.temperature_c, Reading::Absent(expected), "{text:?}");
    }
}

#[test]
fn numbers_beyond_sense_are_garbage_and_a_fan_may_overturn() {
    assert_eq!(with(580, ">104 %<", ">99 %<").gpus[0].metrics.fan_pct, Reading::Known(99.0));
    assert_eq!(with(580, ">104 %<", ">4294967295 %<").gpus[0].metrics.fan_pct.known(), None);
    let text = document(580, 1);
    let util = text.split("<gpu_util>").nth(1).unwrap().split('<').next().unwrap();
    let from = format!("<gpu_util>{util}<");
    assert_eq!(with(580, &from, "<gpu_util>101 %<").gpus[0].metrics.utilization_pct.known(), None);
    assert_eq!(with(580, &from, "<gpu_util>007 %<").gpus[0].metrics.utilization_pct, Reading::Known(7.0));
    assert_eq!(with(580, ">P8<", ">P16<").gpus[0].metrics.performance_state.known(), None);
    // 2⁶⁴ − 1 bytes, the driver's "not available", in MiB.
    let used = with(580, "<reserved>", "<used>17592186044415 MiB</used><reserved>");
    assert_eq!(used.gpus[0].mig_devices[0].memory.used.known(), None);
}

#[test]
fn containers_that_became_text_pass_their_reason_on() {
    let gpu = |inner: &str| {
        read(&format!("<nvidia_smi_log><gpu id=\"0000:01:00.0\">{inner}</gpu></nvidia_smi_log>")).gpus.remove(0)
    };
    let lost = gpu("<fb_memory_usage>GPU is lost</fb_memory_usage><utilization>\n GPU is lost </utilization>");
    assert_eq!(lost.memory.total, Reading::Absent(Absence::GpuLost));
    assert_eq!(lost.memory.free, Reading::Absent(Absence::GpuLost));
    assert_eq!(lost.metrics.decoder_pct, Reading::Absent(Absence::GpuLost));
    assert_eq!(gpu("<processes>N/A</processes>").processes, Reading::Absent(Absence::NotSupported));
    assert_eq!(gpu("<processes>\n</processes>").processes, Reading::Known(Vec::new()));
    assert_eq!(gpu("").processes, Reading::Absent(Absence::NotReported));
    let throttle = gpu("<clocks_throttle_reasons>N/A</clocks_throttle_reasons>").metrics.throttle;
    assert_eq!(throttle, Reading::Absent(Absence::NotSupported));
    assert_eq!(gpu("<mig_devices>\n None\n</mig_devices>").mig_devices, Vec::new());
    assert_eq!(gpu("<ecc_errors>GPU is lost</ecc_errors>").metrics.ecc_uncorrected, Reading::Absent(Absence::GpuLost));
    let pci = gpu("<pci>Unknown Error</pci>");
    assert_eq!(pci.pci_id, Reading::Absent(Absence::UnknownError));
    assert_eq!(pci.metrics.pcie_width, Reading::Absent(Absence::UnknownError));
    assert_eq!(pci.address.to_string(), "0000:01:00.0");
}

#[test]
fn uncorrected_errors_are_added_up_whatever_the_driver_calls_them() {
    let ecc = |inner: &str| {
        let doc = format!(
            "<nvidia_smi_log><gpu id=\"0000:01:00.0\"><ecc_errors><aggregate><dram_uncorrectable>900</dram_uncorrectable>\
             </aggregate><volatile>{inner}</volatile></ecc_errors></gpu></nvidia_smi_log>"
        );
        read(&doc).gpus.remove(0).metrics.ecc_uncorrected
    };
    let newest = "<sram_uncorrectable_parity>1</sram_uncorrectable_parity><sram_uncorrectable_secded>2</sram_uncorrectable_secded>\
                  <dram_uncorrectable>4</dram_uncorrectable>";
    assert_eq!(ecc(newest), Reading::Known(7));
    assert_eq!(ecc(&newest.replace(">1<", ">N/A<")), Reading::Known(6));
    assert_eq!(
        ecc("<sram_uncorrectable>8</sram_uncorrectable><dram_uncorrectable>16</dram_uncorrectable>"),
        Reading::Known(24)
    );
    assert_eq!(ecc("<double_bit><device_memory>3</device_memory><total>5</total></double_bit>"), Reading::Known(5));
    assert_eq!(ecc("<dram_uncorrectable>GPU is lost</dram_uncorrectable>"), Reading::Absent(Absence::GpuLost));
    assert_eq!(ecc("<dram_uncorrectable>18446744073709551615</dram_uncorrectable>").known(), None);
}

#[test]
fn an_address_is_found_and_two_gpus_of_one_address_are_one() {
    let both = with(580, "<pci_bus_id>00000000:0D:00.0", "<pci_bus_id>00000000:0E:00.0");
    assert_eq!(both.gpus[0].address.to_string(), "0000:0d:00.0");
    assert!(both.problems[0].contains("0000:0e:00.0"), "{:?}", both.problems);
    let from_bus_id = with(580, "id=\"00000000:0D:00.0\"", "id=\"N/A\"");
    assert_eq!(from_bus_id.gpus[0].address.to_string(), "0000:0d:00.0");
    let nowhere = read(&document(580, 1).replace("00000000:0D:00.0", "[REDACTED]"));
    assert!(nowhere.gpus.is_empty());
    assert!(nowhere.problems[0].contains("no PCI address"), "{:?}", nowhere.problems);
    let twins = read(&document(580, 2).replace("00000000:0E:00.0", "00000000:0D:00.0"));
    assert_eq!(twins.gpus.len(), 1);
    assert_eq!(twins.gpus[0].name, Reading::Known("NVIDIA H0 R&D".to_owned()), "the first is kept");
    assert!(twins.problems[0].contains("earlier"), "{:?}", twins.problems);
}

#[test]
fn two_gpus_of_one_uuid_both_stay() {
    let text = document(580, 2).replace("3333-000000000001", "3333-000000000000");
    let report = read(&text);
    assert_eq!(report.gpus.len(), 2);
    assert_eq!(report.gpus[0].uuid, report.gpus[1].uuid);
    assert!(report.problems[0].contains("0000:0e:00.0 has the UUID"), "{:?}", report.problems);
}

#[test]
fn an_index_is_given_for_a_full_list_only() {
    let full: Vec<_> = read(&document(580, 3)).gpus.iter().map(|gpu| gpu.index.get()).collect();
    assert_eq!(full, [Some(0), Some(1), Some(2)]);
    let partial = with(580, "<attached_gpus>1<", "<attached_gpus>3<");
    assert_eq!(partial.gpus[0].index.get(), None);
    assert!(partial.problems[0].contains("3 GPUs attached"), "{:?}", partial.problems);
}

#[test]
fn a_value_said_twice_and_differently_is_none() {
    let twice = with(580, "<fan_speed>104 %</fan_speed>", "<fan_speed>104 %</fan_speed><fan_speed>9 %</fan_speed>");
    assert!(matches!(twice.gpus[0].metrics.fan_pct, Reading::Absent(Absence::Garbled(_))));
    let same = with(580, "<fan_speed>104 %</fan_speed>", "<fan_speed>104 %</fan_speed><fan_speed>104 %</fan_speed>");
    assert_eq!(same.gpus[0].metrics.fan_pct, Reading::Known(104.0));
    assert_eq!(twice.gpus[0].name, same.gpus[0].name);
}

#[test]
fn a_value_with_children_or_a_foreign_entity_is_none() {
    for text in ["<x>104 %</x>", "104 %<x/>", "<x/>104 %", "&bomb;", "104 % &bomb;", "&#xD800;104 %"] {
        let report = with(580, "<fan_speed>104 %<", &format!("<fan_speed>{text}<"));
        assert!(matches!(report.gpus[0].metrics.fan_pct, Reading::Absent(Absence::Garbled(_))), "{text}");
        assert_eq!(report.gpus[0].metrics.performance_state, Reading::Known("P8".to_owned()));
    }
    for text in ["<![CDATA[104 %]]>", "&#49;04&#x20;%", "1<!-- -->04 %", "\n\t104 % \r\n"] {
        let report = with(580, "<fan_speed>104 %<", &format!("<fan_speed>{text}<"));
        assert_eq!(report.gpus[0].metrics.fan_pct, Reading::Known(104.0), "{text}");
    }
}

#[test]
fn a_mig_device_or_process_without_identity_is_passed_over() {
    let report = with(580, "<gpu_instance_id>7<", "<gpu_instance_id>N/A<");
    assert_eq!(report.gpus[0].mig_devices.len(), 1);
    assert!(report.problems[0].contains("0000:0d:00.0: a MIG device without"), "{:?}", report.problems);
    let twice = with(580, "<gpu_instance_id>8<", "<gpu_instance_id>7<");
    assert_eq!(twice.gpus[0].mig_devices.len(), 1);
    assert!(twice.problems[0].contains("7/0 is listed twice"), "{:?}", twice.problems);
}

#[test]
fn text_around_the_xml_is_passed_over_and_noted() {
    let plain = read(&document(580, 2));
    let text = document(580, 2);
    for (odd, problems) in [
        (format!("\u{feff}{text}"), 0),
        (text.replace('\n', "\r\n"), 0),
        (format!("\n\n  {text}\n \n"), 0),
        (format!("WARNING: infoROM is corrupted at gpu 0000:0D:00.0\n{text}"), 1),
        (format!("{text}WARNING: <infoROM> & co\n"), 1),
        (format!("x{text}y"), 2),
        (format!("{text}{text}"), 1),
        (text.replace("<?xml version=\"1.0\" ?>\n", ""), 0),
        (text.lines().skip(2).collect::<Vec<_>>().join("\n"), 0),
    ] {
        let report = read(&odd);
        assert_eq!(report.gpus, plain.gpus);
        assert_eq!(report.problems.len(), problems, "{:?}", report.problems);
    }
}

#[test]
fn bytes_that_are_no_utf8_cost_their_field_only() {
    let text = document(580, 1).into_bytes();
    let at = text.windows(8).position(|w| w == b"Enabled<").unwrap();
    let mut broken = text.clone();
    broken[at] = 0xff;
    let name = text.windows(6).position(|w| w == b"NVIDIA").unwrap();
    broken[name] = 0xfe;
    let report = parse(&broken).unwrap();
    assert!(matches!(report.gpus[0].name, Reading::Absent(Absence::Garbled(_))));
    assert!(matches!(report.gpus[0].persistence, Reading::Absent(Absence::Garbled(_))));
    assert_eq!(report.gpus[0].memory, parse(&text).unwrap().gpus[0].memory);
    assert!(report.problems[0].contains("UTF-8"), "{:?}", report.problems);
    let utf16: Vec<u8> =
        [0xff, 0xfe].into_iter().chain(document(580, 1).encode_utf16().flat_map(u16::to_le_bytes)).collect();
    assert!(parse(&utf16).unwrap_err().to_string().contains("UTF-16"));
}

#[test]
fn what_is_no_document_is_refused_with_its_place() {
    assert!(why("").contains("it is empty"));
    assert!(why(" \n ").contains("it is empty"));
    assert!(why("<html><body>login</body></html>").contains("<html>"));
    assert!(why("<nvidia_smi_log/").contains("line 1"));
    let text = document(580, 2);
    let swapped = why(&text.replacen("</temperature>", "</temperatur>", 1));
    assert!(swapped.contains("temperature") && swapped.contains("line "), "{swapped}");
    let open = why(&text.replacen("<gpu_temp>", "<gpu_temp", 1));
    assert!(open.contains("line "), "{open}");
    let cut = why(text.split("<serial>").next().unwrap());
    assert!(cut.contains("cut off") && cut.contains("in <gpu>"), "{cut}");
}

#[test]
fn an_empty_log_is_a_report_without_gpus() {
    let report =
        read("<nvidia_smi_log><driver_version>580.1</driver_version><attached_gpus>0</attached_gpus></nvidia_smi_log>");
    assert_eq!(report.driver_version, Reading::Known("580.1".to_owned()));
    assert!(report.gpus.is_empty() && report.problems.is_empty());
    assert!(read("<nvidia_smi_log/>").gpus.is_empty());
}

#[test]
fn an_entity_bomb_stays_small() {
    let mut dtd = "<?xml version=\"1.0\"?><!DOCTYPE nvidia_smi_log [<!ENTITY a0 \"lollollollol\">".to_owned();
    for n in 1..60 {
        dtd += &format!("<!ENTITY a{n} \"{}\">", format!("&a{};", n - 1).repeat(10));
    }
    let body = "<nvidia_smi_log><gpu id=\"0000:01:00.0\"><product_name>&a59;</product_name><serial>7</serial></gpu></nvidia_smi_log>";
    let report = read(&format!("{dtd}]>{body}"));
    assert!(matches!(report.gpus[0].name, Reading::Absent(Absence::Garbled(_))));
    assert_eq!(report.gpus[0].serial, Reading::Known("7".to_owned()));
}

#[test]
fn nesting_and_size_are_bounded() {
    let deep = format!("<nvidia_smi_log><gpu id=\"0000:01:00.0\">{}", "<a>".repeat(1_000_000));
    assert!(why(&deep).contains("nested deeper than 32"));
    assert!(why(&"<nvidia_smi_log>".repeat(100)).contains("nested deeper"));
    let large = format!("<nvidia_smi_log>{}</nvidia_smi_log>", " ".repeat(16 * 1024 * 1024));
    assert!(why(&large).contains("more than the 16777216"));
    let long = with(580, "NVIDIA H0 R&amp;D", &"x".repeat(100_000));
    let Reading::Absent(Absence::Garbled(said)) = &long.gpus[0].name else { panic!("{:?}", long.gpus[0].name) };
    assert_eq!(said.len(), 64);
    let crowd: String = (0..2000).map(|n| format!("<gpu id=\"{n:08x}:01:00.0\"/>")).collect();
    let crowd = read(&format!("<nvidia_smi_log>{crowd}</nvidia_smi_log>"));
    assert_eq!(crowd.gpus.len(), 256);
    assert!(crowd.problems.iter().any(|p| p.contains("1744 GPUs beyond")), "{:?}", crowd.problems);
    let odd = read(&format!(
        "<nvidia_smi_log><gpu id=\"0000:01:00.0\"><mig_devices>{}</mig_devices></gpu></nvidia_smi_log>",
        "<mig_device/>".repeat(100_000)
    ));
    assert_eq!(odd.problems.len(), 16, "a line for each would be a flood");
    let many: String = (0..5000).map(|pid| format!("<process_info><pid>{pid}</pid></process_info>")).collect();
    let many =
        read(&format!("<nvidia_smi_log><gpu id=\"0000:01:00.0\"><processes>{many}</processes></gpu></nvidia_smi_log>"));
    assert_eq!(many.gpus[0].processes.known().unwrap().len(), 1024);
    assert!(many.problems[0].contains("3976 MIG devices and processes beyond"), "{:?}", many.problems);
    let nameless = read(&format!("<nvidia_smi_log>{}</nvidia_smi_log>", "<gpu/>".repeat(200)));
    assert_eq!((nameless.gpus.len(), nameless.problems.len()), (0, 65));
}

/// Each top-level field of the only GPU as JSON.
fn fields(report: &DriverReport) -> serde_json::Map<String, serde_json::Value> {
    serde_json::to_value(&report.gpus[0]).unwrap().as_object().unwrap().clone()
}

#[test]
fn each_value_replaced_by_each_error_costs_itself_only() {
    let errors = ["N/A", "GPU is lost", "Unknown Error", "ERR!", "[Not Supported]", "", "\u{1}garbage &lt;"];
    for branch in [340, 470, 535, 580] {
        let text = document(branch, 1);
        let whole = fields(&read(&text));
        for (at, _) in text.match_indices("</") {
            let start = text[..at].rfind('>').unwrap() + 1;
            if text[start..at].trim().is_empty() || text[start..at].contains('<') {
                continue;
            }
            for error in errors {
                let report = read(&format!("{}{error}{}", &text[..start], &text[at..]));
                let changed = fields(&report).iter().filter(|(name, value)| whole[*name] != **value).count();
                assert!(changed <= 1, "{branch}: {error:?} instead of {:?} cost {changed} fields", &text[start..at]);
            }
        }
    }
}

#[test]
fn a_document_cut_at_any_byte_is_refused_or_whole() {
    for branch in [340, 580] {
        let text = document(branch, 1);
        let whole = read(&text);
        let last = text.rfind('>').unwrap();
        for cut in 0..text.len() {
            let Some(part) = text.get(..cut) else { continue };
            match parse(part.as_bytes()) {
                Ok(report) => assert!(cut > last && report == whole, "{branch} cut at {cut} was believed"),
                Err(fault) => assert!(cut <= last, "{branch} cut at {cut}: {fault}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
        let _ = parse(&bytes);
        let _ = model::smi::explain_failure(7, &bytes, &bytes);
    }

    #[test]
    fn no_nonsense_inside_a_gpu_makes_it_panic(inner in "(<(/?)(gpu|pci|total|mig_device|processes|process_info|x)>|[a-z&;<%]| ){0,60}") {
        let text = format!("<nvidia_smi_log><gpu id=\"0000:01:00.0\">{inner}</gpu></nvidia_smi_log>");
        if let Ok(report) = parse(text.as_bytes()) {
            prop_assert!(report.gpus.len() <= 60);
        }
    }

    #[test]
    fn a_flipped_byte_gives_a_fault_or_spares_the_other_gpu(at in 0usize..20_000, to: u8) {
        let text = document(580, 2);
        let whole = read(&text);
        let mut bytes = text.clone().into_bytes();
        let second = text.rfind("<gpu id").unwrap();
        let at = at % bytes.len();
        bytes[at] = to;
        if let Ok(report) = parse(&bytes) {
            if at >= second {
                prop_assert_eq!(&report.gpus[0], &whole.gpus[0]);
            } else if let Some(last) = report.gpus.iter().find(|gpu| gpu.address == whole.gpus[1].address) {
                prop_assert!(report.gpus.len() == 1 || last.memory == whole.gpus[1].memory);
            }
        }
    }
}
