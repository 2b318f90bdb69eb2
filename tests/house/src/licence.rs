//! Licence expressions of SPDX (`MIT OR (Apache-2.0 AND ISC)`), and whether what is allowed satisfies one.

/// True where the licences that `allowed` says yes to are enough for the expression. `/` stands for `OR`, as crates wrote it once.
/// What cannot be read is not satisfied.
#[must_use]
pub fn satisfied(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    matches!(either(&words, allowed), Some((true, [])))
}

type Read<'a, 'w> = Option<(bool, &'a [&'w str])>;

/// `a OR b`.
fn either<'a, 'w>(words: &'a [&'w str], allowed: &dyn Fn(&str) -> bool) -> Read<'a, 'w> {
    let (mut holds, mut rest) = both(words, allowed)?;
    while let [first, after @ ..] = rest
        && *first == "OR"
    {
        let (next, left) = both(after, allowed)?;
        (holds, rest) = (holds || next, left);
    }
    Some((holds, rest))
}

/// `a AND b`, which binds closer.
fn both<'a, 'w>(words: &'a [&'w str], allowed: &dyn Fn(&str) -> bool) -> Read<'a, 'w> {
    let (mut holds, mut rest) = one(words, allowed)?;
    while let [first, after @ ..] = rest
        && *first == "AND"
    {
        let (next, left) = one(after, allowed)?;
        (holds, rest) = (holds && next, left);
    }
    Some((holds, rest))
}

/// A licence, with its exception, or an expression in parentheses.
fn one<'a, 'w>(words: &'a [&'w str], allowed: &dyn Fn(&str) -> bool) -> Read<'a, 'w> {
    match words {
        ["(", inside @ ..] => match either(inside, allowed)? {
            (holds, [")", rest @ ..]) => Some((holds, rest)),
            _ => None,
        },
        [licence, "WITH", exception, rest @ ..] => Some((allowed(&format!("{licence} WITH {exception}")), rest)),
        ["OR" | "AND" | "WITH" | ")", ..] | [] => None,
        [licence, rest @ ..] => Some((allowed(licence), rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::satisfied;

    #[test]
    fn expressions_are_satisfied_by_what_is_allowed() {
        let allowed = |licence: &str| ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].contains(&licence);
        for (expression, holds) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("MIT AND GPL-3.0", false),
            ("MIT/Apache-2.0", true),
            ("Apache-2.0 / MIT", true),
            ("GPL-3.0 OR MIT AND ISC", true),
            ("GPL-3.0 AND MIT OR ISC", true),
            ("GPL-3.0 AND (MIT OR ISC)", false),
            ("(MIT OR GPL-3.0) AND ISC", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("Apache-2.0", false),
            ("MIT WITH LLVM-exception", false),
            ("", false),
            ("MIT OR", false),
            ("(MIT", false),
            ("MIT ISC", false),
        ] {
            assert_eq!(satisfied(expression, &allowed), holds, "{expression}");
        }
    }
}
