//! Forming a batch and matching its reply. Pure: ids and replies in, answers out.

use std::{collections::HashMap, sync::Arc};

use super::{
    failure::{Failure, Refusal},
    metrics::Operation,
    wire::{answers, id_text, looks_complete, may_be_one, parse_arn},
};
use crate::core::{Entry, SecretId};

/// BatchGetSecretValue takes at most 20 ids (source: its API reference, `SecretIdList`).
pub(super) const BATCH: usize = 20;

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
    let missing = refusal.code == "ResourceNotFoundException";
    let other_spelling = match id {
        SecretId::Arn(arn) => looks_complete(&arn.resource) || id_text(id) != wire,
        SecretId::Name(_) => false,
    };
    !(missing && other_spelling)
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
