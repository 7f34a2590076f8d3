//! `ExternalSecretBinding`: what a user writes.
//!
//! Defaults are applied in `core`, never by the schema: a default written into `spec` by the API
//! server makes GitOps tools see drift for ever.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{preflight::Preflight, status::ExternalSecretBindingStatus};

/// What is read, how it is checked and composed, and where it goes.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "keyferry.dev",
    version = "v1alpha1",
    kind = "ExternalSecretBinding",
    plural = "externalsecretbindings",
    singular = "externalsecretbinding",
    shortname = "esb",
    category = "keyferry",
    namespaced,
    derive = "Default",
    derive = "PartialEq",
    doc = "Carries AWS Secrets Manager entries and Parameter Store parameters into one Secret of this namespace and rolls the workloads that use it.",
    status = "ExternalSecretBindingStatus",
    selectable = ".spec.target.name"
)]
#[serde(rename_all = "camelCase")]
pub struct ExternalSecretBindingSpec {
    /// Where the entries are read from and as whom. Default: the operator's own identity and region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// How often AWS is asked when no event comes, 10s to 24h. Default: 5m. The install's floor raises it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_interval: Option<String>,
    /// How long the last good value counts as Ready while reads fail. Default: the longer of 1h and twice the refresh interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_after: Option<String>,
    /// Keys of the Secret, one at a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<DataItem>,
    /// Many keys at once, from JSON objects or from every entry under a prefix or path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_from: Vec<DataFromItem>,
    /// Keys composed from fetched values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
    /// What must hold before anything is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validate: Option<Validate>,
    /// The Secret to write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Restarts of the workloads that use the Secret. Absent: nothing is restarted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// True stops refreshes and writes; the Secret stays as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// Identity and region of the reads.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// AWS region, for example `ap-northeast-2`. Default: the operator's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Regions with replicas of the entries. They are asked in this order, and only while the first region does not
    /// answer or answers with faults of its own; never because it denies a read or has no such entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failover_regions: Vec<String>,
    /// ServiceAccount of this namespace whose IRSA role reads the entries (off unless the install allows it).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// IAM role assumed from the identity above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// External id sent when `roleArn` is assumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Session tags sent when `roleArn` is assumed. Different tags end the sharing of reads between bindings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub session_tags: BTreeMap<String, String>,
}

/// One key of the Secret.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataItem {
    /// Key in the Secret.
    pub key: String,
    /// The entry, or a property of it.
    pub from: ValueFrom,
    /// True leaves the key out when entry or property is missing; denied or unreachable stays an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// Where one value comes from: exactly one of `secret` and `parameter`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValueFrom {
    /// Name, ARN or partial ARN of the entry, or an ECS reference `ARN:json-key:version-stage:version-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Name or ARN of a parameter of Parameter Store, with `:` and a version number or a label behind it for one version: `/estate/config/log-level`, `/estate/config/log-level:3`, `/estate/config/log-level:blue`. Default: its latest version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// Property of a JSON object: a top-level name as it stands first, else a dotted path or a JSON pointer. Default: the whole value, byte for byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub property: Option<String>,
    /// Staging label, with `secret`. Default: AWSCURRENT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_stage: Option<String>,
    /// Version id, with `secret`; the value is then never refreshed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// How the fetched text is decoded. Default: None.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decode: Option<Decode>,
}

/// Decoding of a fetched value.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decode {
    /// As it stands.
    #[default]
    None,
    /// Standard base64, padded or not.
    Base64,
    /// URL-safe base64, padded or not.
    Base64Url,
}

/// Many keys at once: exactly one of `secret`, `prefix` and `parameterPath`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataFromItem {
    /// Every property of this entry's JSON object. Same forms as `data[].from.secret`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// An object inside the JSON value, with `secret`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub property: Option<String>,
    /// Staging label, with `secret`. Default: AWSCURRENT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_stage: Option<String>,
    /// Version id, with `secret`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Every entry whose name begins so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Every parameter of Parameter Store below this path, at all levels: `/estate/config/`. The names below it become keys as those below a `prefix` do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter_path: Option<String>,
    /// Narrows `prefix` to entries that carry all these tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Globs over the names before renaming (property names, or names below the prefix or path); one must match. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Globs over the names before renaming; none may match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// How names become keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rename: Option<Rename>,
    /// True gives no keys when the entry or the property is missing, or when nothing lies under the prefix or path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// From names to keys: `keys` wins; otherwise stripPrefix, case, addPrefix in this order.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rename {
    /// Case of the keys. Default: None.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<KeyCase>,
    /// Name to key, for single names; wins over everything else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<String, String>,
    /// Put before every key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_prefix: Option<String>,
    /// Taken off the front of every name that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_prefix: Option<String>,
}

/// Case of keys.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyCase {
    /// As it stands (a `/` becomes `_` all the same: keys cannot hold it).
    #[default]
    None,
    /// `redis-password` becomes `REDIS_PASSWORD`.
    UpperSnake,
}

/// Keys composed from fetched values.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// Key to template source, at most 16 KiB each.
    pub data: BTreeMap<String, String>,
    /// Fetched keys that stay beside the templated ones. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Vec<String>>,
}

/// The gate: all must hold or nothing is written.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Validate {
    /// Keys that must exist and not be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,
    /// Refuses values people leave behind: CHANGEME, your-..., <...>, xxx, empty. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reject_placeholders: Option<bool>,
    /// More values to refuse, compared without case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placeholders: Vec<String>,
    /// Keys that may be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_empty: Vec<String>,
    /// Rules for single keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<ValueRule>,
    /// A program that tries the candidate before it is written (off unless the install allows it).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preflight: Option<Preflight>,
}

/// A rule for one key; it holds when the key is absent.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValueRule {
    /// The key.
    pub key: String,
    /// Least length in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_length: Option<i64>,
    /// Greatest length in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<i64>,
    /// Regular expression that must be found in the value (RE2 syntax); `^` and `$` anchor it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
}

/// The Secret to write.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Name of the Secret. Default: the binding's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Type of the Secret. Default: Opaque. Changes only together with `name`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// Labels for the Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations for the Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Owner writes a Secret of its own, Adopt takes over an existing one, Merge adds keys to one that allows it. Default: Owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_policy: Option<CreationPolicy>,
    /// What happens to the Secret (Merge: to our keys) when the binding goes. Default: Delete (Adopt: Retain).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// How the Secret comes into being.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CreationPolicy {
    /// A Secret of our own.
    #[default]
    Owner,
    /// An existing Secret is taken over; keys we do not write stay.
    Adopt,
    /// Keys are added to a Secret that opts in.
    Merge,
}

/// What happens to the Secret when the binding goes.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeletionPolicy {
    /// It goes too.
    Delete,
    /// It stays.
    Retain,
}

/// Restarts of the workloads that use the Secret.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Workloads to restart. Default: the Deployments, StatefulSets and DaemonSets of this namespace that use the Secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<RolloutTarget>,
    /// How long a rollout may make no progress before it counts as failed, 10s to 24h. Default: 10m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// In which order the workloads are restarted. Default: Parallel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<RolloutOrder>,
    /// What happens when a workload does not become healthy with new bytes. Default: Hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// Least time between two restarts of one workload, 0s to 24h. Default: 30s. A rollback does not wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_interval: Option<String>,
    /// When existing bytes may be replaced by newer ones. Default: always. Creation, repair, rollback and an explicit refresh never wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
}

/// In which order workloads are restarted.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RolloutOrder {
    /// All at once.
    #[default]
    Parallel,
    /// One after the other, each when the one before is healthy; the first is the canary.
    Sequential,
}

/// What happens when a workload does not become healthy with new bytes.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnFailure {
    /// Nothing is undone, nothing further is restarted.
    #[default]
    Hold,
    /// The previous bytes are restored, and all workloads go back to them.
    Rollback,
}

/// A time in which existing bytes may be replaced by newer ones.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// When it opens: minute, hour, day of month, month and day of week, as cron has them.
    pub schedule: String,
    /// How long it stays open, 1m to 24h.
    pub duration: String,
    /// IANA name of the time zone of `schedule`, for example Asia/Seoul. Default: UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// One workload by name, or several by label.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutTarget {
    /// Kind of the workload.
    pub kind: WorkloadKind,
    /// Name of the workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Label selector over workloads of that kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// Labels a workload must carry.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// All must match.
    pub match_labels: BTreeMap<String, String>,
}

/// Kinds that can be restarted.
#[derive(
    JsonSchema,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
)]
pub enum WorkloadKind {
    /// apps/v1 Deployment.
    #[default]
    Deployment,
    /// apps/v1 StatefulSet.
    StatefulSet,
    /// apps/v1 DaemonSet.
    DaemonSet,
}
