//! Which words of a line are secrets: the names that speak of them, the shapes of tokens, and addresses with a password.

use super::value;

/// A piece of a line: keep, drop, go on with the rest.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut<'a> {
    pub(super) keep: &'a str,
    pub(super) drop: &'a str,
    pub(super) rest: &'a str,
}

/// Anywhere in a name, these speak of a secret.
const IN_A_NAME: [&str; 14] = [
    "token",
    "passwd",
    "password",
    "passphrase",
    "secret",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "cookie",
    "authorization",
    "bearer",
    "registryauth",
    "dockerconfig",
];

/// As one part of a name (`api_key`, `rd.luks.key`, `"auth"`), these do.
const PART_OF_A_NAME: [&str; 9] = ["key", "auth", "auths", "pass", "pwd", "psk", "pw", "jwt", "passcode"];

/// Beginnings of tokens that are known for what they are, wherever they stand.
const BEGINNINGS: [&str; 17] = [
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "hf_",
    "sk-",
    "nvapi-",
    "dckr_pat_",
    "AKIA",
    "ASIA",
    "eyJ",
];

/// No token that is known by its beginning is shorter.
const TOKEN_MIN_CHARS: usize = 16;

/// A word behind `password` or `token` in a sentence is taken for one from this length on, if it has letters and digits.
const RANDOM_MIN_CHARS: usize = 8;

/// True for the name of a field, variable or option that holds a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let joined: String = lower.chars().filter(char::is_ascii_alphanumeric).collect();
    let parts = split_camel(name);
    IN_A_NAME.iter().any(|word| joined.contains(word))
        || parts.iter().any(|part| PART_OF_A_NAME.contains(&part.as_str()))
}

/// `apiKey`, `api-key` and `API_KEY` have the parts `api` and `key`.
fn split_camel(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut was_lower = false;
    for char in name.chars() {
        let starts_a_part = char.is_ascii_uppercase() && was_lower;
        if starts_a_part || !char.is_ascii_alphanumeric() {
            parts.push(String::new());
        }
        was_lower = char.is_ascii_lowercase() || char.is_ascii_digit();
        if let Some(part) = parts.last_mut().filter(|_| char.is_ascii_alphanumeric()) {
            part.push(char.to_ascii_lowercase());
        }
    }
    parts
}

const fn in_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.')
}

/// The next cut; `None` where the line ends.
pub(super) fn next(line: &str) -> Option<Cut<'_>> {
    let begin = line.find(in_word)?;
    let (_, from) = line.split_at_checked(begin)?;
    let end = from.find(|char| !in_word(char)).unwrap_or(from.len());
    let (word, behind) = from.split_at_checked(end)?;
    let secret = of_address(behind)
        .or_else(|| of_name(word, behind))
        .or_else(|| is_known_token(word).then_some((word, behind)))
        .unwrap_or(("", behind));
    let (drop, rest) = secret;
    let kept = line.len() - rest.len() - drop.len();
    Some(Cut { keep: line.get(..kept)?, drop, rest })
}

/// `https://user:password@host`: the part between `//` and the last `@`, wherever the address ends.
fn of_address(behind: &str) -> Option<(&str, &str)> {
    let address = behind.strip_prefix("://")?;
    let end = address
        .find(|char: char| char.is_whitespace() || matches!(char, '"' | '\'' | '<' | '>'))
        .unwrap_or(address.len());
    let at = address.get(..end)?.rfind('@')?;
    address.split_at_checked(at).filter(|(user, _)| !user.is_empty())
}

/// The value behind a name that speaks of a secret.
fn of_name<'a>(word: &str, behind: &'a str) -> Option<(&'a str, &'a str)> {
    if is_authorization(word) {
        return value::after_separator(behind).map(value::to_the_end);
    }
    if word.eq_ignore_ascii_case("bearer") {
        return value::next_word(behind).filter(|(secret, _)| secret.len() >= RANDOM_MIN_CHARS);
    }
    if !is_secret_name(word) {
        return None;
    }
    if let Some(from) = value::after_separator(behind) {
        return Some(value::one(from)).filter(|(secret, _)| !secret.is_empty());
    }
    value::next_word(behind).filter(|(secret, _)| word.starts_with('-') || looks_random(secret))
}

fn is_authorization(word: &str) -> bool {
    word.to_ascii_lowercase().ends_with("authorization")
}

fn is_known_token(word: &str) -> bool {
    word.len() >= TOKEN_MIN_CHARS && BEGINNINGS.iter().any(|begin| word.starts_with(begin))
}

fn looks_random(word: &str) -> bool {
    word.len() >= RANDOM_MIN_CHARS
        && word.chars().any(|c| c.is_ascii_digit())
        && word.chars().any(|c| c.is_ascii_alphabetic())
        && !word.contains('/')
}
