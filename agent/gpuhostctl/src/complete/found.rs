//! What can complete a word, and how the shell goes on with it.

/// How the shell goes on: with the candidates.
pub(super) const VALUES: &str = "values";
/// The same, and the word may go on behind a candidate: no space after it.
pub(super) const PARTS: &str = "parts";
/// With the names of files.
pub(super) const FILES: &str = "files";

/// What can complete a word.
#[derive(Debug)]
pub(super) struct Found {
    /// How the shell goes on.
    pub(super) how: &'static str,
    /// Whole words, each with what it is.
    pub(super) values: Vec<(String, String)>,
}
