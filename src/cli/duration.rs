//! Durations on the command line: `90s`, `5m`, `1h30m`, `250ms`.

use std::time::Duration;

use crate::core::duration;

/// Reads a duration as bindings write it, or with milliseconds.
///
/// # Errors
/// A sentence for the user when the text is no such duration.
pub fn parse(text: &str) -> Result<Duration, String> {
    duration::parse_fine(text)
        .map_err(|_| format!("`{text}` is no duration; write for example 90s, 5m, 1h30m or 250ms"))
}

/// How long something may take that is waited for: never zero, which would fail every call, and below the 10 minutes
/// after which somebody would take the process for hung.
///
/// # Errors
/// A sentence for the user when the text is no duration, or one of no use.
pub fn patience(text: &str) -> Result<Duration, String> {
    let patience = parse(text)?;
    match (Duration::from_millis(100)..=Duration::from_secs(600)).contains(&patience) {
        true => Ok(patience),
        false => Err("must be between 100ms and 10m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{parse, patience};
    use std::time::Duration;

    #[test]
    fn units_and_the_sentence_for_anything_else() {
        assert_eq!(parse("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        for text in ["", "5", "18446744073709551615h", "1hm"] {
            let told = parse(text);
            assert!(told.is_err_and(|told| told.contains("90s, 5m")), "{text}");
        }
    }

    #[test]
    fn patience_has_ends() {
        for (text, good) in [
            ("100ms", true),
            ("10m", true),
            ("99ms", false),
            ("0s", false),
            ("601s", false),
        ] {
            assert_eq!(patience(text).is_ok(), good, "{text}");
        }
    }
}
