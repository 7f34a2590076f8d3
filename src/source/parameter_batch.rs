//! Forming a batch of parameters and matching its reply. Pure: asks and replies in, answers out.

use std::{collections::HashMap, sync::Arc};

use super::{
    failure::{Failure, Refusal},
    parameter_calls::{Found, ParameterReply},
};
use crate::core::{
    Entry, EntryAsk, ParameterId, SecretId, VersionSelector,
    parameter::{self, ParameterArn},
};

/// GetParameters takes at most 10 names (source: its API reference, `Names`).
pub(super) const PARAMETERS: usize = 10;

/// The asks of one batch.
#[derive(Debug, Default)]
pub(super) struct ParameterPlan {
    asks: Vec<(EntryAsk, String)>,
    wires: Vec<String>,
}

/// What became of one ask of a batch.
#[derive(Clone, Debug)]
pub(super) enum ParameterAnswer {
    /// Its value.
    Value(Arc<Entry>),
    /// It failed.
    Failed(Failure),
    /// The batch does not tell: to be read by itself.
    Singly,
}

pub(super) type ParameterAnswers = HashMap<EntryAsk, ParameterAnswer>;

impl ParameterPlan {
    /// Takes an ask in; false where there is no room for a further name.
    pub fn add(&mut self, ask: &EntryAsk) -> bool {
        if self.asks.iter().any(|(other, _)| other == ask) {
            return true;
        }
        let wire = wire(ask);
        if !self.wires.contains(&wire) {
            if self.is_full() {
                return false;
            }
            self.wires.push(wire.clone());
        }
        self.asks.push((ask.clone(), wire));
        true
    }

    /// No further name fits.
    pub fn is_full(&self) -> bool {
        self.wires.len() >= PARAMETERS
    }

    /// What is sent: each name once.
    pub fn wires(&self) -> &[String] {
        &self.wires
    }

    /// Everybody who asked.
    pub fn asks(&self) -> impl Iterator<Item = &EntryAsk> {
        self.asks.iter().map(|(ask, _)| ask)
    }

    /// The same answer for everybody.
    pub fn all(&self, answer: &ParameterAnswer) -> ParameterAnswers {
        self.asks()
            .map(|ask| (ask.clone(), answer.clone()))
            .collect()
    }

    /// Matches a reply to what was asked.
    pub fn settle(&self, reply: &ParameterReply, own_account: Option<&str>) -> ParameterAnswers {
        let answer = |(ask, wire): &(EntryAsk, String)| {
            let answer = match find(ask, reply, own_account) {
                Some(entry) => ParameterAnswer::Value(entry),
                None if reply.invalid.contains(wire) => ParameterAnswer::Failed(not_found()),
                None => ParameterAnswer::Singly,
            };
            (ask.clone(), answer)
        };
        self.asks.iter().map(answer).collect()
    }
}

/// What is sent for an ask: name or ARN, and behind a colon the version's number or label.
pub(super) fn wire(ask: &EntryAsk) -> String {
    let name = ask.id.request();
    match &ask.version {
        VersionSelector::Current => name,
        VersionSelector::Stage(label) => format!("{name}:{label}"),
        VersionSelector::Id(id) => format!("{name}:{}", parameter::number(id).unwrap_or(id)),
    }
}

/// A name among those that mean nothing: what GetParameter says of it in an error of its own.
pub(super) fn not_found() -> Failure {
    Failure::Refused(Refusal {
        code: "ParameterNotFound".into(),
        status: 200,
        ..Refusal::default()
    })
}

/// The value of a reply that answers an ask.
pub(super) fn find(
    ask: &EntryAsk,
    reply: &ParameterReply,
    own_account: Option<&str>,
) -> Option<Arc<Entry>> {
    let found = reply.found.iter();
    let mut found = found.filter(|found| is_answer(ask, found, own_account));
    found.next().map(|found| found.entry.clone())
}

fn is_answer(ask: &EntryAsk, found: &Found, own_account: Option<&str>) -> bool {
    let entry = &found.entry;
    let Some(arn) = ParameterArn::parse(&entry.arn) else {
        return false;
    };
    let is_it = match &ask.id {
        SecretId::Parameter(ParameterId::Name(name)) => {
            *name == entry.name && own_account.is_none_or(|own| own == arn.account)
        }
        SecretId::Parameter(ParameterId::Arn(asked)) => *asked == arn,
        SecretId::Name(_) | SecretId::Arn(_) => false,
    };
    is_it
        && match &ask.version {
            VersionSelector::Current => found.selector.is_none(),
            VersionSelector::Stage(label) => found.selector.as_ref() == Some(label),
            VersionSelector::Id(id) => parameter::is_version(id, &entry.version_id),
        }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::core::{EntryValue, SecretValue, parameter::version_id, parse_parameter};

    const OWN: Option<&str> = Some("111122223333");

    fn ask(text: &str) -> EntryAsk {
        parse_parameter(text).unwrap()
    }

    fn arn(account: &str, name: &str) -> String {
        format!("arn:aws:ssm:us-east-1:{account}:parameter{name}")
    }

    fn found(account: &str, name: &str, number: i64, selector: Option<&str>) -> Found {
        let arn = arn(account, name);
        Found {
            entry: Arc::new(Entry {
                version_id: version_id(&arn, number, None),
                arn,
                name: name.into(),
                created: None,
                value: EntryValue::Text(SecretValue::new(vec![])),
            }),
            selector: selector.map(str::to_owned),
        }
    }

    /// One word for each answer: account and number, the code, or `singly`.
    fn word(answers: &ParameterAnswers, ask: &EntryAsk) -> String {
        match &answers[ask] {
            ParameterAnswer::Value(entry) => {
                let number = parameter::number(&entry.version_id).unwrap();
                format!("{} {number}", &entry.arn[22..26])
            }
            ParameterAnswer::Failed(failure) => failure.code().unwrap_or("?").to_owned(),
            ParameterAnswer::Singly => "singly".into(),
        }
    }

    #[test]
    fn a_batch_takes_ten_names_however_often_asked() {
        let mut plan = ParameterPlan::default();
        for n in 0..PARAMETERS {
            assert!(plan.add(&ask(&format!("/p/{n}"))));
        }
        assert!(plan.is_full());
        assert!(!plan.add(&ask("/p/one-more")));
        assert!(plan.add(&ask("/p/3")), "one that is in it still joins");
        assert!(!plan.add(&ask("/p/3:1")), "another version is another name");
        assert_eq!(plan.wires().len(), PARAMETERS);
    }

    #[test]
    fn a_version_is_sent_by_its_number_whichever_way_it_is_known() {
        let by_id = EntryAsk {
            version: VersionSelector::Id(version_id("arn", 3, None)),
            ..ask("/a")
        };
        assert_eq!(wire(&by_id), "/a:3");
        assert_eq!(wire(&ask("/a:3")), "/a:3");
        assert_eq!(wire(&ask("/a:blue")), "/a:blue");
        let mut plan = ParameterPlan::default();
        assert!(plan.add(&by_id) && plan.add(&ask("/a:3")));
        assert_eq!(plan.wires(), ["/a:3"]);
    }

    #[test]
    fn replies_are_matched_by_name_or_arn_and_by_version() {
        let theirs = arn("444455556666", "/a");
        let of_another_time = EntryAsk {
            version: VersionSelector::Id("7-00000000".into()),
            ..ask("/a")
        };
        let asks = [
            ask("/a"),
            ask("/a:7"),
            ask("/a:blue"),
            ask(&arn("111122223333", "/a")),
            ask(&theirs),
            ask("/gone"),
            ask("/a:green"),
            of_another_time,
        ];
        let mut plan = ParameterPlan::default();
        assert!(asks.iter().all(|ask| plan.add(ask)));
        let reply = ParameterReply {
            found: vec![
                found("444455556666", "/a", 1, None),
                found("111122223333", "/a", 7, Some("7")),
                found("111122223333", "/a", 5, Some("blue")),
                found("111122223333", "/a", 9, None),
            ],
            invalid: vec!["/gone".into()],
        };
        let answers = plan.settle(&reply, OWN);
        let words: Vec<String> = asks.iter().map(|ask| word(&answers, ask)).collect();
        assert_eq!(
            words,
            [
                "1111 9",
                "1111 7",
                "1111 5",
                "1111 9",
                "4444 1",
                "ParameterNotFound",
                "singly",
                "singly"
            ]
        );
    }
}
