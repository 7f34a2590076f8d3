//! Durations on the command line: `90s`, `5m`, `1h30m`, `250ms`.
//!
//! The one place of the command line that knows the units, so that it can be laid on the parser of
//! the bindings' own fields, which has no use for milliseconds.

use std::time::Duration;

/// Reads whole numbers with the units `h`, `m`, `s`, `ms`, each at most once and in this order.
///
/// # Errors
/// A sentence for the user when the text is no such duration.
pub fn parse(text: &str) -> Result<Duration, String> {
    read(text).ok_or_else(|| {
        format!("`{text}` is no duration; write for example 90s, 5m, 1h30m or 250ms")
    })
}

fn read(text: &str) -> Option<Duration> {
    let (mut rest, mut total) = (text, Duration::ZERO);
    for (unit, millis) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1_u64)] {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (found, after) = after.split_at(letters);
        if found == unit {
            let amount: u64 = number.parse().ok()?;
            total = total.checked_add(Duration::from_millis(amount.checked_mul(millis)?))?;
            rest = after;
        }
    }
    (rest.is_empty() && !text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::parse;
    use std::time::Duration;

    #[test]
    fn whole_numbers_with_a_unit() {
        for (text, seconds) in [
            ("90s", 90),
            ("5m", 300),
            ("1h", 3_600),
            ("0s", 0),
            ("1h30m", 5_400),
            ("1m1s", 61),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "5",
            "m",
            "5 m",
            "1.5h",
            "30m1h",
            "1s1s",
            "1hm",
            "-5m",
            "5M",
            "5d",
            "18446744073709551615h",
            "٣s",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
