//! Layouts: instances that are there, wishes for instances, and both in the syntax of the command line.

use super::catalog::MigCatalog;
use super::profile::ProfileName;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Most entries of one list that are read; no GPU has as many instances.
const MOST_ENTRIES: usize = 1024;
/// Longest list of wishes that is taken over a bus, in bytes; [`MOST_ENTRIES`] of the usual length fit.
const MOST_BYTES: usize = 32 * 1024;

/// A GPU instance by its profile and its place.
#[derive(Debug, Clone, Hash, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Instance {
    /// Name of its profile.
    pub profile: String,
    /// First memory slot.
    pub start: u32,
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.profile, self.start)
    }
}

/// A compute instance that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresentCompute {
    /// Its compute slices.
    pub slices: u32,
    /// Somebody uses it.
    pub in_use: bool,
}

/// A GPU instance that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {
    /// What and where.
    pub instance: Instance,
    /// Somebody uses it, or one of its compute instances. It is never touched.
    pub in_use: bool,
    /// Its compute instances; none where nobody made one.
    pub compute: Vec<PresentCompute>,
}

/// A wish for GPU instances of one profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Name of the profile; with `Nc.` it is a wish for compute instances in instances of that profile.
    pub profile: String,
    /// Where; anywhere where it does not say.
    pub start: Option<u32>,
    /// How many.
    pub count: u64,
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.profile)?;
        if let Some(start) = self.start {
            write!(f, "@{start}")?;
        }
        if self.count == 1 { Ok(()) } else { write!(f, ":{}", self.count) }
    }
}

/// A list that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{entry:?}: {why}; expected {form}")]
pub struct BadList {
    /// The entry, at most 64 characters of it.
    pub entry: String,
    /// What is wrong with it.
    pub why: String,
    /// The form of an entry.
    pub form: &'static str,
}

const WANT_FORM: &str = "PROFILE[@START][:COUNT],… or - for nothing, as 3g.20gb@4,1g.5gb:2";
const PRESENT_FORM: &str = "PROFILE@START[:in-use],… or - for nothing, as 3g.20gb@4:in-use,1g.5gb@0";

/// Reads a list of wishes, `PROFILE[@START][:COUNT],…`; `-` is none. A count of 0 is no wish.
///
/// # Errors
/// The first entry that is wrong.
pub fn read_wishes(text: &str, catalog: &MigCatalog) -> Result<Vec<Wish>, BadList> {
    let mut wishes = Vec::new();
    for entry in entries(text, WANT_FORM)? {
        let wrong = |why: String| bad(&entry, why, WANT_FORM);
        let (place, count) = match entry.split_once(':') {
            Some((place, count)) => (place, number::<u64>(count, "count").map_err(wrong)?),
            None => (entry.as_str(), 1),
        };
        let (profile, start) = place_of(place, catalog).map_err(wrong)?;
        if count > 0 {
            wishes.push(Wish { profile, start, count });
        }
    }
    Ok(wishes)
}

/// Checks the form of a list of wishes without a catalog: what no GPU could mean is found before one is asked. A name begins with
/// a digit, as that of every profile, and has letters, digits, `.`, `+`, `-` and `,`.
///
/// # Errors
/// The first entry that is wrong.
pub fn well_formed(text: &str) -> Result<(), BadList> {
    if text.len() > MOST_BYTES {
        return Err(bad(text, format!("it has {} bytes, more than {MOST_BYTES}", text.len()), WANT_FORM));
    }
    for entry in entries(text, WANT_FORM)? {
        let wrong = |why: String| bad(&entry, why, WANT_FORM);
        let (place, count) =
            entry.split_once(':').map_or((entry.as_str(), None), |(place, count)| (place, Some(count)));
        let (name, start) = place.split_once('@').map_or((place, None), |(name, start)| (name, Some(start)));
        count.map(|count| number::<u64>(count, "count")).transpose().map_err(wrong)?;
        start.map(|start| number::<u32>(start, "start")).transpose().map_err(wrong)?;
        let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-,".contains(&byte));
        if !begins || !plain || name.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong("it does not begin with the name of a profile".to_owned()));
        }
    }
    Ok(())
}

/// Reads a list of instances that are there, `PROFILE@START[:in-use],…`; `-` is none. Entries with `Nc.` at one place are the
/// compute instances of one GPU instance; without `Nc.` an instance has one that fills it.
///
/// # Errors
/// The first entry that is wrong.
pub fn read_present(text: &str, catalog: &MigCatalog) -> Result<Vec<Present>, BadList> {
    let mut present: Vec<Present> = Vec::new();
    for entry in entries(text, PRESENT_FORM)? {
        let wrong = |why: String| bad(&entry, why, PRESENT_FORM);
        let (place, in_use) = match entry.split_once(':') {
            Some((place, "in-use")) => (place, true),
            Some((_, word)) => return Err(wrong(format!("{word:?} is not in-use"))),
            None => (entry.as_str(), false),
        };
        let (name, start) = place_of(place, catalog).map_err(wrong)?;
        let start = start.ok_or_else(|| wrong("it has no placement (@START)".to_owned()))?;
        let split = name.parse::<ProfileName>().ok().filter(|name| !name.is_whole());
        let profile = catalog.find(&name).and_then(|number| catalog.profile(number));
        let slices = split.as_ref().map_or_else(|| profile.map_or(0, |p| p.compute_slices), |name| name.compute);
        let own = profile.map(|profile| profile.profile.clone());
        let own = own.or_else(|| split.as_ref().map(|name| name.gpu_instance().to_string())).unwrap_or(name);
        let instance = Instance { profile: own, start };
        let compute = PresentCompute { slices, in_use };
        match present.iter_mut().find(|other| split.is_some() && other.instance == instance) {
            Some(same) => {
                same.compute.push(compute);
                same.in_use |= in_use;
            }
            None => present.push(Present { instance, in_use, compute: vec![compute] }),
        }
    }
    Ok(present)
}

/// The wishes in their syntax, one entry an instance; `-` where there is none.
#[must_use]
pub fn wishes_text(wishes: &[Wish]) -> String {
    let one = |wish: &Wish| Wish { count: 1, ..wish.clone() }.to_string();
    let times = |wish: &Wish| usize::try_from(wish.count).unwrap_or(MOST_ENTRIES).min(MOST_ENTRIES);
    let entries: Vec<String> = wishes.iter().flat_map(|wish| vec![one(wish); times(wish)]).collect();
    if entries.is_empty() { "-".to_owned() } else { entries.join(",") }
}

/// The entries of a list. Attributes of a profile may hold commas: what begins with a letter goes on with the entry before.
fn entries(text: &str, form: &'static str) -> Result<Vec<String>, BadList> {
    if text == "-" {
        return Ok(Vec::new());
    }
    let mut entries: Vec<String> = Vec::new();
    for piece in text.split(',') {
        let goes_on = piece.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        match entries.last_mut() {
            Some(last) if goes_on && last.contains(['+', '-']) => {
                last.push(',');
                last.push_str(piece);
            }
            _ => entries.push(piece.to_owned()),
        }
        if entries.len() > MOST_ENTRIES {
            return Err(bad(piece, format!("there are more than {MOST_ENTRIES} entries"), form));
        }
    }
    Ok(entries)
}

/// `PROFILE[@START]`. A name that the catalog has counts whatever it looks like: it is the driver's.
fn place_of(text: &str, catalog: &MigCatalog) -> Result<(String, Option<u32>), String> {
    let (name, start) = match text.split_once('@') {
        Some((name, start)) => (name, Some(number::<u32>(start, "start")?)),
        None => (text, None),
    };
    if catalog.find(name).is_none() {
        name.parse::<ProfileName>().map_err(|fault| fault.to_string())?;
    }
    Ok((name.to_owned(), start))
}

/// A number without sign, spaces or leading zeros.
fn number<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, String> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let shown: String = text.chars().take(32).collect();
    if !plain || (text.len() > 1 && text.starts_with('0')) {
        return Err(format!("the {what} {shown:?} is not a plain number"));
    }
    text.parse().map_err(|_| format!("the {what} {shown} is too large"))
}

fn bad(entry: &str, why: String, form: &'static str) -> BadList {
    BadList { entry: entry.chars().take(64).collect(), why, form }
}

#[cfg(test)]
mod tests {
    use super::super::products::Product;
    use super::*;

    fn a100() -> MigCatalog {
        Product::find("A100-40GB").unwrap().catalog().unwrap()
    }

    #[test]
    fn wishes_are_read_and_printed() {
        let wishes = read_wishes("3g.20gb@4,1g.5gb:2,1g.5gb+me,1c.3g.20gb:0", &a100()).unwrap();
        let printed: Vec<String> = wishes.iter().map(ToString::to_string).collect();
        assert_eq!(printed, ["3g.20gb@4", "1g.5gb:2", "1g.5gb+me"]);
        assert_eq!(wishes_text(&wishes), "3g.20gb@4,1g.5gb,1g.5gb,1g.5gb+me");
        assert_eq!(read_wishes(&wishes_text(&wishes), &a100()).unwrap().len(), 4);
        assert_eq!((read_wishes("-", &a100()).unwrap(), wishes_text(&[])), (Vec::new(), "-".to_owned()));
        assert_eq!(read_wishes("1g.24gb+gfx,me:2", &a100()).unwrap()[0].to_string(), "1g.24gb+gfx,me:2");
        assert_eq!(read_wishes("1g.5gb:18446744073709551615", &a100()).unwrap()[0].count, u64::MAX);
    }

    #[test]
    fn what_is_there_is_read() {
        let present = read_present("2g.10gb@2:in-use,1c.3g.20gb@4:in-use,2c.3g.20gb@4", &a100()).unwrap();
        assert_eq!(present.len(), 2);
        assert_eq!(present[0].compute, [PresentCompute { slices: 2, in_use: true }]);
        assert_eq!(present[1].instance.to_string(), "3g.20gb@4");
        assert!(present[1].in_use && !present[1].compute[1].in_use);
    }

    #[test]
    fn a_wrong_entry_is_named() {
        for text in [
            "",
            " ",
            "1g.5gb, 2g.10gb",
            "1g.5gb:",
            "1g.5gb:-1",
            "1g.5gb:010",
            "1g.5gb:18446744073709551616",
            "1g.5gb@",
            "1g.5gb@-1",
            "1g.5gb@4294967296",
            "1g.5gb@0@1",
            "1g.5gb:1:1",
            "0c.1g.5gb",
            "0g.0gb.5gb",
            "1g.5gb,",
            "-,1g.5gb",
            "1g.5gb:in-use",
            "19",
        ] {
            assert!(read_wishes(text, &a100()).is_err(), "{text:?}");
            assert!(well_formed(text).is_err() || text == "0c.1g.5gb" || text == "0g.0gb.5gb", "{text:?}");
        }
        for text in ["-", "1g.5gb:2,3g.20gb@4", "1g.24gb+gfx,me:2", "1c.3g.20gb", "4g.40gb-me", "99z.tomorrow@3:0"] {
            assert!(well_formed(text).is_ok(), "{text:?}");
        }
        assert!(well_formed(&"1".repeat(64 * 1024)).is_err());
        for text in ["1g.5gb", "1g.5gb@0:2", "1g.5gb@0:in-use:in-use", "1g.5gb@0:IN-USE", "1g.5gb@00"] {
            assert!(read_present(text, &a100()).is_err(), "{text:?}");
        }
        let many = "1g.5gb,".repeat(2000);
        assert!(read_wishes(many.trim_end_matches(','), &a100()).unwrap_err().to_string().contains("1024"));
        let said = read_wishes("1g.5gb:010", &a100()).unwrap_err().to_string();
        assert!(said.contains("\"1g.5gb:010\"") && said.contains("PROFILE[@START][:COUNT]"), "{said}");
    }
}
