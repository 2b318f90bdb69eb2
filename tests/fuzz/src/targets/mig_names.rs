//! Names of MIG profiles and device filters: what is taken prints as a text that means the same.

use crate::Target;
use crate::bounds::Bounds;
use model::mig::ProfileName;
use model::mig::files::DeviceId;
use model::mig::names::of_indices;

/// The target.
pub const TARGET: Target = Target {
    name: "mig_names",
    what: "names of MIG profiles, device filters, indices of profiles",
    run,
    seeds,
    words: &[
        "1g.",
        "5gb",
        "1c.",
        "+me",
        "+me.all",
        "-me",
        "+gfx",
        ",",
        "0x20B010DE",
        ":0x",
        "0b",
        "0g.0gb",
        "99999999999999999999",
    ],
    bounds: Bounds::USUAL,
};

fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Ok(name) = text.parse::<ProfileName>() {
        assert_eq!(name.to_string().parse::<ProfileName>().expect("what was printed is read"), name);
        let canonical = name.canonical();
        assert_eq!(canonical.parse::<ProfileName>().expect("the one text is read").canonical(), canonical);
        assert!(name.compute <= name.gpu && name.gpu_instance().is_whole());
        assert!(canonical.len() <= text.len(), "{text} became longer: {canonical}");
    }
    if let Ok(id) = text.parse::<DeviceId>() {
        assert_eq!(id.to_string().parse::<DeviceId>().expect("what was printed is read"), id);
        assert!(id.matches(id) && id.primary().matches(id));
    }
    let mut numbers = input.chunks_exact(8).map(|chunk| u64::from_le_bytes(chunk.try_into().expect("eight bytes")));
    if let (Some(indices), Some(memory), Some(total)) = (numbers.next(), numbers.next(), numbers.next())
        && let Some(name) = of_indices((indices & 31) as u32, (indices >> 32 & 15) as u32, memory, total)
    {
        assert!(total > 0 && name.gpu > 0, "{name}");
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "1g.5gb",
        "1c.3g.20gb",
        "2g.48gb+me.all",
        "1g.24gb-me",
        "1g.24gb+gfx,me",
        "0x233510DE:0x18BE10DE",
        "590680286",
    ];
    let numbers = [[9, 9856, 40 << 30], [4 | 8 << 32, 40192, 40 << 30], [17, u64::MAX, 1]];
    let numbers = numbers.map(|three| three.iter().flat_map(|number: &u64| number.to_le_bytes()).collect());
    texts.into_iter().map(|text| text.as_bytes().to_vec()).chain(numbers).collect()
}
