//! The numbers and names that the API's rules are made of, shared by the schema and the checks
//! that run without an API server.
//!
//! Owns constants and predicates over single strings. Whole specs are judged elsewhere.

use super::names::{SUFFIX_CANDIDATE, SUFFIX_PREVIOUS};

/// Items of `spec.data`.
pub const DATA_ITEMS: i64 = 300;
/// Items of `spec.dataFrom`.
pub const DATA_FROM_ITEMS: i64 = 50;
/// Distinct entries one binding may use, members of prefixes included.
pub const ENTRIES: i64 = 500;
/// Characters of a reference: an ARN with the longest name (512), its suffix and an ECS tail.
pub const REFERENCE_CHARS: i64 = 1_100;
/// Characters of an entry's name (source: Secrets Manager API reference, CreateSecret).
pub const ENTRY_NAME_CHARS: i64 = 512;
/// Characters of a parameter: its ARN (1,011), a colon and a label (source: Systems Manager user guide, "Parameter
/// name requirements and constraints" and "Working with parameter labels").
pub const PARAMETER_CHARS: i64 = 1_112;
/// Characters of a parameter's label (source: as above).
pub const PARAMETER_LABEL_CHARS: i64 = 100;
/// Characters of a property, a dotted path or a JSON pointer.
pub const PROPERTY_CHARS: i64 = 512;
/// Characters of a staging label (source: Secrets Manager API reference, GetSecretValue).
pub const VERSION_STAGE_CHARS: i64 = 256;
/// Least characters of a version id (source: as above).
pub const VERSION_ID_MIN_CHARS: i64 = 32;
/// Most characters of a version id (source: as above).
pub const VERSION_ID_MAX_CHARS: i64 = 64;
/// Tags that narrow a prefix (source: Secrets Manager quotas, tags of one secret).
pub const PREFIX_TAGS: i64 = 50;
/// Characters of a tag's value; keys have 128 (source: AWS tagging rules).
pub const TAG_VALUE_CHARS: i64 = 256;
/// Globs of one `include` or `exclude`.
pub const GLOBS: i64 = 100;
/// Characters of a glob over names.
pub const GLOB_CHARS: i64 = 512;
/// Single names in `rename.keys`.
pub const RENAMED_KEYS: i64 = 200;
/// Characters of `rename.addPrefix`.
pub const ADD_PREFIX_CHARS: i64 = 100;

/// Characters of a key of a Secret (source: Kubernetes `IsConfigMapKey`).
pub const SECRET_KEY_CHARS: i64 = 253;
/// Bytes of all values of a Secret (source: Kubernetes `MaxSecretSize`).
pub const SECRET_BYTES: usize = 1_048_576;
/// Keys of `spec.template.data`.
pub const TEMPLATES: i64 = 300;
/// Characters of one template source.
pub const TEMPLATE_SOURCE_CHARS: i64 = 16 * 1_024;
/// Bytes of one rendered template.
pub const TEMPLATE_OUTPUT_BYTES: usize = 1_048_576;
/// Keys named by `required`, `allowEmpty` or `template.keep`.
pub const NAMED_KEYS: i64 = 500;
/// Items of `validate.placeholders`.
pub const PLACEHOLDERS: i64 = 100;
/// Characters of one of them.
pub const PLACEHOLDER_CHARS: i64 = 256;
/// Items of `validate.rules`.
pub const RULES: i64 = 100;
/// Characters of a rule's pattern.
pub const PATTERN_CHARS: i64 = 500;
/// Characters of the preflight's image.
pub const IMAGE_CHARS: i64 = 512;
/// Words of the preflight's command, and of its arguments.
pub const PREFLIGHT_WORDS: i64 = 50;
/// Characters of one of them, and of a variable's value.
pub const PREFLIGHT_WORD_CHARS: i64 = 4_096;
/// Variables of the preflight.
pub const PREFLIGHT_VARIABLES: i64 = 50;
/// Characters of a variable's name.
pub const PREFLIGHT_VARIABLE_CHARS: i64 = 253;
/// Characters of an amount of processor time or memory.
pub const AMOUNT_CHARS: i64 = 24;
/// Longest timeout of a preflight.
pub const PREFLIGHT_TIMEOUT_MAX: &str = "1h";

/// Characters of a binding's name: it becomes a label's value.
pub const BINDING_NAME_CHARS: i64 = 63;
/// Characters of a target's name: room for our suffixes below Kubernetes' 253.
pub const TARGET_NAME_CHARS: i64 = 200;
/// Characters of a Secret's type.
pub const TARGET_TYPE_CHARS: i64 = 253;
/// Labels, and annotations, that a binding may set on its Secret.
pub const TARGET_METADATA_ENTRIES: i64 = 50;
/// Characters of an annotation's value.
pub const ANNOTATION_VALUE_CHARS: i64 = 1_024;
/// Items of `spec.rollout.targets`.
pub const ROLLOUT_TARGETS: i64 = 100;
/// Items of `spec.rollout.windows`.
pub const WINDOWS: i64 = 20;
/// Characters of a window's schedule.
pub const SCHEDULE_CHARS: i64 = 100;
/// Shortest time a window is open.
pub const WINDOW_MIN: &str = "1m";
/// Characters of a time zone's name.
pub const TIME_ZONE_CHARS: i64 = 64;
/// Labels of one selector.
pub const SELECTOR_LABELS: i64 = 20;
/// Workloads in one status (`TooManyTargets` above it).
pub const ROLLOUTS: i64 = 500;

/// Characters of a duration.
pub const DURATION_CHARS: i64 = 24;
/// Shortest refresh interval and rollout timeout.
pub const DURATION_MIN: &str = "10s";
/// Longest refresh interval and rollout timeout.
pub const DURATION_MAX: &str = "24h";
/// Longest `staleAfter`: thirty days.
pub const STALE_AFTER_MAX: &str = "720h";

/// Characters of an IAM role's ARN (source: STS API reference, AssumeRole).
pub const ROLE_ARN_CHARS: i64 = 2_048;
/// Characters of an external id (source: as above).
pub const EXTERNAL_ID_CHARS: i64 = 1_224;
/// Session tags a user may set: AWS takes 50, one is ours.
pub const SESSION_TAGS: i64 = 49;
/// Characters of a region.
pub const REGION_CHARS: i64 = 32;
/// Regions a binding may fall back on, asked one after the other.
pub const FAILOVER_REGIONS: i64 = 5;

/// Items of each list of a `SecretAccessPolicy`.
pub const POLICY_ITEMS: i64 = 200;

/// Types under a Kubernetes domain that may be written; any type outside those domains may, too.
///
/// Everything else there is acted upon by the cluster: a `service-account-token` Secret, for one, is
/// filled with a token by the control plane.
pub const KUBERNETES_TYPES: [&str; 4] = [
    "kubernetes.io/tls",
    "kubernetes.io/dockerconfigjson",
    "kubernetes.io/basic-auth",
    "kubernetes.io/ssh-auth",
];

/// Domains (with their subdomains) under which no label or annotation may be set: Kubernetes' own,
/// ours, and those by which GitOps tools and Helm recognise what they own and may prune.
pub const RESERVED_DOMAINS: [&str; 8] = [
    "kubernetes.io",
    "k8s.io",
    "keyferry.dev",
    "argocd.argoproj.io",
    "toolkit.fluxcd.io",
    "helm.sh",
    "kapp.k14s.io",
    "objectset.rio.cattle.io",
];

/// Whether a Secret can hold this key (source: Kubernetes `IsConfigMapKey`).
pub fn secret_key_is_valid(key: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    (1..=SECRET_KEY_CHARS).contains(&(key.len() as i64))
        && key.bytes().all(allowed)
        && key != "."
        && !key.starts_with("..")
}

/// Whether a Secret of this type may be written.
pub fn secret_type_is_allowed(secret_type: &str) -> bool {
    let of_the_cluster = secret_type.contains("kubernetes.io/");
    !secret_type.is_empty()
        && (!of_the_cluster || KUBERNETES_TYPES.contains(&secret_type))
        && !secret_type.starts_with("helm.sh/")
}

/// Whether a binding may set this label or annotation on its Secret.
pub fn metadata_key_is_allowed(key: &str) -> bool {
    let Some((domain, _)) = key.split_once('/') else {
        return true;
    };
    !RESERVED_DOMAINS.iter().any(|reserved| {
        domain
            .strip_suffix(reserved)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

/// Whether a target may have this name as far as our own companions are concerned.
pub fn target_name_is_free(name: &str) -> bool {
    name.len() as i64 <= TARGET_NAME_CHARS
        && !name.ends_with(SUFFIX_PREVIOUS)
        && !name.ends_with(SUFFIX_CANDIDATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_follow_kubernetes() {
        for good in ["a", "A_B-c.d", ".hidden", "a..b", &"k".repeat(253)] {
            assert!(secret_key_is_valid(good), "{good}");
        }
        for bad in ["", ".", "..", "..a", "a/b", "a b", "ä", &"k".repeat(254)] {
            assert!(!secret_key_is_valid(bad), "{bad}");
        }
    }

    #[test]
    fn types_the_cluster_acts_upon_are_refused() {
        for good in ["Opaque", "kubernetes.io/tls", "example.com/thing", "helm"] {
            assert!(secret_type_is_allowed(good), "{good}");
        }
        for bad in [
            "",
            "kubernetes.io/service-account-token",
            "bootstrap.kubernetes.io/token",
            "kubernetes.io/dockercfg",
            "node.kubernetes.io/x",
            "helm.sh/release.v1",
        ] {
            assert!(!secret_type_is_allowed(bad), "{bad}");
        }
    }

    #[test]
    fn reserved_domains_cover_their_subdomains_and_nothing_else() {
        for good in [
            "team",
            "example.com/team",
            "mykubernetes.io/x",
            "kubernetes.io.example/x",
        ] {
            assert!(metadata_key_is_allowed(good), "{good}");
        }
        for bad in [
            "kubernetes.io/x",
            "app.kubernetes.io/instance",
            "config.k8s.io/owning-inventory",
            "rollout.keyferry.dev/x",
            "keyferry.dev/managed",
            "argocd.argoproj.io/tracking-id",
            "kustomize.toolkit.fluxcd.io/name",
            "helm.toolkit.fluxcd.io/name",
            "meta.helm.sh/release-name",
        ] {
            assert!(!metadata_key_is_allowed(bad), "{bad}");
        }
    }

    #[test]
    fn names_of_companions_are_not_targets() {
        assert!(target_name_is_free("backend"));
        assert!(!target_name_is_free("backend-keyferry-previous"));
        assert!(!target_name_is_free("backend-keyferry-candidate"));
        assert!(!target_name_is_free(&"a".repeat(201)));
    }
}
