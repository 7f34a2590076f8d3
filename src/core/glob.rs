//! Anchored globs over names: `*` stands for any characters, `/` included, `?` for exactly one.
//!
//! Nothing else is special and nothing can be escaped: names of entries hold neither character.

/// Whether the whole text matches the pattern.
///
/// Takes at most pattern times text steps, never more, whatever the pattern.
pub fn glob_matches(pattern: &str, text: &str) -> bool {
    Glob::parse(pattern).matches(text)
}

/// A pattern, parsed; parts of it can come from text in which nothing is special.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Glob(Vec<Token>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Literal(char),
    One,
    Any,
}

impl Glob {
    /// Every text is a pattern.
    pub fn parse(pattern: &str) -> Self {
        let mut glob = Self::default();
        glob.push_pattern(pattern);
        glob
    }

    /// Like [`Glob::parse`], with every `placeholder` standing for `value`, taken as it is: a `*` in
    /// the value is a star and nothing more.
    pub fn expand(pattern: &str, placeholder: &str, value: &str) -> Self {
        let mut glob = Self::default();
        for (index, part) in pattern.split(placeholder).enumerate() {
            if index > 0 {
                glob.0.extend(value.chars().map(Token::Literal));
            }
            glob.push_pattern(part);
        }
        glob
    }

    fn push_pattern(&mut self, pattern: &str) {
        self.0.extend(pattern.chars().map(|c| match c {
            '*' => Token::Any,
            '?' => Token::One,
            other => Token::Literal(other),
        }));
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut at, mut token) = (0, 0);
        // Where to go on when the text after the last star turns out not to fit: one character later.
        let mut last_star: Option<(usize, usize)> = None;
        while at < text.len() {
            match self.0.get(token) {
                Some(Token::Any) => {
                    last_star = Some((token + 1, at));
                    token += 1;
                }
                Some(Token::One) => (at, token) = (at + 1, token + 1),
                Some(Token::Literal(c)) if *c == text[at] => (at, token) = (at + 1, token + 1),
                _ => match last_star {
                    Some((after, from)) => {
                        last_star = Some((after, from + 1));
                        (at, token) = (from + 1, after);
                    }
                    None => return false,
                },
            }
        }
        self.0[token..].iter().all(|rest| *rest == Token::Any)
    }

    /// Whether everything that begins with `prefix` matches: the prefix itself does, and the pattern
    /// ends in a star that takes whatever follows.
    ///
    /// May say no where the answer is yes (`a?*` and prefix `a` with no entry named `a`), never the
    /// other way round.
    pub fn matches_everything_under(&self, prefix: &str) -> bool {
        self.0.last() == Some(&Token::Any) && self.matches(prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text_must_match() {
        let cases = [
            ("", "", true),
            ("", "a", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("a", "ba", false),
            ("a", "", false),
            ("*", "", true),
            ("*", "anything/at all", true),
            ("**", "x", true),
            ("?", "", false),
            ("?", "ä", true),
            ("?", "ab", false),
            ("estate/*", "estate/", true),
            ("estate/*", "estate/rds/password", true),
            ("estate/*", "estate", false),
            ("estate/*", "estates/x", false),
            ("estate/*", "other/estate/x", false),
            ("*_DEBUG", "A_DEBUG", true),
            ("*_DEBUG", "A_DEBUG_B", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "abcbc", true),
            ("a*b*c", "acb", false),
            ("a*b?c", "abbbXc", true),
            ("a?c", "a/c", true),
            ("[a-z]", "b", false),
            ("[a-z]", "[a-z]", true),
            ("a.c", "abc", false),
            ("A*", "abc", false),
        ];
        for (pattern, text, wanted) in cases {
            assert_eq!(glob_matches(pattern, text), wanted, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn an_expanded_value_is_taken_as_it_is() {
        let of = |namespace| Glob::expand("{ns}/*", "{ns}", namespace);
        assert!(of("estate").matches("estate/a"));
        assert!(!of("estate").matches("pay/a"));
        assert!(!of("*").matches("pay/a"));
        assert!(of("*").matches("*/a"));
        assert!(!of("e?tate").matches("estate/a"));
        assert!(Glob::expand("{ns}-{ns}", "{ns}", "a").matches("a-a"));
    }

    #[test]
    fn everything_under_a_prefix() {
        let cases = [
            ("estate/*", "estate/", true),
            ("estate/*", "estate/prod/", true),
            ("estate/*", "estate", false),
            ("estate/*", "e", false),
            ("estate/*", "pay/", false),
            ("*", "a", true),
            ("estate/*/db", "estate/prod/", false),
            ("estate/prod/", "estate/prod/", false),
            ("*/shared/*", "pay/shared/", true),
            ("*/shared/*", "pay/", false),
            ("a?*", "ab", true),
            ("a?*", "a", false),
        ];
        for (pattern, prefix, wanted) in cases {
            let glob = Glob::parse(pattern);
            assert_eq!(
                glob.matches_everything_under(prefix),
                wanted,
                "{pattern} {prefix}"
            );
            for member in ["", "x", "prod/db", "*"] {
                let name = format!("{prefix}{member}");
                assert!(!wanted || glob.matches(&name), "{pattern} {name}");
            }
        }
    }

    /// Would take longer than the universe lasts if stars were tried in every combination.
    #[test]
    fn many_stars_stay_cheap() {
        let pattern = "a*".repeat(250);
        assert!(!glob_matches(&format!("{pattern}b"), &"a".repeat(512)));
    }
}
