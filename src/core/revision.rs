//! Revisions and digests: what the bytes of a Secret are called, and how a change by somebody else is seen.
//!
//! Owns the install key and everything keyed with it. Nothing that leaves this file can be turned back
//! into a value, or guessed at, without the install key.

use std::{collections::BTreeMap, fmt};

use aws_lc_rs::hmac;
use zeroize::Zeroize;

use super::SecretValue;

/// Length of the install key in bytes.
pub const INSTALL_KEY_LEN: usize = 32;

/// Letters and digits of a word: no `i`, `l`, `o`, `u`, which are misread or make words
/// (Crockford's base32, lower case).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The key of this install: 32 random bytes that live in a Secret of the operator's namespace.
pub struct InstallKey {
    /// aws-lc clears it when it is dropped.
    key: hmac::Key,
    id: String,
}

impl InstallKey {
    /// Takes the bytes over and clears them.
    pub fn new(mut bytes: [u8; INSTALL_KEY_LEN]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        bytes.zeroize();
        let tag = hmac::sign(&key, b"keyferry key id");
        let id = tag
            .as_ref()
            .iter()
            .take(4)
            .fold(String::new(), |mut out, byte| {
                out.push(char::from(b"0123456789abcdef"[usize::from(byte >> 4)]));
                out.push(char::from(b"0123456789abcdef"[usize::from(byte & 15)]));
                out
            });
        Self { key, id }
    }

    /// Eight hexadecimal characters that tell this key from another one.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A word of `characters` (at most 51) that stands for `parts` under `purpose`.
    ///
    /// The same parts under another purpose give an unrelated word.
    pub fn word(&self, purpose: &str, parts: &[&str], characters: usize) -> String {
        let mut mac = Mac::new(self, purpose);
        parts.iter().for_each(|part| mac.item(part.as_bytes()));
        mac.word(characters)
    }
}

impl fmt::Debug for InstallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InstallKey({})", self.id)
    }
}

/// The name of one set of bytes in one Secret: 16 characters, 80 bits. It changes if and only if the
/// bytes change, and moving back gives the old word again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision(String);

impl Revision {
    /// Characters of the whole word.
    pub const LEN: usize = 16;
    /// Characters of [`Revision::short`].
    pub const SHORT: usize = 6;

    /// A word as it stands in an annotation; None for anything that is no revision.
    pub fn parse(text: &str) -> Option<Self> {
        let ours = text.len() == Self::LEN && text.bytes().all(|b| ALPHABET.contains(&b));
        ours.then(|| Self(text.to_owned()))
    }

    /// The whole word, for annotations and status.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first six characters, for messages.
    pub fn short(&self) -> &str {
        shown(&self.0)
    }
}

/// True for one or more characters that a revision may begin with.
pub fn is_beginning(text: &str) -> bool {
    (1..=Revision::LEN).contains(&text.len()) && text.bytes().all(|b| ALPHABET.contains(&b))
}

/// A revision's word as messages show it: its first [`Revision::SHORT`] characters.
pub fn shown(word: &str) -> &str {
    word.get(..Revision::SHORT).unwrap_or(word)
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The revision of `data` in the Secret `target` of `namespace`.
///
/// Equal bytes in two Secrets have two unrelated revisions, so that nobody learns that they are equal.
pub fn revision(
    key: &InstallKey,
    namespace: &str,
    target: &str,
    data: &BTreeMap<String, SecretValue>,
) -> Revision {
    let mut mac = Mac::new(key, "revision");
    mac.item(namespace.as_bytes());
    mac.item(target.as_bytes());
    canonical(data, &mut |bytes| mac.feed(bytes));
    Revision(mac.word(Revision::LEN))
}

/// What a Secret's digest stands for. Where the Secret holds keys of others too, `data` is ours only.
#[derive(Clone, Copy)]
pub struct Digested<'a> {
    /// Namespace of the Secret.
    pub namespace: &'a str,
    /// Its name.
    pub target: &'a str,
    /// Our bytes.
    pub data: &'a BTreeMap<String, SecretValue>,
    /// The revision recorded for them.
    pub revision: &'a Revision,
    /// Entry tag to version mark, as recorded.
    pub versions: &'a BTreeMap<String, String>,
}

/// `<key id>.<HMAC>` over data, revision and versions: 8 hexadecimal characters and 26 of base32.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest(String);

/// What a recorded digest says about the bytes beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// Bytes, revision and versions are as we wrote them.
    Intact,
    /// Somebody changed one of them.
    Broken,
    /// It was made with a key we do not hold: nothing can be said.
    UnknownKey,
}

impl Digest {
    /// The digest of `what` under `key`.
    pub fn of(key: &InstallKey, what: Digested<'_>) -> Self {
        let mut mac = Mac::new(key, "digest");
        mac.item(what.namespace.as_bytes());
        mac.item(what.target.as_bytes());
        canonical(what.data, &mut |bytes| mac.feed(bytes));
        mac.item(what.revision.as_str().as_bytes());
        mac.feed(&length(what.versions.len()));
        for (tag, version) in what.versions {
            mac.item(tag.as_bytes());
            mac.item(version.as_bytes());
        }
        Self(format!("{}.{}", key.id(), mac.word(26)))
    }

    /// A digest as it stands in an annotation; None for anything that has not its form.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, mac) = text.split_once('.')?;
        let ours = id.len() == 8
            && id.bytes().all(|b| b.is_ascii_hexdigit())
            && mac.len() == 26
            && mac.bytes().all(|b| ALPHABET.contains(&b));
        ours.then(|| Self(text.to_owned()))
    }

    /// As it stands in an annotation.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this digest, found beside `what`, was made by us for exactly that.
    pub fn check(&self, key: &InstallKey, what: Digested<'_>) -> Seal {
        if self.0.split('.').next() != Some(key.id()) {
            Seal::UnknownKey
        } else if *self == Self::of(key, what) {
            Seal::Intact
        } else {
            Seal::Broken
        }
    }
}

/// One HMAC being fed, separated by purpose.
struct Mac(hmac::Context);

impl Mac {
    fn new(key: &InstallKey, purpose: &str) -> Self {
        let mut mac = Self(hmac::Context::with_key(&key.key));
        mac.item(b"keyferry");
        mac.item(purpose.as_bytes());
        mac
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn item(&mut self, bytes: &[u8]) {
        self.feed(&length(bytes.len()));
        self.feed(bytes);
    }

    fn word(self, characters: usize) -> String {
        word(self.0.sign().as_ref(), characters)
    }
}

/// The canonical form of `data`, piece by piece: the number of keys, then each key and value behind
/// its length. No two different maps give the same bytes, and no copy of the values is made.
fn canonical(data: &BTreeMap<String, SecretValue>, sink: &mut dyn FnMut(&[u8])) {
    sink(&length(data.len()));
    for (key, value) in data {
        for bytes in [key.as_bytes(), value.expose()] {
            sink(&length(bytes.len()));
            sink(bytes);
        }
    }
}

fn length(items: usize) -> [u8; 8] {
    (items as u64).to_be_bytes()
}

/// The first `characters` base32 characters of `bytes`.
fn word(bytes: &[u8], characters: usize) -> String {
    let bit = |n: usize| {
        let byte = bytes.get(n / 8).copied().unwrap_or(0);
        usize::from(byte >> (7 - n % 8) & 1)
    };
    (0..characters)
        .map(|at| (0..5).fold(0, |value, n| value << 1 | bit(at * 5 + n)))
        .map(|value| char::from(ALPHABET[value]))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    fn key(byte: u8) -> InstallKey {
        InstallKey::new([byte; INSTALL_KEY_LEN])
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, SecretValue> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), SecretValue::from((*v).to_owned())))
            .collect()
    }

    fn form(data: &BTreeMap<String, SecretValue>) -> Vec<u8> {
        let mut out = Vec::new();
        canonical(data, &mut |bytes| out.extend_from_slice(bytes));
        out
    }

    #[test]
    fn same_bytes_same_word_and_moving_back_gives_the_old_word() {
        let (a, b) = (map(&[("A", "1")]), map(&[("A", "2")]));
        let at = |data: &BTreeMap<_, _>| revision(&key(1), "ns", "t", data);
        assert_eq!(at(&a), at(&a.clone()));
        assert_ne!(at(&a), at(&b));
    }

    #[test]
    fn namespace_target_and_key_separate_equal_bytes() {
        let data = map(&[("A", "1")]);
        let words = [
            revision(&key(1), "ns", "t", &data),
            revision(&key(2), "ns", "t", &data),
            revision(&key(1), "n", "st", &data),
            revision(&key(1), "ns", "u", &data),
        ];
        let distinct: std::collections::BTreeSet<_> = words.iter().collect();
        assert_eq!(distinct.len(), words.len());
    }

    #[test]
    fn a_word_is_sixteen_readable_characters_and_parses_back() {
        let word = revision(&key(1), "ns", "t", &map(&[("A", "1")]));
        assert_eq!(word.as_str().len(), 16);
        assert_eq!(Revision::parse(word.as_str()), Some(word.clone()));
        assert_eq!(word.short(), &word.as_str()[..6]);
        for wrong in [
            "",
            "abc",
            "ABCDEFGHJKMNPQRS",
            "oooooooooooooooo",
            "0123456789abcdefg",
        ] {
            assert_eq!(Revision::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn base32_takes_five_bits_a_character_from_the_front() {
        assert_eq!(word(&[0b0000_1000, 0b1000_0110], 3), "123");
        assert_eq!(word(&[0xff; 10], 16), "zzzzzzzzzzzzzzzz");
    }

    #[test]
    fn digest_tells_intact_broken_and_unknown_key_apart() {
        let (data, other) = (map(&[("A", "1")]), map(&[("A", "2")]));
        let word = revision(&key(1), "ns", "t", &data);
        let versions = BTreeMap::from([("tag".to_owned(), "v1".to_owned())]);
        let none = BTreeMap::new();
        let what = Digested {
            namespace: "ns",
            target: "t",
            data: &data,
            revision: &word,
            versions: &versions,
        };
        let made = Digest::of(&key(1), what);
        assert_eq!(Digest::parse(made.as_str()), Some(made.clone()));
        assert_eq!(made.check(&key(1), what), Seal::Intact);
        assert_eq!(
            made.check(
                &key(1),
                Digested {
                    data: &other,
                    ..what
                }
            ),
            Seal::Broken
        );
        assert_eq!(
            made.check(
                &key(1),
                Digested {
                    versions: &none,
                    ..what
                }
            ),
            Seal::Broken
        );
        let moved = revision(&key(1), "ns", "t", &other);
        assert_eq!(
            made.check(
                &key(1),
                Digested {
                    revision: &moved,
                    ..what
                }
            ),
            Seal::Broken
        );
        assert_eq!(made.check(&key(2), what), Seal::UnknownKey);
    }

    #[test]
    fn debug_of_the_key_shows_its_id_only() {
        assert_eq!(
            format!("{:?}", key(7)),
            format!("InstallKey({})", key(7).id())
        );
        assert_ne!(key(7).id(), key(8).id());
    }

    type Pairs = BTreeMap<String, Vec<u8>>;

    fn secret(pairs: &Pairs) -> BTreeMap<String, SecretValue> {
        pairs
            .iter()
            .map(|(k, v)| (k.clone(), SecretValue::new(v.clone())))
            .collect()
    }

    proptest! {
        // Short strings over few letters, so that collisions of a careless form would be likely.
        #[test]
        fn no_two_maps_share_a_canonical_form(
            a in prop::collection::btree_map("[ab\0]{0,3}", prop::collection::vec(0u8..3, 0..4), 0..4),
            b in prop::collection::btree_map("[ab\0]{0,3}", prop::collection::vec(0u8..3, 0..4), 0..4),
        ) {
            prop_assert_eq!(a == b, form(&secret(&a)) == form(&secret(&b)));
        }

        // The strong form: the bytes can be read back, so no other map can have them.
        #[test]
        fn the_canonical_form_can_be_read_back(
            a in prop::collection::btree_map(".{0,8}", prop::collection::vec(any::<u8>(), 0..20), 0..8),
        ) {
            let bytes = form(&secret(&a));
            let mut at = 0;
            let mut take = |n: usize| { let s = bytes[at..at + n].to_vec(); at += n; s };
            let number = |b: Vec<u8>| u64::from_be_bytes(b.try_into().unwrap()) as usize;
            let mut back = Pairs::new();
            for _ in 0..number(take(8)) {
                let len = number(take(8));
                let key = String::from_utf8(take(len)).unwrap();
                let len = number(take(8));
                back.insert(key, take(len));
            }
            prop_assert_eq!(at, bytes.len());
            prop_assert_eq!(back, a);
        }
    }
}
