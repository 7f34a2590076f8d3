//! Globs over names: `*` is any run of characters including `/`, `?` is one character.

/// Whether the whole of `text` matches `pattern`. Everything but `*` and `?` stands for itself.
///
/// Keeps one place to return to (the latest `*`), so the cost is bounded by the product of the two
/// lengths whatever the pattern; there is no recursion.
pub fn glob_matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((after_star, from)) => {
                    p = after_star;
                    t = from + 1;
                    retry = Some((after_star, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_anchored_and_star_crosses_slashes() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "a/b", true),
            ("MYSQL_*", "MYSQL_HOST", true),
            ("MYSQL_*", "XMYSQL_HOST", false),
            ("MYSQL_*", "MYSQL_", true),
            ("*_KEY", "API_KEY_2", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("?", "é", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("[ab]", "a", false),
            ("A", "a", false),
        ] {
            assert_eq!(glob_matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_end() {
        assert!(!glob_matches(&"*a".repeat(100), &"a".repeat(99)));
        assert!(glob_matches(&"*a".repeat(100), &"a".repeat(100)));
    }
}
