//! What a refused request says: which part no policy allows, and what they do allow.

use super::{AccessRequest, Asked, Policy};
use crate::core::Store;

/// The cure is the same for every part.
pub(super) const CURE: &str = "A cluster admin can add it; we notice at once.";
/// So many policies and globs are named; a message must stay readable.
const NAMED: usize = 3;

/// A part of a request, in the order in which they are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The entry's name, or the prefix.
    Entry,
    /// The entry's account.
    Account,
    /// The entry's region.
    Region,
    /// The role to be assumed.
    Role,
    /// The ServiceAccount whose role is used.
    ServiceAccount,
}

impl Part {
    pub(super) const IN_ORDER: [Self; 5] = [
        Self::Entry,
        Self::Account,
        Self::Region,
        Self::Role,
        Self::ServiceAccount,
    ];
}

/// A request that no policy allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Who asked.
    pub namespace: String,
    /// What was asked for.
    pub asked: Asked,
    /// The part that was refused by the policy that came furthest.
    pub part: Part,
    /// That part as written; for an account `unknown` while it is.
    pub wanted: String,
    /// What the policies for this namespace allow of that part: name and items, the namespace filled in.
    pub policies: Vec<(String, Vec<String>)>,
}

impl Refused {
    pub(super) fn new(request: &AccessRequest, part: Part, about: &[&Policy]) -> Self {
        let fill = |pattern: &String| pattern.replace(super::NAMESPACE, &request.namespace);
        let policies = about
            .iter()
            .map(|policy| {
                let allowed = match part {
                    Part::Entry => policy.names(&request.asked),
                    Part::Account => &policy.accounts,
                    Part::Region => &policy.regions,
                    Part::Role => &policy.role_arns,
                    Part::ServiceAccount => &policy.service_accounts,
                };
                (policy.name.clone(), allowed.iter().map(fill).collect())
            })
            .collect();
        Self {
            namespace: request.namespace.clone(),
            asked: request.asked.clone(),
            part,
            wanted: wanted(request, part, about),
            policies,
        }
    }

    /// What the policies say about the refused part, for the brackets of the message.
    fn allowed(&self) -> String {
        if self.policies.is_empty() {
            return "no policy is about this namespace".to_owned();
        }
        let one = |(name, items): &(String, Vec<String>)| {
            format!("policy \"{name}\" allows {}", self.items(items))
        };
        let mut text: Vec<String> = self.policies.iter().take(NAMED).map(one).collect();
        if self.policies.len() > NAMED {
            text.push(format!("and {} more", self.policies.len() - NAMED));
        }
        text.join(", ")
    }

    fn items(&self, items: &[String]) -> String {
        if items.is_empty() {
            return match self.part {
                Part::Account => "the caller's own".to_owned(),
                Part::Region => "every region".to_owned(),
                Part::Entry if self.asked.store() == Store::Parameters => {
                    "no parameters".to_owned()
                }
                Part::Entry | Part::Role | Part::ServiceAccount => "none".to_owned(),
            };
        }
        let more = items.len().saturating_sub(NAMED);
        let mut text = items[..items.len() - more].join(" ");
        if more > 0 {
            text.push_str(&format!(" and {more} more"));
        }
        text
    }
}

/// The refused part in words. Of an entry's readings the first that no policy allows.
fn wanted(request: &AccessRequest, part: Part, about: &[&Policy]) -> String {
    let account = || request.account.as_ref().or(request.caller_account.as_ref());
    let nobody_allows = |name: &&String| !about.iter().any(|p| p.allows_name(name, request));
    match part {
        Part::Entry => match &request.asked {
            Asked::Entry(names) | Asked::Parameter(names) => names
                .iter()
                .find(nobody_allows)
                .cloned()
                .unwrap_or_else(|| request.asked.first()),
            Asked::Prefix(_) | Asked::Path(_) => request.asked.first(),
        },
        Part::Account => account().cloned().unwrap_or_else(|| "unknown".to_owned()),
        Part::Region => request.region.clone(),
        Part::Role => request.role_arn.clone().unwrap_or_default(),
        Part::ServiceAccount => request.service_account.clone().unwrap_or_default(),
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let wanted = &self.wanted;
        let first = self.asked.first();
        let several = |names: &Vec<String>| names.len() > 1 && self.part == Part::Entry;
        let (entry, how) = match self.part {
            Part::Entry => (wanted, String::new()),
            Part::Account => (&first, format!(" in account {wanted}")),
            Part::Region => (&first, format!(" in region {wanted}")),
            Part::Role => (&first, format!(" with role {wanted}")),
            Part::ServiceAccount => (&first, format!(" as ServiceAccount {wanted}")),
        };
        write!(
            f,
            "No SecretAccessPolicy lets namespace {} read {}{how} ({}).",
            self.namespace,
            self.asked.store().called(entry),
            self.allowed()
        )?;
        match &self.asked {
            Asked::Entry(names) if several(names) => f.write_str(" An ARN may end in AWS's own six characters or not, so both names must be allowed."),
            Asked::Parameter(names) if several(names) => f.write_str(" An ARN does not tell whether the name begins with a slash, so both names must be allowed."),
            _ => Ok(()),
        }
    }
}
