//! Markers: the annotations on a pod template whose change makes the API server's controllers
//! replace pods.
//!
//! A marker's text is a revision word, or `<revision>.<n>` where the plain word would not make the
//! template differ or would bring back pods that run with other bytes.

use std::fmt::Write;

use aws_lc_rs::digest;

use crate::{
    api::{binding::CreationPolicy, names::MARKER_PREFIX},
    core::recipe::TargetRecipe,
};

/// Longest name part of an annotation key (Kubernetes: `metav1.LabelSelector` qualified names).
const MAX_NAME: usize = 63;
/// Characters of the hash: 64 bits, among the handful of markers on one template.
const HASH_LENGTH: usize = 16;

/// The key of the marker of a binding with this target.
pub fn key_of(target: &TargetRecipe, binding: &str) -> String {
    let merge = (target.creation == CreationPolicy::Merge).then_some(binding);
    key(&target.name, merge)
}

/// The key of a binding's marker: `rollout.keyferry.dev/<secret>`, with `merge` (the binding's name,
/// policy Merge only) `<secret>.<binding>`. Names that are too long, or whose own dots would let two
/// bindings mean one key, end in a hash of both.
pub fn key(secret: &str, merge: Option<&str>) -> String {
    let name = match merge {
        None => secret.to_owned(),
        Some(binding) => format!("{secret}.{binding}"),
    };
    let ambiguous = secret.contains('.') || merge.is_some_and(|b| b.contains('.'));
    if name.len() <= MAX_NAME && !ambiguous {
        return format!("{MARKER_PREFIX}/{name}");
    }
    let whole = format!("{secret}/{}", merge.unwrap_or_default());
    let hash = &hex_hash(whole.as_bytes())[..HASH_LENGTH];
    let mut head = name;
    head.truncate(MAX_NAME - HASH_LENGTH - 1);
    format!("{MARKER_PREFIX}/{head}-{hash}")
}

/// True for the keys of markers, of every binding.
pub fn is_key(annotation: &str) -> bool {
    annotation
        .strip_prefix(MARKER_PREFIX)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// The revision a text stands for.
pub fn revision_of(text: &str) -> &str {
    text.split_once('.').map_or(text, |(revision, _)| revision)
}

/// A text for `revision` that none of `taken` has.
pub fn fresh_text<'a>(revision: &str, taken: impl IntoIterator<Item = &'a str>) -> String {
    let highest = taken
        .into_iter()
        .filter(|text| revision_of(text) == revision)
        .map(|text| {
            text.split_once('.')
                .and_then(|(_, n)| n.parse::<u32>().ok())
                .unwrap_or(1)
        })
        .max()
        .unwrap_or(1);
    format!("{revision}.{}", highest.saturating_add(1))
}

/// What the template carries when it stands for `text`: nothing where `text` is the baseline.
pub fn expected<'a>(baseline: &str, text: &'a str) -> Option<&'a str> {
    (baseline.is_empty() || baseline != text).then_some(text)
}

/// SHA-256 in lower-case hex: for names and for telling templates apart, never over secret data.
pub fn hex_hash(bytes: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, bytes);
    hash.as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_secret_and_for_merge_also_the_binding() {
        assert_eq!(key("ai", None), "rollout.keyferry.dev/ai");
        assert_eq!(key("ai", Some("b")), "rollout.keyferry.dev/ai.b");
    }

    #[test]
    fn keys_past_63_characters_are_hashed_and_stay_apart() {
        let long = "a".repeat(200);
        let other = format!("{}b", "a".repeat(199));
        let name = |k: &str| {
            k.split_once('/')
                .map(|(_, n)| n.to_owned())
                .unwrap_or_default()
        };
        let (one, two) = (name(&key(&long, None)), name(&key(&other, None)));
        assert_eq!((one.len(), two.len()), (63, 63));
        assert_ne!(one, two);
        assert_eq!(one, name(&key(&long, None)), "stable");
        let (just, over) = ("s".repeat(63), "s".repeat(64));
        assert_eq!(name(&key(&just, None)), just);
        assert_ne!(name(&key(&over, None)), over);
        assert_eq!(name(&key(&over, None)).len(), 63);
    }

    #[test]
    fn a_dot_in_a_name_never_makes_two_bindings_share_a_key() {
        let keys = [
            key("a.b", None),
            key("a", Some("b")),
            key("a.b", Some("c")),
            key("a", Some("b.c")),
        ];
        for (i, one) in keys.iter().enumerate() {
            assert!(keys[i + 1..].iter().all(|two| one != two), "{one}");
        }
    }

    #[test]
    fn only_our_prefix_makes_a_marker() {
        assert!(is_key("rollout.keyferry.dev/ai"));
        assert!(!is_key("rollout.keyferry.devil/ai"));
        assert!(!is_key("keyferry.dev/rollout"));
    }

    #[test]
    fn a_suffix_does_not_change_the_revision() {
        assert_eq!(revision_of("k3v9q2"), "k3v9q2");
        assert_eq!(revision_of("k3v9q2.2"), "k3v9q2");
        assert_eq!(fresh_text("r", ["r"]), "r.2");
        assert_eq!(fresh_text("r", ["r", "r.4", "s.9"]), "r.5");
        assert_eq!(fresh_text("r", []), "r.2");
    }

    #[test]
    fn the_baseline_is_no_marker_and_an_unknown_one_is_never_met() {
        assert_eq!(expected("a", "a"), None);
        assert_eq!(expected("a", "b"), Some("b"));
        assert_eq!(expected("a", "a.2"), Some("a.2"));
        assert_eq!(expected("", "a"), Some("a"));
    }
}
