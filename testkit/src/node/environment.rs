//! The environment of a container at its start, as a kubelet builds it: envFrom
//! in order, then env over it, `$(NAME)` expanded in plain values. Pure.
//!
//! Left out: the variables of Services, and `resourceFieldRef`, which reads 0.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, Pod};
use kube::ResourceExt;

use super::rules::Environment;
use super::sources::{References, Sources};

/// The objects that the container's environment names.
pub(super) fn references(container: &Container) -> References {
    let mut wanted = References::default();
    for from in container.env_from.iter().flatten() {
        wanted
            .secrets
            .extend(from.secret_ref.as_ref().map(|r| r.name.clone()));
        wanted
            .config_maps
            .extend(from.config_map_ref.as_ref().map(|r| r.name.clone()));
    }
    for from in container
        .env
        .iter()
        .flatten()
        .filter_map(|e| e.value_from.as_ref())
    {
        wanted
            .secrets
            .extend(from.secret_key_ref.as_ref().map(|r| r.name.clone()));
        wanted
            .config_maps
            .extend(from.config_map_key_ref.as_ref().map(|r| r.name.clone()));
    }
    wanted
}

/// The environment, or the sentence that a kubelet puts beside
/// `CreateContainerConfigError`.
pub(super) fn resolve(
    container: &Container,
    pod: &Pod,
    pod_ip: &str,
    sources: &Sources,
) -> Result<Environment, String> {
    let mut variables = BTreeMap::new();
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        if let Some(secret) = &from.secret_ref {
            let data = sources.secret(&secret.name);
            add_all(
                &mut variables,
                prefix,
                "secret",
                &secret.name,
                secret.optional,
                data,
            )?;
        }
        if let Some(map) = &from.config_map_ref {
            let data = sources.config_map(&map.name);
            add_all(
                &mut variables,
                prefix,
                "configmap",
                &map.name,
                map.optional,
                data,
            )?;
        }
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value(variable, pod, pod_ip, sources, &variables)? {
            variables.insert(variable.name.clone(), value);
        }
    }
    Ok(Environment::new(variables))
}

type Data = BTreeMap<String, Vec<u8>>;

fn add_all(
    variables: &mut BTreeMap<String, String>,
    prefix: &str,
    kind: &str,
    name: &str,
    optional: Option<bool>,
    data: Option<&Data>,
) -> Result<(), String> {
    match data {
        None if optional == Some(true) => {}
        None => return Err(format!("{kind} \"{name}\" not found")),
        Some(data) => variables.extend(
            data.iter()
                .map(|(key, value)| (format!("{prefix}{key}"), text(value))),
        ),
    }
    Ok(())
}

fn value(
    variable: &EnvVar,
    pod: &Pod,
    pod_ip: &str,
    sources: &Sources,
    earlier: &BTreeMap<String, String>,
) -> Result<Option<String>, String> {
    match &variable.value_from {
        Some(from) => referred(from, pod, pod_ip, sources),
        None => Ok(Some(expand(
            variable.value.as_deref().unwrap_or_default(),
            earlier,
        ))),
    }
}

fn referred(
    from: &EnvVarSource,
    pod: &Pod,
    pod_ip: &str,
    sources: &Sources,
) -> Result<Option<String>, String> {
    if let Some(r) = &from.secret_key_ref {
        return key(
            "Secret",
            "secret",
            &r.name,
            &r.key,
            r.optional,
            sources.secret(&r.name),
            pod,
        );
    }
    if let Some(r) = &from.config_map_key_ref {
        let data = sources.config_map(&r.name);
        return key(
            "ConfigMap",
            "configmap",
            &r.name,
            &r.key,
            r.optional,
            data,
            pod,
        );
    }
    if let Some(r) = &from.field_ref {
        return Ok(Some(field(&r.field_path, pod, pod_ip)));
    }
    Ok(Some("0".into()))
}

fn key(
    kind: &str,
    resource: &str,
    name: &str,
    key: &str,
    optional: Option<bool>,
    data: Option<&Data>,
    pod: &Pod,
) -> Result<Option<String>, String> {
    let optional = optional == Some(true);
    match data.map(|data| data.get(key)) {
        Some(Some(value)) => Ok(Some(text(value))),
        _ if optional => Ok(None),
        Some(None) => {
            let namespace = pod.namespace().unwrap_or_default();
            Err(format!(
                "couldn't find key {key} in {kind} {namespace}/{name}"
            ))
        }
        None => Err(format!("{resource} \"{name}\" not found")),
    }
}

/// The downward API, as far as tests use it.
fn field(path: &str, pod: &Pod, pod_ip: &str) -> String {
    let spec = pod.spec.as_ref();
    let quoted = |prefix: &str| path.strip_prefix(prefix)?.strip_suffix("']");
    if let Some(name) = quoted("metadata.labels['") {
        return pod.labels().get(name).cloned().unwrap_or_default();
    }
    if let Some(name) = quoted("metadata.annotations['") {
        return pod.annotations().get(name).cloned().unwrap_or_default();
    }
    match path {
        "metadata.name" => pod.name_any(),
        "metadata.namespace" => pod.namespace().unwrap_or_default(),
        "metadata.uid" => pod.uid().unwrap_or_default(),
        "spec.nodeName" => spec.and_then(|s| s.node_name.clone()).unwrap_or_default(),
        "spec.serviceAccountName" => spec
            .and_then(|s| s.service_account_name.clone())
            .unwrap_or_default(),
        "status.podIP" | "status.podIPs" => pod_ip.to_owned(),
        _ => String::new(),
    }
}

/// `$(NAME)` becomes an earlier variable's value, `$$(NAME)` stays `$(NAME)`,
/// and unknown names stay as they are (Kubernetes API, `EnvVar.value`).
fn expand(value: &str, earlier: &BTreeMap<String, String>) -> String {
    let mut expanded = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        expanded.push_str(before);
        if let Some(after) = from.strip_prefix("$$") {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = from.strip_prefix("$(").and_then(|s| s.split_once(')'))
        {
            match earlier.get(name) {
                Some(value) => expanded.push_str(value),
                None => expanded.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            expanded.push('$');
            rest = &from[1..];
        }
    }
    expanded.push_str(rest);
    expanded
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use serde_json::json;

    fn resolved(container: serde_json::Value, sources: &Sources) -> Result<Environment, String> {
        let mut container = container;
        container["name"] = json!("app");
        let container: Container = serde_json::from_value(container).unwrap();
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "ai-1", "namespace": "estate", "labels": {"app": "ai"}},
            "spec": {"nodeName": "sim-0", "containers": []},
        }))
        .unwrap();
        resolve(&container, &pod, "10.0.0.7", sources)
    }

    #[test]
    fn env_wins_over_env_from_and_later_sources_over_earlier_ones() {
        let sources = Sources::default()
            .with_secret("one", &[("A", "1"), ("B", "1"), ("C", "1")])
            .with_config_map("two", &[("B", "2"), ("C", "2")]);
        let environment = resolved(
            json!({
                "envFrom": [{"secretRef": {"name": "one"}}, {"configMapRef": {"name": "two"}}],
                "env": [{"name": "C", "value": "3"}],
            }),
            &sources,
        )
        .unwrap();
        let all: Vec<_> = ["A", "B", "C"].map(|n| environment.get(n).unwrap()).into();
        assert_eq!(all, ["1", "2", "3"]);
    }

    #[test]
    fn prefix_downward_api_and_expansion() {
        let sources = Sources::default().with_secret("db", &[("USER", "kim")]);
        let environment = resolved(
            json!({
                "envFrom": [{"prefix": "DB_", "secretRef": {"name": "db"}}],
                "env": [
                    {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                    {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "URL", "value": "pg://$(DB_USER)@$(NONE)/$$(DB_USER)?$"},
                ],
            }),
            &sources,
        )
        .unwrap();
        assert_eq!(environment.get("DB_USER"), Some("kim"));
        assert_eq!(environment.get("POD"), Some("ai-1"));
        assert_eq!(environment.get("APP"), Some("ai"));
        assert_eq!(environment.get("IP"), Some("10.0.0.7"));
        assert_eq!(
            environment.get("URL"),
            Some("pg://kim@$(NONE)/$(DB_USER)?$")
        );
    }

    #[test]
    fn missing_objects_and_keys() {
        let sources = Sources::default().with_secret("there", &[("K", "v")]);
        let by_key = |name: &str, key: &str, optional: bool| {
            json!({"env": [{"name": "V", "valueFrom": {"secretKeyRef":
                {"name": name, "key": key, "optional": optional}}}]})
        };
        let from = |name: &str, optional: bool| json!({"envFrom": [{"secretRef": {"name": name, "optional": optional}}]});
        let cases = [
            (by_key("there", "K", false), Ok(vec!["V"])),
            (by_key("there", "X", true), Ok(vec![])),
            (by_key("gone", "K", true), Ok(vec![])),
            (from("gone", true), Ok(vec![])),
            (
                by_key("there", "X", false),
                Err("couldn't find key X in Secret estate/there"),
            ),
            (by_key("gone", "K", false), Err("secret \"gone\" not found")),
            (from("gone", false), Err("secret \"gone\" not found")),
        ];
        for (container, expected) in cases {
            let outcome = resolved(container.clone(), &sources);
            let names = outcome
                .as_ref()
                .map(|e| e.names().collect::<Vec<_>>())
                .map_err(String::as_str);
            assert_eq!(names, expected, "{container}");
        }
    }
}
