//! Which events a change of status gives: transitions only, and none for a first success.

use super::revision;
use crate::api::{
    Reason,
    status::{ExternalSecretBindingStatus as Status, condition},
};

/// The API server refuses longer notes (1,025 bytes gave 422 on 1.36).
pub const MAX_NOTE: usize = 1024;

/// One event to publish.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Note {
    /// Warning instead of Normal.
    pub warning: bool,
    /// The same word as in the condition.
    pub reason: Reason,
    /// What was being done.
    pub action: &'static str,
    /// The text, at most [`MAX_NOTE`] bytes.
    pub text: String,
}

impl Note {
    /// A note whose text is cut to what the API server takes.
    pub fn new(warning: bool, reason: Reason, action: &'static str, text: &str) -> Self {
        let mut end = text.len().min(MAX_NOTE);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self {
            warning,
            reason,
            action,
            text: text[..end].to_owned(),
        }
    }
}

/// The events of a change from `before` to `after`.
pub fn transitions(before: &Status, after: &Status) -> Vec<Note> {
    [
        (condition::SYNCED, "Sync"),
        (condition::ROLLED_OUT, "Rollout"),
    ]
    .into_iter()
    .filter_map(|(kind, action)| transition(before, after, kind, action))
    .chain(new_revision(before, after))
    .chain(other_region(before, after))
    .collect()
}

/// Another region serves than before.
fn other_region(before: &Status, after: &Status) -> Option<Note> {
    let region = |status: &Status| status.failover.as_ref().map(|by| by.region.clone());
    let (was, is) = (region(before), region(after));
    if was == is {
        return None;
    }
    Some(match is {
        Some(region) => {
            let text = format!("Served by {region}: the binding's own region does not answer.");
            Note::new(true, Reason::AwsUnavailable, "Failover", &text)
        }
        None => {
            let text = "Served by the binding's own region again.";
            Note::new(false, Reason::Synced, "Failover", text)
        }
    })
}

/// The event about keys that new bytes no longer have.
pub fn keys_left(secret: &str, keys: &[String]) -> Option<Note> {
    if keys.is_empty() {
        return None;
    }
    let text = format!(
        "Keys that left Secret {secret} with its new bytes: {}.",
        keys.join(", ")
    );
    Some(Note::new(false, Reason::Synced, "RemoveKeys", &text))
}

fn transition(before: &Status, after: &Status, kind: &str, action: &'static str) -> Option<Note> {
    let find = |s: &Status| {
        s.conditions
            .iter()
            .find(|c| c.type_ == kind)
            .map(|c| (c.status.clone(), c.reason.clone(), c.message.clone()))
    };
    let (status, reason_word, message) = find(after)?;
    let was = find(before);
    let same = was
        .as_ref()
        .is_some_and(|(s, r, _)| *s == status && *r == reason_word);
    let quiet_start = was.is_none() && status != "False";
    if same || quiet_start {
        return None;
    }
    let reason = Reason::ALL
        .iter()
        .copied()
        .find(|r| r.as_str() == reason_word)?;
    // Work that is under way is no trouble.
    let warning = status == "False" && reason != Reason::Progressing;
    Some(Note::new(warning, reason, action, &message))
}

fn new_revision(before: &Status, after: &Status) -> Option<Note> {
    let (old, new) = (before.secret.as_ref()?, after.secret.as_ref()?);
    if old.revision == new.revision || old.name != new.name {
        return None;
    }
    let text = format!(
        "Secret {} written: revision {} -> {}.",
        new.name,
        revision::shown(&old.revision),
        revision::shown(&new.revision)
    );
    Some(Note::new(false, Reason::Synced, "Write", &text))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

    use super::*;
    use crate::api::status::{FailoverStatus, SecretStatus};

    fn status(kind: &str, value: &str, reason: Reason) -> Status {
        Status {
            conditions: vec![Condition {
                type_: kind.to_owned(),
                status: value.to_owned(),
                reason: reason.as_str().to_owned(),
                message: "m".to_owned(),
                observed_generation: None,
                last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
            }],
            ..Status::default()
        }
    }

    #[test]
    fn a_first_success_gives_no_event() {
        let after = status(condition::SYNCED, "True", Reason::Synced);
        assert_eq!(transitions(&Status::default(), &after), []);
    }

    #[test]
    fn failures_and_recoveries_give_one_event_each_and_repeats_none() {
        let failed = status(condition::SYNCED, "False", Reason::AccessDenied);
        let notes = transitions(&Status::default(), &failed);
        assert_eq!(notes, [Note::new(true, Reason::AccessDenied, "Sync", "m")]);
        assert_eq!(transitions(&failed, &failed), []);
        let good = status(condition::SYNCED, "True", Reason::Synced);
        assert_eq!(
            transitions(&failed, &good),
            [Note::new(false, Reason::Synced, "Sync", "m")]
        );
    }

    #[test]
    fn new_bytes_give_an_event_and_a_renamed_secret_does_not() {
        let with = |name: &str, revision: &str| Status {
            secret: Some(SecretStatus {
                name: name.to_owned(),
                revision: revision.to_owned(),
                ..SecretStatus::default()
            }),
            ..Status::default()
        };
        assert_eq!(transitions(&with("a", "r1"), &with("a", "r2")).len(), 1);
        assert_eq!(transitions(&with("a", "r1"), &with("b", "r2")).len(), 0);
    }

    #[test]
    fn another_region_is_told_and_so_is_the_way_back() {
        let by = |region: Option<&str>| Status {
            failover: region.map(|region| FailoverStatus {
                region: region.to_owned(),
                since: Time(jiff::Timestamp::UNIX_EPOCH),
            }),
            ..Status::default()
        };
        let told = |before, after| {
            let notes = transitions(&by(before), &by(after));
            let note = |note: Note| (note.warning, note.reason, note.text.contains("r1"));
            notes.into_iter().map(note).collect::<Vec<_>>()
        };
        assert_eq!(told(None, None), []);
        assert_eq!(told(Some("r1"), Some("r1")), []);
        let away = [(true, Reason::AwsUnavailable, true)];
        assert_eq!(told(None, Some("r1")), away);
        assert_eq!(told(Some("r2"), Some("r1")), away);
        assert_eq!(told(Some("r1"), None), [(false, Reason::Synced, false)]);
    }

    #[test]
    fn keys_that_left_are_named() {
        assert_eq!(keys_left("app", &[]), None);
        let note = keys_left("app", &["a".to_owned(), "b".to_owned()]);
        assert!(note.is_some_and(|note| note.text.contains("app") && note.text.ends_with("a, b.")));
    }

    #[test]
    fn a_note_is_cut_at_a_character() {
        let note = Note::new(true, Reason::Held, "Rollout", &"é".repeat(600));
        assert_eq!(note.text.len(), 1024);
        let note = Note::new(
            true,
            Reason::Held,
            "Rollout",
            &format!("x{}", "é".repeat(600)),
        );
        assert_eq!(note.text.len(), 1023);
    }
}
