//! Paths into JSON as others write them, where ours say the same.

/// A path of gjson (External Secrets' `property`). A name with dots that stands at the top level is tried first by both.
/// None for what gjson computes: wildcards, queries, modifiers, pipes.
pub(super) fn of_gjson(path: &str) -> Option<String> {
    let (mut parts, mut part, mut escaped, mut any) = (Vec::new(), String::new(), false, false);
    for c in path.chars() {
        match (escaped, c) {
            (false, '\\') => (escaped, any) = (true, true),
            (false, '.') => parts.push(std::mem::take(&mut part)),
            (false, '*' | '?' | '#' | '|') => return None,
            (false, '@' | '!' | '{' | '[') if part.is_empty() => return None,
            _ => {
                part.push(c);
                escaped = false;
            }
        }
    }
    parts.push(part);
    if escaped || parts.iter().any(String::is_empty) {
        return None;
    }
    // Ours take a slash in front for a pointer, unless the whole is a name at the top level.
    let plain = !any && (parts.len() == 1 || !path.starts_with('/'));
    Some(match plain {
        true => path.to_owned(),
        false => pointer(&parts),
    })
}

/// A JMESPath of names and indices (the CSI provider's `jmesPath`). None for what JMESPath computes.
pub(super) fn of_jmespath(path: &str) -> Option<String> {
    let (mut parts, mut rest) = (Vec::new(), path);
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (name, after) = quoted.split_once('"')?;
            if name.is_empty() || name.contains('\\') {
                return None;
            }
            parts.push(name.to_owned());
            rest = after;
        } else {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
                return None;
            }
            parts.push(name.to_owned());
            rest = after;
        }
        while let Some(index) = rest.strip_prefix('[') {
            let (number, after) = index.split_once(']')?;
            number.parse::<u32>().ok()?;
            parts.push(number.to_owned());
            rest = after;
        }
        match rest.strip_prefix('.') {
            Some(after) => rest = after,
            None if rest.is_empty() => break,
            None => return None,
        }
    }
    let simple = |part: &String| !part.contains(['.', '/', '~']);
    Some(match parts.as_slice() {
        [one] => one.clone(),
        many if many.iter().all(simple) => many.join("."),
        many => pointer(many),
    })
}

fn pointer(parts: &[String]) -> String {
    let escaped = parts
        .iter()
        .map(|part| part.replace('~', "~0").replace('/', "~1"));
    escaped.fold(String::new(), |all, part| format!("{all}/{part}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::core::json;

    #[test]
    fn paths_lead_to_the_same_place() {
        let text = r#"{"name": {"first": "a", "x.y": "b"}, "friends": [{"first": "c"}, {"first": "d"}], "a.b": "e", "/s": {"t": "f"}, "at@x": "g", "a-b": {"c": "h"}}"#;
        let found = |property: &str| {
            let value = json::property(text, property).unwrap();
            value.as_str().unwrap().to_owned()
        };
        for (gjson, value) in [
            ("name.first", "a"),
            ("name.x\\.y", "b"),
            ("friends.1.first", "d"),
            ("a.b", "e"),
            ("a\\.b", "e"),
            ("/s.t", "f"),
            ("at@x", "g"),
            ("a-b.c", "h"),
        ] {
            assert_eq!(found(&of_gjson(gjson).unwrap()), value, "{gjson}");
        }
        for computed in [
            "friends.#",
            "friends.#(first==\"c\").first",
            "na*",
            "a|b",
            "@this",
            "{a,b}",
            "a..b",
            "",
            "a\\",
        ] {
            assert_eq!(of_gjson(computed), None, "{computed}");
        }
        for (jmes, value) in [
            ("name.first", "a"),
            ("name.\"x.y\"", "b"),
            ("friends[1].first", "d"),
            ("\"a.b\"", "e"),
            ("\"/s\".t", "f"),
            ("\"a-b\".c", "h"),
        ] {
            assert_eq!(found(&of_jmespath(jmes).unwrap()), value, "{jmes}");
        }
        for computed in [
            "friends[*].first",
            "a || b",
            "length(a)",
            "a-b",
            "[0]",
            "a.",
            "",
            "friends[-1]",
            "@",
        ] {
            assert_eq!(of_jmespath(computed), None, "{computed}");
        }
    }
}
