//! Finds secret values, or parts of them, where they must never be.
//!
//! Every secret value of a test is made by [`Canaries::value`], so that it is random and known. At the
//! end each channel (logs, statuses, events, metrics, errors) is searched for every 8-byte piece of
//! every value: raw, base64, base64url, hex, URL-encoded and JSON-escaped.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use aho_corasick::AhoCorasick;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use rand::Rng;

/// The shortest piece of a value that counts as a leak.
pub const PIECE: usize = 8;

/// The values of a run.
#[derive(Default)]
pub struct Canaries {
    values: Mutex<Vec<Vec<u8>>>,
    made: AtomicU64,
}

impl Canaries {
    /// A new random value of printable characters that begins with nothing predictable. It holds
    /// characters that URL encoding and JSON escaping change.
    pub fn value(&self) -> String {
        const ALPHABET: &[u8] =
            b"abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789/+=\"\\&%$#@!?:;,<>{}~^ ";
        self.made.fetch_add(1, Ordering::Relaxed);
        let text: String = (0..28)
            .map(|_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())]))
            .collect();
        self.register(text.as_bytes());
        text
    }

    /// A new random value of letters and digits, for places that take no others.
    pub fn plain(&self) -> String {
        let letters = rand::rng().sample_iter(rand::distr::Alphanumeric);
        let text: String = letters.take(28).map(char::from).collect();
        self.register(text.as_bytes());
        text
    }

    /// Declares a value that a test made itself. Shorter ones than [`PIECE`] cannot be searched for.
    pub fn register(&self, value: &[u8]) {
        self.values
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(value.to_vec());
    }

    /// A scanner for all values so far.
    ///
    /// # Errors
    /// When there is nothing to search for: such a scan could not fail.
    pub fn scanner(&self) -> Result<Scanner, String> {
        let values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let patterns: BTreeSet<Vec<u8>> = values.iter().flat_map(|v| patterns(v)).collect();
        if patterns.is_empty() {
            return Err("no canary value was made".to_owned());
        }
        let automaton = AhoCorasick::new(&patterns).map_err(|e| e.to_string())?;
        Ok(Scanner {
            automaton,
            values: values.len(),
        })
    }
}

/// Searches text for the values of a run.
pub struct Scanner {
    automaton: AhoCorasick,
    values: usize,
}

/// One leak. Shows where, never what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// Which channel.
    pub channel: String,
    /// Offset in bytes.
    pub offset: usize,
    /// The text before the leak, for finding its place.
    pub before: String,
}

impl Scanner {
    /// How many values are searched for.
    pub fn values(&self) -> usize {
        self.values
    }

    /// The first leak in a text.
    pub fn scan(&self, channel: &str, text: &[u8]) -> Option<Leak> {
        let found = self.automaton.find(text)?;
        let from = found.start().saturating_sub(200);
        let before = String::from_utf8_lossy(&text[from..found.start()]).into_owned();
        Some(Leak {
            channel: channel.to_owned(),
            offset: found.start(),
            before,
        })
    }
}

/// Every piece of a value in every encoding.
fn patterns(value: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for piece in value.windows(PIECE) {
        all.push(piece.to_vec());
        all.push(hex(piece, "0123456789abcdef"));
        all.push(hex(piece, "0123456789ABCDEF"));
        all.push(percent_encoded(piece));
        if let Ok(text) = std::str::from_utf8(piece) {
            let quoted = serde_json::Value::from(text).to_string();
            all.push(quoted.as_bytes()[1..quoted.len() - 1].to_vec());
        }
        all.extend(base64_inner(piece));
    }
    all
}

/// The part of a piece's base64 that is the same wherever the piece begins within three bytes.
fn base64_inner(piece: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..3_usize).flat_map(move |offset| {
        // Whole groups of three inside the piece encode to the same text in any surroundings.
        let from = (3 - offset) % 3;
        let whole = (piece.len() - from) / 3 * 3;
        let inner = &piece[from..from + whole];
        let long_enough = inner.len() >= 6;
        [STANDARD_NO_PAD.encode(inner), URL_SAFE_NO_PAD.encode(inner)]
            .into_iter()
            .filter(move |_| long_enough)
            .map(String::into_bytes)
    })
}

fn hex(piece: &[u8], digits: &str) -> Vec<u8> {
    let digits = digits.as_bytes();
    piece
        .iter()
        .flat_map(|b| [digits[usize::from(b >> 4)], digits[usize::from(b & 15)]])
        .collect()
}

fn percent_encoded(piece: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in piece {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(*byte);
        } else {
            out.extend(format!("%{byte:02X}").into_bytes());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    /// What a leak could look like: the whole value or eight bytes of it, in every encoding.
    fn disguises(value: &str) -> Vec<(&'static str, String)> {
        let url: String = percent_encoded(value.as_bytes())
            .into_iter()
            .map(char::from)
            .collect();
        vec![
            ("raw", value.to_owned()),
            ("piece", value[9..17].to_owned()),
            ("base64", STANDARD.encode(value)),
            ("base64 inside more", STANDARD.encode(format!("x{value}y"))),
            (
                "base64 inside even more",
                STANDARD.encode(format!("xx{value}yy")),
            ),
            ("base64url", URL_SAFE.encode(value)),
            (
                "hex",
                String::from_utf8(hex(value.as_bytes(), "0123456789abcdef")).unwrap(),
            ),
            (
                "HEX",
                String::from_utf8(hex(value.as_bytes(), "0123456789ABCDEF")).unwrap(),
            ),
            ("url", url),
            ("json", serde_json::Value::from(value).to_string()),
        ]
    }

    #[test]
    fn a_planted_leak_is_found_in_every_encoding() {
        for _ in 0..50 {
            let canaries = Canaries::default();
            let values = [canaries.value(), canaries.plain()];
            let scanner = canaries.scanner().unwrap();
            for (name, text) in values.iter().flat_map(|v| disguises(v)) {
                let line = format!("{{\"level\":\"INFO\",\"message\":\"before {text} after\"}}");
                assert!(
                    scanner.scan("log", line.as_bytes()).is_some(),
                    "{name} was not found"
                );
            }
        }
    }

    #[test]
    fn clean_text_is_clean_and_a_scan_for_nothing_is_an_error() {
        let canaries = Canaries::default();
        assert!(canaries.scanner().is_err());
        let value = canaries.plain();
        let scanner = canaries.scanner().unwrap();
        assert_eq!(
            scanner.scan("log", b"Secret backend holds 4 keys at revision k3v9q2"),
            None
        );
        assert_eq!(scanner.scan("log", &value.as_bytes()[..7]), None);
    }
}
