//! What a binding would change: keys by name, never values, and the workloads that would restart. Pure.

use std::{collections::BTreeMap, fmt};

use crate::{
    api::binding::CreationPolicy,
    core::{
        Recipe, SecretValue,
        rollout::{
            consumers::{self, Consumer},
            workload::{Kind, Workload},
        },
    },
};

type Data = BTreeMap<String, SecretValue>;

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Other bytes.
    Changed,
    /// It is not there yet.
    New,
    /// It goes away.
    Gone,
    /// The same bytes.
    Same,
}

/// Each key and what becomes of it: changes first, then by name. `live` is the Secret; None: there is none.
///
/// A Secret that others write too (Merge, Adopt) keeps the keys that the binding does not give.
pub fn keys(creation: CreationPolicy, wanted: &Data, live: Option<&Data>) -> Vec<(Change, String)> {
    let nothing = Data::new();
    let live = live.unwrap_or(&nothing);
    let of = |(key, value): (&String, &SecretValue)| {
        let change = match live.get(key) {
            None => Change::New,
            Some(found) if found == value => Change::Same,
            Some(_) => Change::Changed,
        };
        (change, key.clone())
    };
    let mut all: Vec<(Change, String)> = wanted.iter().map(of).collect();
    if creation == CreationPolicy::Owner {
        let gone = live.keys().filter(|key| !wanted.contains_key(*key));
        all.extend(gone.map(|key| (Change::Gone, key.clone())));
    }
    all.sort();
    all
}

/// What follows for workloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing restarts, and why.
    Nothing(&'static str),
    /// The bytes change: who restarts, and in other words who does not.
    Restarts {
        /// Names; other kinds than Deployment with their kind.
        now: Vec<String>,
        /// What is to be said of others.
        but: Vec<String>,
    },
    /// It cannot be told, and why.
    Unknown(String),
}

/// Whether workloads have to be looked at: the bytes of a Secret that is there change, and the binding rolls.
pub fn may_restart(recipe: &Recipe, keys: &[(Change, String)]) -> Result<(), Effect> {
    let is = |change: Change| keys.iter().all(|(found, _)| *found == change);
    if is(Change::Same) {
        Err(Effect::Nothing("nothing changes"))
    } else if is(Change::New) {
        Err(Effect::Nothing("first creation"))
    } else if recipe.rollout.is_none() {
        Err(Effect::Nothing("no rollout"))
    } else {
        Ok(())
    }
}

/// Who would restart, among the workloads of the namespace.
pub fn restarts(recipe: &Recipe, workloads: &[Workload]) -> Effect {
    let Some(rollout) = &recipe.rollout else {
        return Effect::Nothing("no rollout");
    };
    let consumers = match consumers::select(rollout, &recipe.target.name, workloads) {
        Ok(consumers) => consumers,
        Err(many) => return Effect::Unknown(many.finding(&recipe.target.name).fact),
    };
    let (mut now, mut but) = (Vec::new(), Vec::new());
    for consumer in consumers {
        match consumer {
            Consumer::Rolled(workload) => match workload.skip_reason() {
                None => now.push(name(workload.kind, &workload.name)),
                Some(why) => but.push(why.trim_end_matches('.').to_owned()),
            },
            Consumer::NextRun(workload) => {
                let name = name(workload.kind, &workload.name);
                but.push(format!("{name} takes it at its next run"));
            }
            Consumer::Missing(kind, missing) => {
                but.push(format!("{} does not exist", name(kind, missing)));
            }
        }
    }
    Effect::Restarts { now, but }
}

fn name(kind: Kind, name: &str) -> String {
    match kind {
        Kind::Deployment => name.to_owned(),
        other => format!("{other}/{name}"),
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (now, but) = match self {
            Self::Nothing(why) => return write!(f, "restarts nothing ({why})"),
            Self::Unknown(why) => return write!(f, "restarts not known: {why}"),
            Self::Restarts { now, but } => (now, but),
        };
        match now.as_slice() {
            [] if but.is_empty() => return f.write_str("restarts nothing (nobody uses it)"),
            [] => f.write_str("restarts nothing")?,
            names => write!(f, "would restart {}", names.join(", "))?,
        }
        but.iter().try_for_each(|why| write!(f, "; {why}"))
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `namespace/name` of the Secret.
    pub secret: String,
    /// What is said of it.
    pub said: Said,
}

/// What is said of one Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Why the operator would not write it. Further lines are indented.
    Refused(String),
    /// Why it does not even try.
    Left(String),
    /// What would be written.
    Keys {
        /// There is a Secret of that name.
        exists: bool,
        /// Its keys.
        keys: Vec<(Change, String)>,
        /// Who restarts.
        effect: Effect,
    },
}

impl Row {
    /// True when something would be written.
    pub fn differs(&self) -> bool {
        matches!(&self.said, Said::Keys { keys, .. } if keys.iter().any(|(it, _)| *it != Change::Same))
    }

    /// True when nothing can be written as it stands.
    pub fn is_refused(&self) -> bool {
        matches!(self.said, Said::Refused(_))
    }

    fn sign(&self) -> char {
        match &self.said {
            Said::Refused(_) => '!',
            Said::Keys { exists: false, .. } => '+',
            Said::Keys { .. } if self.differs() => '~',
            Said::Keys { .. } | Said::Left(_) => '=',
        }
    }

    /// The second column, and the rest of the line.
    fn columns(&self) -> (String, String) {
        match &self.said {
            Said::Refused(why) => (String::new(), why.replace('\n', "\n    ")),
            Said::Left(why) => (String::new(), why.clone()),
            Said::Keys { keys, effect, .. } => {
                let keys = keys.iter().map(|(change, key)| format!("{key} {change}"));
                (keys.collect::<Vec<_>>().join(", "), effect.to_string())
            }
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed => "changed",
            Self::New => "new",
            Self::Gone => "gone",
            Self::Same => "same",
        })
    }
}

/// Beyond this a long list of keys moves no other line's columns.
const WIDEST: usize = 60;

/// All rows under one another.
pub fn table(rows: &[Row]) -> String {
    let columns: Vec<(String, String)> = rows.iter().map(Row::columns).collect();
    let first = rows.iter().map(|row| row.secret.len()).max().unwrap_or(0);
    let widths = columns.iter().map(|(keys, _)| keys.len());
    let second = widths.filter(|width| *width <= WIDEST).max().unwrap_or(0);
    let mut text = String::new();
    for (row, (keys, rest)) in rows.iter().zip(columns) {
        let (sign, secret) = (row.sign(), &row.secret);
        let line = match keys.is_empty() {
            true => format!("{sign} {secret:first$}  {rest}"),
            false => format!("{sign} {secret:first$}  {keys:second$}  {rest}"),
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
#[path = "difference_test.rs"]
mod tests;
