//! The parts of a workload that are read, as they stand on the wire.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
pub(super) struct Named<'a> {
    #[serde(borrow)]
    pub metadata: Identity<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Identity<'a> {
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub namespace: Cow<'a, str>,
    #[serde(borrow)]
    pub uid: Cow<'a, str>,
    #[serde(borrow)]
    pub resource_version: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(super) struct Shape<'a> {
    #[serde(borrow)]
    pub metadata: Meta<'a>,
    #[serde(borrow)]
    pub spec: Spec<'a>,
    #[serde(default)]
    pub status: Status,
}

/// No `flatten` here: it would buffer managedFields.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta<'a> {
    pub name: String,
    #[serde(default)]
    pub namespace: String,
    pub uid: String,
    pub resource_version: String,
    #[serde(default)]
    pub generation: i64,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(borrow, default)]
    pub annotations: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(default)]
    pub owner_references: Vec<Owner>,
}

#[derive(Deserialize)]
pub(super) struct Owner {
    #[serde(default)]
    pub controller: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec<'a> {
    pub replicas: Option<i64>,
    #[serde(default)]
    pub paused: bool,
    #[serde(default)]
    pub suspend: bool,
    #[serde(default, alias = "updateStrategy")]
    pub strategy: StrategyShape,
    pub selector: Option<Selector>,
    #[serde(borrow)]
    pub template: Option<Template<'a>>,
    #[serde(borrow)]
    pub job_template: Option<JobTemplate<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct StrategyShape {
    #[serde(rename = "type")]
    pub type_: String,
    pub rolling_update: RollingUpdate,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RollingUpdate {
    pub partition: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Selector {
    #[serde(default)]
    pub match_labels: BTreeMap<String, String>,
    #[serde(default)]
    pub match_expressions: Vec<Expression>,
}

#[derive(Deserialize)]
pub(super) struct Expression {
    pub key: String,
    pub operator: String,
    #[serde(default)]
    pub values: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct JobTemplate<'a> {
    #[serde(borrow)]
    pub spec: JobSpec<'a>,
}

#[derive(Deserialize)]
pub(super) struct JobSpec<'a> {
    #[serde(borrow)]
    pub template: Template<'a>,
}

#[derive(Deserialize)]
pub(super) struct Template<'a> {
    #[serde(borrow, default)]
    pub metadata: TemplateMeta<'a>,
    #[serde(borrow)]
    pub spec: &'a RawValue,
}

#[derive(Default, Deserialize)]
pub(super) struct TemplateMeta<'a> {
    #[serde(borrow, default)]
    pub labels: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(borrow, default)]
    pub annotations: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    pub observed_generation: i64,
    pub replicas: i64,
    pub updated_replicas: i64,
    pub available_replicas: i64,
    pub ready_replicas: i64,
    pub current_number_scheduled: i64,
    pub updated_number_scheduled: i64,
    pub number_available: i64,
    pub number_ready: i64,
    /// A DaemonSet always has it, no other kind does.
    pub desired_number_scheduled: Option<i64>,
    pub conditions: Vec<Condition>,
}

#[derive(Deserialize)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub type_: String,
    pub status: String,
    #[serde(default)]
    pub reason: String,
    /// May hold anything: never kept as it is.
    #[serde(default)]
    pub message: String,
}
