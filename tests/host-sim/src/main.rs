//! `host-sim`: writes a simulated host as files, and lists the built-in ones.

use anyhow::{Context, bail};
use host_sim::{Artifacts, write_recorded, write_tree};
use lexopt::prelude::{Long, Short, Value, ValueExt};
use std::path::{Path, PathBuf};

const USAGE: &str = "usage: host-sim tree DESCRIPTION DIR            DESCRIPTION: a built-in host, or a .toml file
       host-sim tree SNAPSHOT.tar.gz DIR           the files of a recorded host, with an nvidia-smi that repeats its words
       host-sim tree --gpus N --functions M DIR   a host of that size
       host-sim list                               the built-in hosts
       host-sim show DESCRIPTION                   its TOML";

fn main() -> anyhow::Result<()> {
    let mut words: Vec<String> = Vec::new();
    let (mut gpus, mut functions) = (None, None);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("gpus") => gpus = Some(arguments.value()?.parse::<u32>()?),
            Long("functions") => functions = Some(arguments.value()?.parse::<u32>()?),
            Long("help") | Short('h') => {
                println!("{USAGE}");
                return Ok(());
            }
            Value(word) => words.push(word.string()?),
            Long(_) | Short(_) => return Err(argument.unexpected().into()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match (words.as_slice(), gpus, functions) {
        (["list"], None, None) => list(),
        (["show", name], None, None) => {
            print!("{}", sim::load(name)?.to_toml()?);
            Ok(())
        }
        (["tree", name, folder], None, None) if name.ends_with(".tar.gz") => recorded_tree(name, folder),
        (["tree", name, folder], None, None) => tree(&sim::load(name)?, folder),
        (["tree", folder], Some(gpus), Some(functions)) => tree(&sim::synthetic(gpus, functions)?, folder),
        _ => bail!("{USAGE}"),
    }
}

fn list() -> anyhow::Result<()> {
    for (name, text) in sim::BUILT_IN {
        println!("{name:<18}{}", sim::parse(text, name)?.summary);
    }
    Ok(())
}

fn empty(folder: &str) -> anyhow::Result<PathBuf> {
    let root = PathBuf::from(folder);
    if root.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{folder} is not empty: give a new folder");
    }
    Ok(root)
}

fn recorded_tree(archive: &str, folder: &str) -> anyhow::Result<()> {
    let snapshot = sim::HostSnapshot::open(Path::new(archive))?;
    write_recorded(&snapshot, &empty(folder)?).with_context(|| format!("cannot write {archive} to {folder}"))
}

fn tree(description: &sim::Description, folder: &str) -> anyhow::Result<()> {
    let root = empty(folder)?;
    write_tree(description, &root, &Artifacts::beside_this_program()?)
        .with_context(|| format!("cannot write {} to {folder}", description.name))
}
