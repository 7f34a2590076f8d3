//! Every name that keyferry writes into a cluster, in one place.

/// API group of our kinds.
pub const GROUP: &str = "keyferry.dev";

/// Field manager of whole-object writes (Secrets with policy Owner or Adopt, statuses, markers).
/// Never starts with `kubectl`: Flux strips fields of such managers.
pub const FIELD_MANAGER: &str = "keyferry";

/// Field manager of metadata-only writes on Secrets, apart from [`FIELD_MANAGER`] so that the time
/// the API server records for that one is the time the bytes last changed.
pub const METADATA_FIELD_MANAGER: &str = "keyferry-metadata";

/// Label on every Secret that keyferry writes; the Secret watch selects on it.
pub const LABEL_MANAGED: &str = "keyferry.dev/managed";
/// Label on companion and candidate Secrets: the binding's name.
pub const LABEL_PART_OF: &str = "keyferry.dev/part-of";

/// Annotation on a Secret: the name of the binding that owns it.
pub const ANNOTATION_BINDING: &str = "keyferry.dev/binding";
/// Annotation on a Secret: the revision word of its bytes.
pub const ANNOTATION_REVISION: &str = "keyferry.dev/revision";
/// Annotation on a Secret: `<key id>.<HMAC>` over data, revision and versions.
pub const ANNOTATION_DIGEST: &str = "keyferry.dev/digest";
/// Annotation on a Secret: JSON, the version each source was at.
pub const ANNOTATION_SOURCES: &str = "keyferry.dev/sources";
/// Annotation on a Secret: JSON, the last revisions.
pub const ANNOTATION_HISTORY: &str = "keyferry.dev/history";
/// Annotation on a Secret: JSON, versions that were rejected.
pub const ANNOTATION_REJECTED: &str = "keyferry.dev/rejected";
/// Annotation on a companion Secret: JSON, `status.sources` as it was with its bytes.
pub const ANNOTATION_SHOWN: &str = "keyferry.dev/status-sources";
/// Annotation on a Secret that also holds keys of others (Adopt, and `keys.keyferry.dev/<binding>` for
/// Merge): the names of our keys, sorted, separated by commas. Only these are set, removed and hashed.
pub const ANNOTATION_KEYS: &str = "keyferry.dev/keys";
/// Annotation on a Secret: `allow` lets Merge bindings write into it.
pub const ANNOTATION_MERGE: &str = "keyferry.dev/merge";
/// Annotation on a binding: a token; each new value asks for one refresh.
pub const ANNOTATION_REFRESH: &str = "keyferry.dev/refresh";
/// Annotation on a binding: `<revision>/<token>` asks for a rollback.
pub const ANNOTATION_ROLLBACK: &str = "keyferry.dev/rollback";
/// Annotation on a workload: `ignore` opts out of rollouts.
pub const ANNOTATION_ROLLOUT: &str = "keyferry.dev/rollout";
/// Finalizer on bindings with Merge + Delete.
pub const FINALIZER_MERGE: &str = "keyferry.dev/merge";
/// Prefix (DNS part) of marker annotations on pod templates.
pub const MARKER_PREFIX: &str = "rollout.keyferry.dev";

/// Annotation on a ServiceAccount that names its IAM role (set by users of IRSA;
/// source: amazon-eks-pod-identity-webhook README).
pub const ANNOTATION_ROLE_ARN: &str = "eks.amazonaws.com/role-arn";

/// Suffix of the companion Secret that holds the previous bytes while a rollout is open.
pub const SUFFIX_PREVIOUS: &str = "-keyferry-previous";
/// Suffix of the Secret that holds a candidate during preflight.
pub const SUFFIX_CANDIDATE: &str = "-keyferry-candidate";

/// Name of the Secret in the operator's namespace that holds the install key.
pub const INSTALL_KEY_SECRET: &str = "keyferry-install-key";

/// Annotation by which Helm leaves an object alone on uninstall (source: Helm, "Tell Helm Not To
/// Uninstall a Resource"); Argo CD honours it too.
pub const ANNOTATION_HELM_KEEP: &str = "helm.sh/resource-policy";

/// Session tag that keyferry sets to the binding's namespace when it assumes `source.roleArn`.
/// Tag keys are case-insensitive to STS, so no spelling of it may be chosen by a user.
pub const SESSION_TAG_NAMESPACE: &str = "keyferry-namespace";

/// Name of the access policy that is compiled in, or read from the install's file in its place.
pub const BUILT_IN_POLICY: &str = "default";
