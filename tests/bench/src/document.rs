//! Documents in the form of `nvidia-smi -q -x` of a 580 driver, for any number of GPUs, with numbers of our own.

use std::fmt::Write;

/// The fields of one GPU, one space of indent for each level; `@` is the GPU's number as two hexadecimal digits, `#` as decimal.
const OUTLINE: &str = include_str!("outline.txt");
/// Supported clocks of one GPU: the long tail of the document that nobody reads.
const MEMORY_CLOCKS: [u32; 2] = [2619, 1593];
const GRAPHICS_CLOCKS: u32 = 97;

/// The document for so many GPUs.
pub fn smi(gpus: u32) -> String {
    let mut text =
        String::from("<?xml version=\"1.0\" ?>\n<!DOCTYPE nvidia_smi_log SYSTEM \"nvsmi_device_v13.dtd\">\n");
    text.push_str("<nvidia_smi_log>\n\t<timestamp>Mon Nov  2 10:00:00 2026</timestamp>\n");
    text.push_str("\t<driver_version>580.65.06</driver_version>\n\t<cuda_version>13.0</cuda_version>\n");
    let _ = writeln!(text, "\t<attached_gpus>{gpus}</attached_gpus>");
    for number in 0..gpus {
        let _ = writeln!(text, "\t<gpu id=\"00000000:{:02X}:00.0\">", number + 1);
        fields(&mut text, number);
        clocks(&mut text);
        text.push_str("\t\t<processes>\n\t\t</processes>\n\t</gpu>\n");
    }
    text.push_str("</nvidia_smi_log>\n");
    text
}

fn fields(text: &mut String, number: u32) {
    let mut open: Vec<&str> = Vec::new();
    for line in OUTLINE.lines() {
        let field = line.trim_start();
        close(text, &mut open, line.len() - field.len());
        let tabs = "\t".repeat(open.len() + 2);
        if let Some((name, value)) = field.split_once('=') {
            let value = value.replace('@', &format!("{:02X}", number + 1)).replace('#', &number.to_string());
            let _ = writeln!(text, "{tabs}<{name}>{value}</{name}>");
        } else {
            let _ = writeln!(text, "{tabs}<{field}>");
            open.push(field);
        }
    }
    close(text, &mut open, 0);
}

fn close(text: &mut String, open: &mut Vec<&str>, depth: usize) {
    while open.len() > depth {
        let Some(name) = open.pop() else { return };
        let _ = writeln!(text, "{}</{name}>", "\t".repeat(open.len() + 2));
    }
}

fn clocks(text: &mut String) {
    text.push_str("\t\t<supported_clocks>\n");
    for memory in MEMORY_CLOCKS {
        let _ = writeln!(text, "\t\t\t<supported_mem_clock>\n\t\t\t\t<value>{memory} MHz</value>");
        for step in 0..GRAPHICS_CLOCKS {
            let clock = 1980 - step * 15;
            let _ = writeln!(text, "\t\t\t\t<supported_graphics_clock>{clock} MHz</supported_graphics_clock>");
        }
        text.push_str("\t\t\t</supported_mem_clock>\n");
    }
    text.push_str("\t\t</supported_clocks>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_closed_and_the_size_is_a_real_one() {
        let text = smi(8);
        let opened = text.matches('<').count() - text.matches("</").count() - 2;
        assert_eq!(opened, text.matches("</").count());
        assert!((160_000..200_000).contains(&text.len()), "{} bytes", text.len());
        assert_eq!(text.matches("<gpu id=").count(), 8);
    }
}
