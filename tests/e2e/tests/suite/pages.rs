//! The pages of the operator's guide: each command on them is run on the simulated host that its page names, and prints what is there.
//! `UPDATE_GOLDEN=1` writes the pages again.

use e2e::ages::with_age;
use e2e::bus::Bus;
use e2e::sim::SimDaemon;
use e2e::world::{World, executable, repository};
use std::path::Path;
use std::process::Command;

/// What a page names in a comment: `<!-- host: dgx-a100 -->`.
fn named<'p>(page: &'p str, what: &str) -> Vec<&'p str> {
    let begin = format!("<!-- {what}: ");
    page.lines().filter_map(|line| line.strip_prefix(&begin)?.strip_suffix(" -->")).collect()
}

/// A host of the tree; a GPU of which the page states that it is idle has no persistence mode.
fn host_of(page: &str, world: &World) -> Option<String> {
    let name = *named(page, "host").first()?;
    let mut text = std::fs::read_to_string(repository().join("tests/hosts").join(format!("{name}.toml"))).expect(name);
    for gpu in named(page, "idle") {
        let address = format!("address = \"{gpu}\"\n");
        assert!(text.contains(&address), "{gpu} is on {name}");
        text = text.replace(&address, &format!("{address}persistence = false\n"));
    }
    let file = world.path().join("host.toml");
    std::fs::write(&file, text).expect("host");
    Some(file.to_str().expect("UTF-8").to_owned())
}

/// Rows that are there once a sample or a look has come, which may be after the command.
const LATER: [&str; 2] = ["Uses  ", "GPU state  "];

/// The page shows `3 s ago` for each duration. What may come later is left out.
fn settled(text: &str) -> String {
    let is_sure = |line: &&str| !LATER.iter().any(|row| line.starts_with(row));
    with_age(text, "3 s").lines().filter(is_sure).map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// What a command of a page prints; of one that fails also why. The progress of one that succeeds differs from run to run.
fn printed(world: &World, bus: &str, line: &str) -> String {
    let mut words = line.split_whitespace();
    assert_eq!(words.next(), Some("gpuhostctl"), "only gpuhostctl can be run here: {line}");
    let mut command = Command::new(executable("gpuhostctl"));
    command.args(words).env("GPUHOSTD_BUS", bus).env("NO_COLOR", "1").current_dir(world.path());
    let output = command.output().expect("gpuhostctl");
    let why = if output.status.success() { Vec::new() } else { output.stderr };
    settled(&String::from_utf8([output.stdout, why].concat()).expect("UTF-8"))
}

/// The page with what its commands print now.
fn run(page: &str, world: &World, bus: &str) -> String {
    let (mut out, mut within) = (String::new(), false);
    for line in page.lines() {
        match (within, line) {
            (false, "```console") | (true, "```") => {
                within = !within;
                out += &format!("{line}\n");
            }
            (true, _) => {
                if let Some(command) = line.strip_prefix("$ ") {
                    out += &format!("{line}\n{}", printed(world, bus, command));
                }
            }
            (false, _) => out += &format!("{line}\n"),
        }
    }
    assert!(!within, "a block has no end");
    out
}

fn holds(file: &Path) -> usize {
    let page = std::fs::read_to_string(file).expect("page");
    let world = World::new();
    let commands = page.lines().filter(|line| line.starts_with("$ ")).count();
    let Some(host) = host_of(&page, &world) else {
        assert_eq!(commands, 0, "{}: commands, and no host", file.display());
        return 0;
    };
    let bus = Bus::start(world.path()).expect("a bus");
    std::fs::write(world.path().join("policy.toml"), named(&page, "policy").join("\n")).expect("policy");
    let _daemon = SimDaemon::start(&world, &bus.address, &host);
    let now = run(&page, &world, &bus.address);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file, now).expect("page");
    } else {
        for (number, (is, was)) in now.lines().zip(page.lines()).enumerate() {
            assert_eq!(is, was, "{}:{}: write it again with UPDATE_GOLDEN=1", file.display(), number + 1);
        }
        assert_eq!(now, page, "{}", file.display());
    }
    commands
}

#[test]
fn each_command_of_the_guide_prints_what_its_page_shows() {
    let folder = repository().join("docs/guide");
    let entries = std::fs::read_dir(folder).expect("the guide").map(|entry| entry.expect("an entry").path());
    let mut pages: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ext| ext == "md")).collect();
    pages.sort();
    let commands: usize = pages.iter().map(|page| holds(page)).sum();
    assert!(pages.len() > 8 && commands > 20, "{} pages, {commands} commands", pages.len());
}

#[test]
fn durations_are_settled_and_nothing_else() {
    assert_eq!(
        settled("running, since 12 s ago  \nlong ago\n20786 d ago"),
        "running, since 3 s ago\nlong ago\n3 s ago\n"
    );
}
