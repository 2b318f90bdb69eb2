//! `man --of-file`: the manual page of a file that people write, made from the example that the package ships, which explains every key.

use crate::args::CatConfig;

/// A file with its page.
struct File {
    /// Name of the page.
    title: &'static str,
    /// What is in it.
    about: &'static str,
    /// Where it is.
    places: &'static [&'static str],
    /// The shipped example.
    example: &'static str,
    /// Other pages.
    see_also: &'static str,
}

const CONFIG: File = File {
    title: "gpuhostd-config.toml",
    about: "settings of the GPU host agent",
    places: &["/usr/lib/gpuhostd/config.toml", "/etc/gpuhostd/config.toml", "/etc/gpuhostd/config.d/*.toml"],
    example: include_str!("../../../packaging/config/config.toml"),
    see_also: ".BR gpuhostd-policy.toml (5),\n.BR gpuhostd.service (8),\n.BR gpuhostctl-config-check (1),\n.BR gpuhostctl-cat-config (1)",
};

const POLICY: File = File {
    title: "gpuhostd-policy.toml",
    about: "what the GPU host agent may do to its host",
    places: &["/etc/gpuhostd/policy.toml"],
    example: include_str!("../../../packaging/config/policy.toml"),
    see_also: ".BR gpuhostd-config.toml (5),\n.BR gpuhostd.service (8),\n.BR gpuhostctl-policy-explain (1),\n.BR gpuhostctl-cat-config (1)",
};

/// The page in the language of man(7).
pub(crate) fn page(of: CatConfig) -> String {
    let file = match of {
        CatConfig::Config => CONFIG,
        CatConfig::Policy => POLICY,
    };
    let mut page = format!(
        ".TH {} 5 \"\" \"gpuhostd {}\" \"File formats\"\n.nh\n.ad l\n.SH NAME\n{} \\- {}\n.SH SYNOPSIS\n",
        file.title.to_uppercase(),
        env!("CARGO_PKG_VERSION"),
        escaped(file.title),
        file.about
    );
    page += &file.places.iter().map(|place| format!(".I {}\n", escaped(place))).collect::<Vec<_>>().join(".br\n");
    page += ".SH DESCRIPTION\n";
    page += &keys(file.example);
    page + ".SH SEE ALSO\n" + file.see_also + "\n"
}

/// The example as paragraphs: what is before the first section, then each section with its keys.
fn keys(example: &str) -> String {
    let (mut page, mut comment) = (String::new(), Vec::new());
    let mut lines = example.lines().peekable();
    while let Some(line) = lines.next() {
        let bare = line.strip_prefix('#').unwrap_or(line);
        if let Some(words) = line.strip_prefix("# ") {
            comment.push(words);
        } else if bare.starts_with('[') {
            page += &format!(".SH \"{}\"\n", escaped(bare).replace('"', "\\(dq"));
            page += &paragraph(&mut comment);
        } else if let Some((key, value)) = bare.split_once(" = ") {
            let mut value = value.to_owned();
            while value.starts_with('[') && !value.ends_with(']') {
                let Some(more) = lines.next() else { break };
                value = value + " " + more.trim_start_matches('#').trim();
            }
            page += &format!(".TP\n.BI {key} \" = {}\"\n", escaped(&value).replace('"', "\\(dq"));
            page += &paragraph(&mut comment);
        } else {
            page += &paragraph(&mut comment);
        }
    }
    page
}

/// The gathered comment as text; a line that is indented is a command.
fn paragraph(comment: &mut Vec<&str>) -> String {
    let text: String = comment.drain(..).map(|words| escaped(words.trim()) + "\n").collect();
    if text.is_empty() { text } else { text + ".PP\n" }
}

/// Text that roff prints as it is.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('`', "");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is set in an example, active or in a comment: its section and its key.
    fn set(example: &str) -> Vec<(String, String)> {
        let (mut section, mut found) = (String::new(), Vec::new());
        for line in example.lines().map(|line| line.strip_prefix('#').unwrap_or(line)) {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                name.clone_into(&mut section);
            } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.starts_with(' ')) {
                found.push((section.clone(), key.to_owned()));
            }
        }
        found
    }

    #[test]
    fn each_key_of_the_example_is_on_its_page_with_an_explanation_of_its_own() {
        for (file, of) in [(CONFIG, CatConfig::Config), (POLICY, CatConfig::Policy)] {
            let page = page(of);
            let keys = set(file.example);
            assert!(keys.len() > 30, "{}: {keys:?}", file.title);
            for (section, key) in keys {
                let (_, rest) =
                    page.split_once(&format!(".SH \"[{}]\"", section.replace('"', "\\(dq"))).expect(&section);
                let section_page = rest.split(".SH").next().unwrap_or_default();
                let (_, entry) = section_page.split_once(&format!(".BI {key} ")).expect(&key);
                let explanation = entry.lines().nth(1).unwrap_or_default();
                assert!(explanation.len() > 5 && !explanation.starts_with('.'), "{section}.{key}: {explanation:?}");
            }
        }
    }

    /// What the reader of the settings knows: it names it where a key is not known.
    fn known(section: &str) -> Vec<String> {
        let header = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
        let merged = model::settings::merge(&[("f".to_owned(), format!("{header}zzzzzzzzzzzz = 1\n"))]);
        let fault = merged.faults.first().map(ToString::to_string).unwrap_or_default();
        let (_, names) = fault.split_once(" knows ").expect("it names what it knows");
        names.split(", ").map(str::to_owned).collect()
    }

    #[test]
    fn each_key_that_the_reader_knows_is_in_the_example_and_none_beside() {
        let gpu = "gpu.\"0000:41:00.0\"";
        let mut expected: Vec<(String, String)> = Vec::new();
        for section in known("") {
            let section = if section == "gpu" { gpu.to_owned() } else { section };
            let inner = known(&section).into_iter().filter(|key| key != "paths");
            expected.extend(inner.map(|key| (section.clone(), key)));
        }
        expected.extend(known("manager.paths").into_iter().map(|key| ("manager.paths".to_owned(), key)));
        let mut there = set(CONFIG.example);
        there.sort();
        expected.sort();
        assert_eq!(there, expected);
    }

    #[test]
    fn the_example_is_valid_as_a_whole_but_for_what_excludes_each_other() {
        let spelled: Vec<&str> = CONFIG
            .example
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest,
                Some(rest) if rest.starts_with("    \"") => rest,
                Some(_) | None => line,
            })
            .collect();
        let merged = model::settings::merge(&[("f".to_owned(), spelled.join("\n"))]);
        let faults: Vec<String> = merged.faults.iter().map(ToString::to_string).collect();
        assert!(faults.len() == 2 && faults.iter().all(|fault| fault.contains("is set, and so is")), "{faults:?}");
        assert_eq!(merged.settings.manager.paths, model::settings::Settings::default().manager.paths);
    }
}
