//! A recipe: a binding's spec parsed into types that cannot be wrong later.
//!
//! Parsing is the only place that looks at raw spec strings; everything after it takes a [`Recipe`].

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{EntryAsk, PrefixAsk, window::Window};
use crate::api::binding::{
    CreationPolicy, Decode, DeletionPolicy, KeyCase, OnFailure, RolloutOrder, WorkloadKind,
};

/// What a binding asks for, with defaults applied and every rule of the API checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Identity and region of the reads.
    pub identity: IdentityRecipe,
    /// After the install's floor was applied.
    pub refresh_interval: Duration,
    /// The interval as written, when the floor raised it (for the message that says so).
    pub refresh_interval_raised_from: Option<Duration>,
    /// How long a last good value counts as Ready.
    pub stale_after: Duration,
    /// `spec.data`, in order.
    pub keys: Vec<KeyRecipe>,
    /// `spec.dataFrom`, in order.
    pub groups: Vec<GroupRecipe>,
    /// `spec.template`.
    pub template: Option<TemplateRecipe>,
    /// `spec.validate`.
    pub gate: GateRecipe,
    /// `spec.target`.
    pub target: TargetRecipe,
    /// `spec.rollout`; None: nothing is restarted.
    pub rollout: Option<RolloutRecipe>,
    /// `spec.suspend`.
    pub suspended: bool,
}

impl Recipe {
    /// Every entry that is read by name or ARN, each once.
    pub fn asks(&self) -> BTreeSet<EntryAsk> {
        let groups = self.groups.iter().filter_map(|g| match &g.from {
            GroupSource::Entry { ask, .. } => Some(ask),
            GroupSource::Prefix(_) => None,
        });
        let keys = self.keys.iter().map(|k| &k.ask);
        keys.chain(groups).cloned().collect()
    }

    /// Every prefix that is listed, each once.
    pub fn prefixes(&self) -> BTreeSet<PrefixAsk> {
        let prefix = |g: &GroupRecipe| match &g.from {
            GroupSource::Prefix(ask) => Some(ask.clone()),
            GroupSource::Entry { .. } => None,
        };
        self.groups.iter().filter_map(prefix).collect()
    }
}

/// `spec.source`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct IdentityRecipe {
    /// From `source.region`, else from the ARNs of the references (which must agree); None: the operator's.
    pub region: Option<String>,
    /// Regions with replicas, in the order in which they are asked while `region` does not answer.
    pub failover: Vec<String>,
    /// ServiceAccount in the binding's namespace.
    pub service_account: Option<String>,
    /// Role assumed on top.
    pub role_arn: Option<String>,
    /// External id for that role.
    pub external_id: Option<String>,
    /// Session tags for that role, without the automatic one.
    pub session_tags: BTreeMap<String, String>,
}

/// One key of `spec.data`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecipe {
    /// Key in the Secret.
    pub key: String,
    /// What is read.
    pub ask: EntryAsk,
    /// Property of it; None: the whole value.
    pub property: Option<String>,
    /// Decoding.
    pub decode: Decode,
    /// Missing entry or property leaves the key out.
    pub optional: bool,
}

/// One item of `spec.dataFrom`.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupRecipe {
    /// Where the names and values come from.
    pub from: GroupSource,
    /// Globs; empty: all.
    pub include: Vec<String>,
    /// Globs.
    pub exclude: Vec<String>,
    /// How names become keys.
    pub rename: RenameRecipe,
    /// Missing entry, property or members give no keys.
    pub optional: bool,
}

/// Source of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupSource {
    /// Every property of a JSON object (or of the object at `property` inside it).
    Entry {
        /// What is read.
        ask: EntryAsk,
        /// Object inside the value.
        property: Option<String>,
    },
    /// Every entry under a prefix.
    Prefix(PrefixAsk),
}

/// `rename`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenameRecipe {
    /// Case of the keys.
    pub case: KeyCase,
    /// Wins over everything else.
    pub keys: BTreeMap<String, String>,
    /// Put in front.
    pub add_prefix: String,
    /// Taken off the front.
    pub strip_prefix: String,
}

/// `spec.template`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateRecipe {
    /// Key to source; each has passed the lexical gate.
    pub data: BTreeMap<String, String>,
    /// Fetched keys that stay; None: all.
    pub keep: Option<Vec<String>>,
}

/// `spec.validate`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GateRecipe {
    /// Must exist and not be empty (unless in `allow_empty`).
    pub required: Vec<String>,
    /// Refuse placeholders.
    pub reject_placeholders: bool,
    /// More placeholders.
    pub placeholders: Vec<String>,
    /// May be empty.
    pub allow_empty: Vec<String>,
    /// Rules by key, patterns compiled.
    pub rules: Vec<RuleRecipe>,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct RuleRecipe {
    /// The key.
    pub key: String,
    /// Bytes.
    pub min_length: Option<usize>,
    /// Bytes.
    pub max_length: Option<usize>,
    /// Compiled with a size limit; matched against the value's bytes.
    pub pattern: Option<regex::bytes::Regex>,
}

impl PartialEq for RuleRecipe {
    fn eq(&self, other: &Self) -> bool {
        let text = |r: &Self| r.pattern.as_ref().map(|p| p.as_str().to_owned());
        self.key == other.key
            && self.min_length == other.min_length
            && self.max_length == other.max_length
            && text(self) == text(other)
    }
}

/// `spec.target`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRecipe {
    /// Name of the Secret.
    pub name: String,
    /// Its type.
    pub type_: String,
    /// Labels we set.
    pub labels: BTreeMap<String, String>,
    /// Annotations we set.
    pub annotations: BTreeMap<String, String>,
    /// How it comes into being.
    pub creation: CreationPolicy,
    /// What happens when the binding goes.
    pub deletion: DeletionPolicy,
}

/// `spec.rollout`.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutRecipe {
    /// Empty: discovery.
    pub targets: Vec<WorkloadSelection>,
    /// Longest time without progress.
    pub timeout: Duration,
    /// In which order.
    pub order: RolloutOrder,
    /// What follows from a failure.
    pub on_failure: OnFailure,
    /// Least time between two restarts of one workload.
    pub min_interval: Duration,
    /// When bytes may be replaced; empty: always.
    pub windows: Vec<Window>,
}

/// One target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkloadSelection {
    /// By name.
    Named(WorkloadKind, String),
    /// By labels, all of which must match.
    Labelled(WorkloadKind, BTreeMap<String, String>),
}
