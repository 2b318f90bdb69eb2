//! Names of MIG profiles: `[Nc.]Ng.Ngb`, with attributes after `+` or `-`.

use std::fmt;
use std::str::FromStr;

/// Longest name that is read, in bytes; NVIDIA's longest today has 15.
const LONGEST: usize = 256;

/// The name of a MIG profile, taken apart. Two names with the same attributes in another order are equal.
#[derive(Debug, Clone)]
pub struct ProfileName {
    /// Compute slices of the compute instance; those of the GPU instance where the name does not say (`Nc.`).
    pub compute: u32,
    /// Compute slices of the GPU instance.
    pub gpu: u32,
    /// Memory of the GPU instance in GB, as NVIDIA rounds it.
    pub memory_gb: u64,
    /// Attributes that the instance has (`+me`, `+gfx`, `+me.all`), in the order of the text.
    pub plus: Vec<String>,
    /// Attributes that it lacks (`-me`), in the order of the text.
    pub minus: Vec<String>,
}

/// A text that is no name of a MIG profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a MIG profile: {why}; expected [Nc.]Ng.Ngb, as 1g.10gb, 1c.3g.40gb or 1g.10gb+me")]
pub struct BadProfile {
    /// The text, at most 64 characters of it.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

impl ProfileName {
    /// True where the compute instance has all slices of its GPU instance.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.compute == self.gpu
    }

    /// The GPU instance's own name: without `Nc.`.
    #[must_use]
    pub fn gpu_instance(&self) -> Self {
        Self { compute: self.gpu, ..self.clone() }
    }

    /// True where nothing is after `+` or `-`.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        self.plus.is_empty() && self.minus.is_empty()
    }

    /// The one text for all names that are equal: attributes sorted, `Nc.` only where it states something.
    #[must_use]
    pub fn canonical(&self) -> String {
        let sorted = |list: &[String]| {
            let mut list = list.to_vec();
            list.sort_unstable();
            list
        };
        Self { plus: sorted(&self.plus), minus: sorted(&self.minus), ..self.clone() }.to_string()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("it has {} bytes, more than {LONGEST}", text.len()));
        }
        let (fields, plus, minus) = match (text.split_once('+'), text.split_once('-')) {
            (Some(_), Some(_)) => return Err("it has attributes after + and after -".to_owned()),
            (Some((fields, list)), None) => (fields, attributes(list)?, Vec::new()),
            (None, Some((fields, list))) => (fields, Vec::new(), attributes(list)?),
            (None, None) => (text, Vec::new(), Vec::new()),
        };
        let parts: Vec<&str> = fields.splitn(3, '.').collect();
        let (compute, gpu, memory) = match parts.as_slice() {
            [compute, gpu, memory] => (Some(number(compute, "c")?), number(gpu, "g")?, number(memory, "gb")?),
            [gpu, memory] => (None, number(gpu, "g")?, number(memory, "gb")?),
            _ => return Err("it has not two or three parts between dots".to_owned()),
        };
        let slices = |value: u64| u32::try_from(value).map_err(|_| format!("{value} slices are more than any GPU has"));
        let gpu = slices(gpu)?;
        let name = Self { compute: compute.map_or(Ok(gpu), slices)?, gpu, memory_gb: memory, plus, minus };
        name.possible()?;
        Ok(name)
    }

    /// `0g.0gb` is a name that files use for "a profile that nobody has"; anything else with a zero is a slip.
    fn possible(&self) -> Result<(), String> {
        let nothing = self.gpu == 0 && self.memory_gb == 0 && self.compute == 0;
        match () {
            () if nothing => Ok(()),
            () if self.gpu == 0 => Err("it has no compute slice (0g)".to_owned()),
            () if self.memory_gb == 0 => Err("it has no memory (0gb)".to_owned()),
            () if self.compute == 0 => Err("its compute instance has no slice (0c)".to_owned()),
            () if self.compute > self.gpu => {
                Err(format!("a compute instance of {} slices does not fit into {}", self.compute, self.gpu))
            }
            () => Ok(()),
        }
    }
}

fn number(text: &str, unit: &str) -> Result<u64, String> {
    let digits = text.strip_suffix(unit).ok_or_else(|| format!("{text:?} does not end with {unit:?}"))?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{digits:?} before {unit:?} is not a number"));
    }
    let fits = digits.parse::<u64>().ok().filter(|value| i64::try_from(*value).is_ok());
    fits.ok_or_else(|| format!("the number before {unit:?} is too large"))
}

fn attributes(text: &str) -> Result<Vec<String>, String> {
    let mut list: Vec<String> = Vec::new();
    for word in text.split(',') {
        let begins = word.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        if !begins || !plain || word.ends_with('.') {
            return Err(format!(
                "{word:?} is not an attribute: letters, digits and inner dots, beginning with a letter"
            ));
        }
        if list.iter().any(|known| known == word) {
            return Err(format!("the attribute {word} occurs twice"));
        }
        list.push(word.to_owned());
    }
    Ok(list)
}

impl PartialEq for ProfileName {
    fn eq(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }
}

impl Eq for ProfileName {}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_whole() {
            write!(f, "{}c.", self.compute)?;
        }
        write!(f, "{}g.{}gb", self.gpu, self.memory_gb)?;
        for (sign, list) in [('+', &self.plus), ('-', &self.minus)] {
            if !list.is_empty() {
                write!(f, "{sign}{}", list.join(","))?;
            }
        }
        Ok(())
    }
}

impl FromStr for ProfileName {
    type Err = BadProfile;

    fn from_str(text: &str) -> Result<Self, BadProfile> {
        Self::parse(text).map_err(|why| BadProfile { text: text.chars().take(64).collect(), why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ProfileName {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_says_slices_memory_and_attributes() {
        let split = name("1c.3g.71gb");
        assert_eq!((split.compute, split.gpu, split.memory_gb, split.is_whole()), (1, 3, 71, false));
        assert_eq!(split.gpu_instance().to_string(), "3g.71gb");
        assert_eq!(name("2g.48gb+me.all").plus, ["me.all"]);
        assert_eq!(name("1g.24gb-me").minus, ["me"]);
        assert!(name("1g.24gb").is_plain() && !name("1g.24gb+tomorrow").is_plain());
        assert_eq!(name("0g.0gb").to_string(), "0g.0gb");
    }

    #[test]
    fn equal_names_have_one_text() {
        assert_eq!(name("1g.24gb+gfx,me"), name("1g.24gb+me,gfx"));
        assert_eq!(name("3c.3g.71gb"), name("3g.71gb"));
        assert_eq!(name("01g.018gb").to_string(), "1g.18gb");
        assert_ne!(name("1g.24gb+me"), name("1g.24gb-me"));
        assert_eq!(name("1g.24gb+me,gfx").to_string(), "1g.24gb+me,gfx", "printed as it was written");
    }

    #[test]
    fn what_is_no_profile_is_refused_and_says_why() {
        for (text, why) in [
            ("", "parts between dots"),
            ("19", "parts between dots"),
            ("1g.18gb ", "does not end"),
            (" 1g.18gb", "is not a number"),
            ("1g.0gb", "no memory"),
            ("0c.1g.18gb", "no slice"),
            ("0g.18gb", "no compute slice"),
            ("2c.1g.18gb", "does not fit"),
            ("1g.18gb+", "not an attribute"),
            ("1g.18gb+me,me", "twice"),
            ("1g.18gb+me-gfx", "after + and after -"),
            ("1g.18gb+mé", "not an attribute"),
            ("1g.+18gb", "not an attribute"),
            ("1g.99999999999999999999gb", "too large"),
            ("9999999999g.5gb", "more than any GPU"),
        ] {
            let said = text.parse::<ProfileName>().unwrap_err().to_string();
            assert!(said.contains(why), "{text:?}: {said}");
        }
        let long = format!("1g.18gb+{}", "a".repeat(300));
        assert!(long.parse::<ProfileName>().unwrap_err().to_string().len() < 300);
    }
}
