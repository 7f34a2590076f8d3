//! What the person at the terminal sees. Owns the look; knows no facts.

use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, Instant};

/// Where the text beside a label begins.
const COLUMN: usize = 26;

/// Lines with the time since the start.
pub(crate) struct Screen {
    started: Instant,
}

impl Screen {
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// `[ 0:04] label                     text`
    pub(crate) fn fact(&self, label: &str, text: impl Display) {
        self.line(&column(label, COLUMN), text);
    }

    /// `[ 0:17] text`
    pub(crate) fn line(&self, label: &str, text: impl Display) {
        let seconds = self.started.elapsed().as_secs();
        say(&format!(
            "[{:>2}:{:02}] {label}{text}",
            seconds / 60,
            seconds % 60
        ));
    }

    /// A line that belongs to the fact above it.
    pub(crate) fn detail(&self, text: impl Display) {
        say(&format!("        {text}"));
    }
}

/// A terminal that went away is no reason to stop before what was started is stopped.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Padded to a width, with at least two blanks behind it.
pub(crate) fn column(text: &str, width: usize) -> String {
    let width = width.max(text.chars().count() + 2);
    format!("{text:<width$}")
}

/// `0.9s`, from 10 seconds on `17s`.
pub(crate) fn seconds(elapsed: Duration) -> String {
    match elapsed.as_secs() {
        0..10 => format!("{:.1}s", elapsed.as_secs_f32()),
        whole => format!("{whole}s"),
    }
}

/// `JWT_SECRET SES_* (2)`: names that share their first word are counted.
pub(crate) fn keys<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for name in names {
        let word = name.split('_').next().unwrap_or(name);
        match groups.iter_mut().find(|(known, _)| *known == word) {
            Some((_, members)) => members.push(name),
            None => groups.push((word, vec![name])),
        }
    }
    let shown: Vec<String> = groups
        .into_iter()
        .map(|(word, members)| match members.as_slice() {
            [alone] => (*alone).to_owned(),
            many => format!("{word}_* ({})", many.len()),
        })
        .collect();
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_never_touch() {
        assert_eq!(column("ab", 4), "ab  ");
        assert_eq!(column("abcdef", 4), "abcdef  ");
    }

    #[test]
    fn short_times_have_a_tenth() {
        assert_eq!(seconds(Duration::from_millis(940)), "0.9s");
        assert_eq!(seconds(Duration::from_millis(17_800)), "17s");
    }

    #[test]
    fn keys_of_one_word_are_counted() {
        let names = ["JWT_SECRET", "SES_ID", "SES_KEY", "URL"];
        assert_eq!(keys(names.into_iter()), "JWT_SECRET SES_* (2) URL");
        assert_eq!(keys(std::iter::empty()), "");
    }
}
