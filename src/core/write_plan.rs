//! From what is wanted and what was found to the one request that closes the gap.
//!
//! Puts ownership, comparison and metadata together; sends nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    Finding, Revision, SecretValue,
    annotations::{Marks, Scope},
    change::{Change, Compared, Data, Live, Repairs, Wanted, compare, fought},
    managers,
    ownership::{self, Claim, Ownership, SecretHead},
    target_meta::{self, TargetMeta},
};
use crate::api::{Reason, binding::CreationPolicy};

/// A Secret as a GET gives it.
#[derive(Clone, Debug, Default)]
pub struct LiveSecret {
    /// All but the bytes.
    pub head: SecretHead,
    /// The bytes.
    pub data: Data,
}

/// Keys of a Merge binding that belong to somebody else now, and to whom.
pub type Taken = BTreeMap<String, String>;

/// One request.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// None: all is as it should be.
    Nothing,
    /// POST.
    Create(TargetMeta, Data),
    /// PUT over the Secret found: the complete map.
    Replace(TargetMeta, Data),
    /// PATCH of metadata over the Secret found.
    Patch(Value),
    /// Server-side apply of our part.
    Apply(TargetMeta, Data),
}

/// What is to be done, and what will be true after it.
#[derive(Debug)]
pub struct Plan {
    /// The request.
    pub step: Step,
    /// What it changes.
    pub change: Change,
    /// The revision after it.
    pub revision: Revision,
    /// The revision recorded before it; None for a new Secret or one without a record.
    pub recorded: Option<Revision>,
    /// The revision of the bytes found: the baseline of a rollout. None without a Secret.
    pub live_revision: Option<Revision>,
    /// Keys left to others (Merge).
    pub conflict: Option<Finding>,
    /// Keys of others that stay in the Secret (Adopt).
    pub unknown_keys: usize,
    /// Keys of ours that new bytes no longer have, sorted.
    pub left: Vec<String>,
}

/// Plans the write. `taken`: keys an apply has just been refused for.
///
/// # Errors
/// The finding of the ownership decision, `TooLarge`, or `Fought` when repairs are to pause.
pub fn plan(
    wanted: &Wanted<'_>,
    found: Option<&LiveSecret>,
    binding_exists: &dyn Fn(&str) -> bool,
    repairs: &Repairs,
    taken: &Taken,
) -> Result<Plan, Finding> {
    let head = found.map(|found| &found.head);
    let way = ownership::decide(&wanted.claim, head, binding_exists);
    let plan = match (way, found) {
        (Ownership::Refuse(finding), _) => return Err(finding),
        (Ownership::Merge, Some(found)) => plan_merge(wanted, found, taken)?,
        (Ownership::Adopt, Some(found)) => plan_adopt(wanted, found)?,
        (Ownership::Update, Some(found)) => plan_update(wanted, found)?,
        _ => plan_create(wanted)?,
    };
    match repairs
        .back_off(wanted.now)
        .filter(|_| plan.change.undoes())
    {
        Some(wait) => Err(fought(&wanted.claim, head, wait)),
        None => Ok(plan),
    }
}

fn plan_create(wanted: &Wanted<'_>) -> Result<Plan, Finding> {
    // Recorded from the start under Adopt: a key that others add later is then known not to be ours.
    let keys = (wanted.claim.target.creation != CreationPolicy::Owner)
        .then(|| wanted.data.keys().cloned().collect());
    let compared = compare(wanted, None, keys);
    let meta = target_meta::whole(&wanted.claim, &Default::default(), &compared.marks)?;
    Ok(assemble(
        compared,
        None,
        Step::Create(meta, wanted.data.clone()),
    ))
}

fn plan_update(wanted: &Wanted<'_>, found: &LiveSecret) -> Result<Plan, Finding> {
    let marks = marks_of(&wanted.claim, found);
    let live = Live {
        data: &found.data,
        marks: &marks,
        sealed: &found.data,
    };
    let compared = compare(wanted, Some(&live), None);
    replace(wanted, found, &marks, compared, wanted.data.clone())
}

fn plan_adopt(wanted: &Wanted<'_>, found: &LiveSecret) -> Result<Plan, Finding> {
    let marks = marks_of(&wanted.claim, found);
    let recorded = marks.keys.clone().unwrap_or_default();
    let wanted_keys: BTreeSet<String> = wanted.data.keys().cloned().collect();
    let ours = part(&found.data, |key| {
        recorded.contains(key) || wanted_keys.contains(key)
    });
    let sealed = part(&found.data, |key| recorded.contains(key));
    let live = Live {
        data: &ours,
        marks: &marks,
        sealed: &sealed,
    };
    let compared = compare(wanted, Some(&live), Some(wanted_keys));
    let mut all = part(&found.data, |key| !ours.contains_key(key));
    let unknown_keys = all.len();
    all.extend(wanted.data.clone());
    let plan = replace(wanted, found, &marks, compared, all)?;
    Ok(Plan {
        unknown_keys,
        ..plan
    })
}

fn replace(
    wanted: &Wanted<'_>,
    found: &LiveSecret,
    before: &Marks,
    compared: Compared,
    data: Data,
) -> Result<Plan, Finding> {
    let live = &found.head.meta;
    let meta = target_meta::whole(&wanted.claim, live, &compared.marks)?;
    let step = match compared.change {
        Change::Write | Change::Repair => Step::Replace(meta, data),
        _ if meta.is_on(live) => Step::Nothing,
        _ => Step::Patch(meta.patch(live)),
    };
    Ok(assemble(compared, before.revision.clone(), step))
}

fn plan_merge(wanted: &Wanted<'_>, found: &LiveSecret, taken: &Taken) -> Result<Plan, Finding> {
    let manager = managers::merge_manager(wanted.claim.binding);
    let live_meta = &found.head.meta;
    let marks = marks_of(&wanted.claim, found);
    let taken = taken_keys(wanted, found, &manager, taken);
    let data = part(wanted.data, |key| !taken.contains_key(key));
    let effective = Wanted {
        data: &data,
        ..*wanted
    };
    let recorded = marks.keys.clone().unwrap_or_default();
    let owned = managers::owned(live_meta, &manager, &["data"]);
    let ours = part(&found.data, |key| {
        data.contains_key(key) || (recorded.contains(key) && owned.contains(key))
    });
    let sealed = part(&found.data, |key| recorded.contains(key));
    let live = Live {
        data: &ours,
        marks: &marks,
        sealed: &sealed,
    };
    let compared = compare(
        &effective,
        Some(&live),
        Some(data.keys().cloned().collect()),
    );
    let meta = target_meta::merged(&wanted.claim, &compared.marks)?;
    let done = compared.change == Change::Nothing && meta.is_applied_on(live_meta, &manager);
    let step = if done {
        Step::Nothing
    } else {
        Step::Apply(meta, data.clone())
    };
    let plan = assemble(compared, marks.revision.clone(), step);
    Ok(Plan {
        conflict: key_conflict(&wanted.claim, &taken),
        ..plan
    })
}

/// Keys that hold other bytes than ours and that somebody else owns alone, beside those just refused.
fn taken_keys(wanted: &Wanted<'_>, found: &LiveSecret, manager: &str, refused: &Taken) -> Taken {
    let owned = managers::owned(&found.head.meta, manager, &["data"]);
    let differs =
        |key: &str, value: &SecretValue| found.data.get(key).is_some_and(|live| live != value);
    let others = wanted
        .data
        .iter()
        .filter(|(key, value)| differs(key, value) && !owned.contains(*key))
        .filter_map(|(key, _)| {
            let owner = managers::other_owner_of_key(&found.head.meta, manager, key)?;
            Some((key.clone(), owner))
        });
    let still = refused.iter().filter(|(key, _)| {
        wanted
            .data
            .get(*key)
            .is_some_and(|value| differs(key, value))
    });
    still
        .map(|(key, who)| (key.clone(), who.clone()))
        .chain(others)
        .collect()
}

fn key_conflict(claim: &Claim<'_>, taken: &Taken) -> Option<Finding> {
    let (key, who) = taken.first_key_value()?;
    let more = match taken.len() {
        1 => String::new(),
        n => format!(" (and {} more keys)", n - 1),
    };
    Some(Finding::new(
        Reason::KeyConflict,
        format!(
            "Key {key} of {} is managed by \"{who}\"{more}.",
            claim.secret()
        ),
        "Remove it there, or give it another name here. It was not touched.",
    ))
}

fn assemble(compared: Compared, recorded: Option<Revision>, step: Step) -> Plan {
    let change = match (&step, compared.change) {
        (Step::Nothing, _) => Change::Nothing,
        (_, Change::Nothing) => compared.metadata_change,
        (_, change) => change,
    };
    Plan {
        step,
        change,
        revision: compared.revision,
        recorded,
        live_revision: compared.live_revision,
        conflict: None,
        unknown_keys: 0,
        left: compared.left,
    }
}

fn marks_of(claim: &Claim<'_>, found: &LiveSecret) -> Marks {
    let annotations = found.head.meta.annotations.clone().unwrap_or_default();
    Marks::parse(&annotations, scope(claim))
}

/// The names a binding's records go by.
pub fn scope<'a>(claim: &Claim<'a>) -> Scope<'a> {
    Scope::of(claim.target.creation, claim.binding)
}

fn part(data: &Data, keep: impl Fn(&str) -> bool) -> Data {
    data.iter()
        .filter(|(key, _)| keep(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
#[path = "write_plan_test.rs"]
mod tests;
