//! The two CustomResourceDefinitions, complete: what `crds/` and the chart hold.
//!
//! Owns the assembly. Shapes come from the types, bounds and rules from `api::schema`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, JSON, JSONSchemaProps,
};
use kube::CustomResourceExt;

use super::{ExternalSecretBinding, SecretAccessPolicy, schema};

/// Name, type and path of what `kubectl get` shows. The path of AGE is the one kubectl expects.
type Column = (&'static str, &'static str, &'static str);

const AGE: Column = ("Age", "date", ".metadata.creationTimestamp");

const BINDING_COLUMNS: [Column; 8] = [
    (
        "Ready",
        "string",
        r#".status.conditions[?(@.type=="Ready")].status"#,
    ),
    (
        "Reason",
        "string",
        r#".status.conditions[?(@.type=="Ready")].reason"#,
    ),
    ("Secret", "string", ".status.secret.name"),
    ("Keys", "integer", ".status.secret.keyCount"),
    ("Rollout", "string", ".status.rolloutSummary"),
    ("Changed", "date", ".status.lastChangeTime"),
    AGE,
    (
        WIDE_ONLY,
        "string",
        r#".status.conditions[?(@.type=="Ready")].message"#,
    ),
];

const POLICY_COLUMNS: [Column; 3] = [
    ("Namespaces", "string", ".spec.namespaces.names"),
    ("Secrets", "string", ".spec.secrets"),
    AGE,
];

/// Too long for a line of its own table; `-o wide` shows it.
const WIDE_ONLY: &str = "Message";

/// The definitions, as the API server accepts them: first the binding's, then the policy's.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut binding = ExternalSecretBinding::crd();
    let mut nodes = schema::binding::nodes();
    nodes.extend(schema::status::nodes());
    for schema in schemas(&mut binding) {
        schema::complete(schema, &nodes);
        default_status(schema);
    }
    set_columns(&mut binding, &BINDING_COLUMNS);
    let mut policy = SecretAccessPolicy::crd();
    for schema in schemas(&mut policy) {
        schema::complete(schema, &schema::policy::nodes());
    }
    set_columns(&mut policy, &POLICY_COLUMNS);
    vec![binding, policy]
}

/// All definitions as one YAML stream.
///
/// # Errors
/// When they cannot be written as YAML, which would be a defect of this crate.
pub fn crds_yaml() -> Result<String, serde_saphyr::ser::Error> {
    let documents: Vec<String> = crd_files()?.into_iter().map(|(_, yaml)| yaml).collect();
    Ok(documents.join("---\n"))
}

/// File name and content of each definition, as `crds/` holds them.
///
/// # Errors
/// As [`crds_yaml`].
pub fn crd_files() -> Result<Vec<(String, String)>, serde_saphyr::ser::Error> {
    crds()
        .iter()
        .map(|crd| {
            let file = format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
            Ok((file, serde_saphyr::to_string(crd)?))
        })
        .collect()
}

fn schemas(crd: &mut CustomResourceDefinition) -> impl Iterator<Item = &mut JSONSchemaProps> {
    crd.spec
        .versions
        .iter_mut()
        .filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut())
}

fn set_columns(crd: &mut CustomResourceDefinition, columns: &[Column]) {
    let column = |(name, type_, json_path): &Column| CustomResourceColumnDefinition {
        name: (*name).to_owned(),
        type_: (*type_).to_owned(),
        json_path: (*json_path).to_owned(),
        priority: (*name == WIDE_ONLY).then_some(1),
        ..CustomResourceColumnDefinition::default()
    };
    for version in &mut crd.spec.versions {
        version.additional_printer_columns = Some(columns.iter().map(column).collect());
    }
}

/// Until the operator has looked, the status says so: without one, kstatus takes the object for done.
/// Only on the parent does the server apply it to an object without a status.
fn default_status(schema: &mut JSONSchemaProps) {
    if let Some(status) = schema
        .properties
        .as_mut()
        .and_then(|properties| properties.get_mut("status"))
    {
        status.default = Some(JSON(serde_json::json!({"observedGeneration": -1})));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::api::schema::{paths, walk};

    /// Runs a check on every schema node of both kinds.
    fn each(mut check: impl FnMut(&str, &JSONSchemaProps)) {
        for mut crd in crds() {
            let kind = crd.spec.names.kind.clone();
            for schema in schemas(&mut crd) {
                walk(schema, "", &mut |path, node| {
                    check(&format!("{kind} {path}"), node);
                });
            }
        }
    }

    #[test]
    fn the_files_are_current() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
        for (file, yaml) in crd_files().unwrap() {
            let held = std::fs::read_to_string(dir.join(&file)).unwrap_or_default();
            assert!(
                held == yaml,
                "crds/{file} is not current: cargo xtask generate"
            );
        }
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        for (crd, (file, yaml)) in crds().into_iter().zip(crd_files().unwrap()) {
            let back: CustomResourceDefinition = serde_yaml::from_str(&yaml).unwrap();
            assert_eq!(back, crd, "{file}");
        }
        assert_eq!(
            crds_yaml()
                .unwrap()
                .matches("\nkind: CustomResourceDefinition\n")
                .count(),
            2
        );
    }

    /// Plain `kubectl apply` keeps the whole object in an annotation of at most 256 KiB.
    #[test]
    fn plain_kubectl_apply_has_room() {
        for crd in crds() {
            let bytes = serde_json::to_vec(&crd).unwrap().len();
            assert!(
                bytes < 64 * 1024,
                "{} has {bytes} bytes",
                crd.spec.names.kind
            );
        }
    }

    #[test]
    fn every_string_list_and_map_is_bounded() {
        let mut unbounded = Vec::new();
        each(|path, node| {
            let bounded = match node.type_.as_deref() {
                Some("string") => {
                    node.max_length.is_some() || node.enum_.is_some() || node.format.is_some()
                }
                Some("array") => node.max_items.is_some() && node.x_kubernetes_list_type.is_some(),
                Some("object") => {
                    node.additional_properties.is_none() || node.max_properties.is_some()
                }
                Some("integer") => path.contains(" status") || node.maximum.is_some(),
                Some("boolean") => true,
                _ => false,
            };
            if !bounded {
                unbounded.push(path.to_owned());
            }
        });
        assert_eq!(unbounded, Vec::<String>::new());
    }

    #[test]
    fn every_field_is_described_and_none_by_its_type_name() {
        let mut silent = Vec::new();
        each(|path, node| {
            let text = node.description.as_deref().unwrap_or_default();
            let is_field = !path.ends_with("[]") && !path.ends_with("{}");
            if is_field && (text.is_empty() || text.contains("Auto-generated")) {
                silent.push(path.to_owned());
            }
        });
        assert_eq!(silent, Vec::<String>::new());
    }

    #[test]
    fn no_null_no_unknown_format_and_one_default() {
        let mut defaults = Vec::new();
        each(|path, node| {
            assert_eq!(node.nullable, None, "{path}");
            if let Some(format) = &node.format {
                assert!(
                    ["date-time", "int32", "int64"].contains(&format.as_str()),
                    "{path}: {format}"
                );
            }
            if let Some(JSON(value)) = &node.default {
                defaults.push(format!("{path} {value}"));
            }
        });
        assert_eq!(
            defaults,
            [r#"ExternalSecretBinding status {"observedGeneration":-1}"#]
        );
    }

    #[test]
    fn every_rule_stands_at_a_field_that_exists() {
        let mut seen = std::collections::BTreeSet::new();
        each(|path, _| {
            seen.insert(path.to_owned());
        });
        let of = |kind: &str, nodes: Vec<schema::Node>| {
            paths(&nodes)
                .into_iter()
                .map(|path| format!("{kind} {path}"))
                .collect::<Vec<_>>()
        };
        let mut wanted = of("ExternalSecretBinding", schema::binding::nodes());
        wanted.extend(of("ExternalSecretBinding", schema::status::nodes()));
        wanted.extend(of("SecretAccessPolicy", schema::policy::nodes()));
        for path in wanted {
            assert!(seen.contains(&path), "{path}");
        }
    }

    #[test]
    fn enums_are_words_in_camel_case() {
        let mut words = 0;
        each(|path, node| {
            for JSON(word) in node.enum_.iter().flatten() {
                let word = word.as_str().unwrap();
                assert!(
                    word.starts_with(|c: char| c.is_ascii_uppercase()),
                    "{path}: {word}"
                );
                words += 1;
            }
        });
        assert!(words > 0);
    }

    #[test]
    fn lists_with_keys() {
        let mut keyed = Vec::new();
        each(|path, node| {
            if let Some(keys) = &node.x_kubernetes_list_map_keys {
                keyed.push(format!("{path} by {}", keys.join("+")));
            }
        });
        assert_eq!(
            keyed,
            [
                "ExternalSecretBinding spec.data by key",
                "ExternalSecretBinding spec.validate.preflight.env by name",
                "ExternalSecretBinding spec.validate.rules by key",
                "ExternalSecretBinding status.conditions by type",
                "ExternalSecretBinding status.rollouts by kind+name",
            ]
        );
    }

    #[test]
    fn columns_are_those_a_person_looks_for() {
        let crd = &crds()[0];
        let version = &crd.spec.versions[0];
        let columns: Vec<_> = version
            .additional_printer_columns
            .iter()
            .flatten()
            .map(|c| (c.name.to_uppercase(), c.priority.unwrap_or(0)))
            .collect();
        let names = [
            "READY", "REASON", "SECRET", "KEYS", "ROLLOUT", "CHANGED", "AGE",
        ];
        let mut wanted: Vec<_> = names.map(|n| (n.to_owned(), 0)).into();
        wanted.push(("MESSAGE".to_owned(), 1));
        assert_eq!(columns, wanted);
        let fields = version.selectable_fields.as_ref().unwrap();
        assert_eq!(fields[0].json_path, ".spec.target.name");
    }

    /// The server cuts nothing off a message, but a person does.
    #[test]
    fn sentences_fit_and_are_plain_text() {
        each(|path, node| {
            for rule in node.x_kubernetes_validations.iter().flatten() {
                let message = rule.message.as_deref().unwrap_or_default();
                assert!((10..=220).contains(&message.len()), "{path}: {message}");
                assert!(
                    !message.contains('\n') && !message.ends_with('.'),
                    "{path}: {message}"
                );
            }
        });
    }
}
