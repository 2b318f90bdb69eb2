//! Lets libFuzzer look for inputs that break the target named in `FUZZ_TARGET`; built without `--cfg fuzzing` it looks at the
//! files that are named, so that a find can be examined in a debugger.
#![cfg_attr(fuzzing, no_main)]

use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    static TARGET: std::sync::OnceLock<&'static fuzz::Target> = std::sync::OnceLock::new();
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names the target");
        fuzz::target(&name).expect("FUZZ_TARGET is one of the targets")
    });
    fuzz::bounds::look(target, &HEAP, input);
});

/// `fuzz`: the names of the targets. `fuzz TARGET --seeds DIR`: writes its seeds, and its words as DIR.words.
/// `fuzz TARGET FILE…`: looks at these inputs.
#[cfg(not(fuzzing))]
fn main() -> anyhow::Result<()> {
    use anyhow::Context;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        fuzz::TARGETS.iter().for_each(|target| println!("{:<12} {}", target.name, target.what));
        return Ok(());
    };
    let target = fuzz::target(name).with_context(|| format!("there is no target {name}"))?;
    if let [option, folder] = rest
        && option == "--seeds"
    {
        return fuzz::seeds::write(target, folder.as_ref());
    }
    for file in rest {
        let input = std::fs::read(file).with_context(|| format!("cannot read {file}"))?;
        fuzz::bounds::look(target, &HEAP, &input);
        println!("{file}: {} bytes, nothing broke", input.len());
    }
    Ok(())
}
