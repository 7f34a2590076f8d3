//! Forming a batch and matching its reply. Pure: ids and replies in, answers out.

use std::{collections::HashMap, sync::Arc};

use super::{
    failure::{Failure, Refusal},
    metrics::Operation,
    wire::{answers, id_text, looks_complete, may_be_one, parse_arn},
};
pub(super) use crate::core::sweep_mode::BATCH;
use crate::core::{Entry, SecretId};

/// The ids of one batch, each entry once as far as the texts tell.
#[derive(Debug, Default)]
pub(super) struct Plan {
    groups: Vec<Group>,
}

/// Ids that may mean one entry. Only the leader is sent; the reply tells whether it answers the others.
#[derive(Debug)]
struct Group {
    leader: SecretId,
    wire: String,
    followers: Vec<SecretId>,
}

impl Plan {
    /// Takes an id in, to be sent as `wire`; false if there is no room.
    pub fn add(&mut self, id: &SecretId, wire: String, own_account: Option<&str>) -> bool {
        let group = self
            .groups
            .iter_mut()
            .find(|g| may_be_one(&g.leader, id, own_account));
        if let Some(group) = group {
            if group.leader != *id && !group.followers.contains(id) {
                group.followers.push(id.clone());
            }
            return true;
        }
        if self.is_full() {
            return false;
        }
        self.groups.push(Group {
            leader: id.clone(),
            wire,
            followers: vec![],
        });
        true
    }

    /// No further entry fits.
    pub fn is_full(&self) -> bool {
        self.groups.len() >= BATCH
    }

    /// What is sent.
    pub fn wires(&self) -> Vec<String> {
        self.groups.iter().map(|g| g.wire.clone()).collect()
    }

    /// Everybody who asked.
    pub fn ids(&self) -> impl Iterator<Item = &SecretId> {
        self.groups
            .iter()
            .flat_map(|g| std::iter::once(&g.leader).chain(&g.followers))
    }

    /// The same answer for everybody.
    pub fn all(&self, answer: &Answer) -> Answers {
        self.ids().map(|id| (id.clone(), answer.clone())).collect()
    }

    /// Matches a reply to what was asked.
    pub fn settle(&self, reply: &BatchReply, own_account: Option<&str>) -> Answers {
        let mut settled = Answers::new();
        for group in &self.groups {
            let refused = reply.errors.iter().find(|(id, _)| *id == group.wire);
            for id in std::iter::once(&group.leader).chain(&group.followers) {
                let answer = match refused {
                    Some((_, refusal))
                        if *id == group.leader && is_final(refusal, id, &group.wire) =>
                    {
                        Answer::Failed(Failure::Refused(refusal.clone()), Operation::GetSecretValue)
                    }
                    Some(_) => Answer::Singly,
                    None => self.find(id, reply, own_account),
                };
                settled.insert(id.clone(), answer);
            }
        }
        settled
    }

    /// The one value of the reply that answers an id; none, or several, and it is read by itself.
    fn find(&self, id: &SecretId, reply: &BatchReply, own_account: Option<&str>) -> Answer {
        let mut found = reply.entries.iter().filter(|entry| {
            let arn = parse_arn(&entry.arn);
            arn.is_some_and(|arn| {
                // With the account unknown, a name could be answered by another account's entry of that name.
                let claimed = || {
                    self.ids().any(|other| {
                        matches!(other, SecretId::Arn(_)) && answers(other, &arn, &entry.name, None)
                    })
                };
                answers(id, &arn, &entry.name, own_account)
                    && (own_account.is_some() || matches!(id, SecretId::Arn(_)) || !claimed())
            })
        });
        match (found.next(), found.next()) {
            (Some(entry), None) => Answer::Value(entry.clone()),
            _ => Answer::Singly,
        }
    }
}

/// A refusal that another spelling of the id cannot turn into an answer.
fn is_final(refusal: &Refusal, id: &SecretId, wire: &str) -> bool {
    let other_spelling = match id {
        SecretId::Arn(arn) => looks_complete(&arn.resource) || id_text(id) != wire,
        SecretId::Name(_) | SecretId::Parameter(_) => false,
    };
    !(other_spelling && refusal.may_be_misspelt())
}

/// A reply, taken over from the SDK.
#[derive(Debug, Default)]
pub(super) struct BatchReply {
    pub entries: Vec<Arc<Entry>>,
    /// The id as it was sent, and why it was refused.
    pub errors: Vec<(String, Refusal)>,
}

/// What became of one ask of a batch.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// Its value.
    Value(Arc<Entry>),
    /// It failed, at this operation.
    Failed(Failure, Operation),
    /// The batch does not tell: to be read by itself.
    Singly,
}

pub(super) type Answers = HashMap<SecretId, Answer>;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::core::{EntryValue, SecretValue};

    const OWN: Option<&str> = Some("111122223333");

    fn arn_text(account: &str, resource: &str) -> String {
        format!("arn:aws:secretsmanager:us-east-1:{account}:secret:{resource}")
    }

    fn arn(resource: &str) -> SecretId {
        SecretId::Arn(parse_arn(&arn_text("111122223333", resource)).unwrap())
    }

    fn foreign(resource: &str) -> SecretId {
        SecretId::Arn(parse_arn(&arn_text("444455556666", resource)).unwrap())
    }

    fn name(name: &str) -> SecretId {
        SecretId::Name(name.into())
    }

    fn entry(account: &str, name: &str, suffix: &str) -> Arc<Entry> {
        Arc::new(Entry {
            arn: arn_text(account, &format!("{name}-{suffix}")),
            name: name.into(),
            version_id: "v".into(),
            created: None,
            value: EntryValue::Text(SecretValue::new(vec![])),
        })
    }

    fn plan(ids: &[SecretId], own: Option<&str>) -> Plan {
        let mut plan = Plan::default();
        for id in ids {
            assert!(plan.add(id, id_text(id), own));
        }
        plan
    }

    fn refusal(code: &str) -> Refusal {
        Refusal {
            code: code.into(),
            ..Refusal::default()
        }
    }

    /// One word for each answer: the ARN's suffix, the code, or `singly`.
    fn word(answers: &Answers, id: &SecretId) -> String {
        match &answers[id] {
            Answer::Value(entry) => entry.arn[entry.arn.len() - 6..].to_owned(),
            Answer::Failed(failure, _) => failure.code().unwrap_or("?").to_owned(),
            Answer::Singly => "singly".into(),
        }
    }

    #[test]
    fn a_batch_takes_twenty_entries_however_often_asked() {
        let mut plan = Plan::default();
        for n in 0..BATCH {
            assert!(plan.add(&name(&format!("e{n}")), format!("e{n}"), OWN));
        }
        assert!(plan.is_full());
        assert!(!plan.add(&name("one-more"), "one-more".into(), OWN));
        assert!(
            plan.add(&name("e3"), "e3".into(), OWN),
            "an entry that is in it still joins"
        );
        assert!(plan.add(&arn("e3-AbCdEf"), id_text(&arn("e3-AbCdEf")), OWN));
        assert_eq!(plan.wires().len(), BATCH);
        assert_eq!(plan.ids().count(), BATCH + 1);
    }

    #[test]
    fn replies_are_matched_by_arn_name_or_partial_arn() {
        let ids = [
            name("db"),
            arn("db-AAAAAA"),
            arn("part"),
            foreign("db-BBBBBB"),
            name("gone"),
            arn("lost-CCCCCC"),
            name("omitted"),
        ];
        let plan = plan(&ids, OWN);
        assert_eq!(
            plan.wires().len(),
            6,
            "the name and the ARN of db are asked once"
        );
        let reply = BatchReply {
            entries: vec![
                entry("444455556666", "db", "BBBBBB"),
                entry("111122223333", "part", "DDDDDD"),
                entry("111122223333", "db", "AAAAAA"),
                entry("111122223333", "never-asked", "EEEEEE"),
            ],
            errors: vec![
                ("gone".into(), refusal("ResourceNotFoundException")),
                (
                    id_text(&arn("lost-CCCCCC")),
                    refusal("ResourceNotFoundException"),
                ),
            ],
        };
        let answers = plan.settle(&reply, OWN);
        let words: Vec<String> = ids.iter().map(|id| word(&answers, id)).collect();
        assert_eq!(
            words,
            [
                "AAAAAA",
                "AAAAAA",
                "DDDDDD",
                "BBBBBB",
                "ResourceNotFoundException",
                "singly",
                "singly"
            ],
            "an ARN that is not found may be a partial one; what is in neither list is read by itself"
        );
    }

    #[test]
    fn a_guess_that_two_ids_are_one_entry_is_checked_against_the_reply() {
        // `jwt-secret` is a partial ARN of the entry jwt-secret, not the full one of jwt.
        let ids = [name("jwt"), arn("jwt-secret")];
        let plan = plan(&ids, OWN);
        assert_eq!(plan.wires(), ["jwt"]);
        let reply = BatchReply {
            entries: vec![entry("111122223333", "jwt", "FFFFFF")],
            errors: vec![],
        };
        let answers = plan.settle(&reply, OWN);
        assert_eq!(
            (
                word(&answers, &ids[0]).as_str(),
                word(&answers, &ids[1]).as_str()
            ),
            ("FFFFFF", "singly")
        );
    }

    #[test]
    fn the_refusal_of_a_leader_is_not_passed_on() {
        let ids = [name("db"), arn("db-AAAAAA")];
        let plan = plan(&ids, OWN);
        let reply = BatchReply {
            entries: vec![],
            errors: vec![("db".into(), refusal("DecryptionFailure"))],
        };
        let answers = plan.settle(&reply, OWN);
        assert_eq!(
            (
                word(&answers, &ids[0]).as_str(),
                word(&answers, &ids[1]).as_str()
            ),
            ("DecryptionFailure", "singly")
        );
    }

    #[test]
    fn with_the_account_unknown_a_name_never_takes_another_accounts_entry() {
        let ids = [name("db"), foreign("db-BBBBBB"), name("solo")];
        let plan = plan(&ids, None);
        let reply = BatchReply {
            entries: vec![
                entry("444455556666", "db", "BBBBBB"),
                entry("111122223333", "solo", "SSSSSS"),
            ],
            errors: vec![],
        };
        let answers = plan.settle(&reply, None);
        let words: Vec<String> = ids.iter().map(|id| word(&answers, id)).collect();
        assert_eq!(words, ["singly", "BBBBBB", "SSSSSS"]);
        let both = BatchReply {
            entries: vec![
                entry("444455556666", "db", "BBBBBB"),
                entry("111122223333", "db", "AAAAAA"),
            ],
            errors: vec![],
        };
        assert_eq!(word(&plan.settle(&both, None), &name("db")), "AAAAAA");
    }
}
