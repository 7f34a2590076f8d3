//! The content of a pod's Secret, ConfigMap and projected volumes. Pure.
//!
//! Left out: projected service account tokens and the downward API, which no
//! test needs as files, and the volume of that kind that the API server adds to
//! every pod: reading it again and again would be most of the simulator's load.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{KeyToPath, Pod, Volume};

use super::sources::{References, Sources};

/// Files by path.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// One source of a volume: an object, which of its keys, and whether it may be
/// missing.
struct Part<'a> {
    secret: bool,
    name: &'a str,
    items: Option<&'a [KeyToPath]>,
    optional: bool,
}

/// The objects that the pod's volumes name.
pub(super) fn references(pod: &Pod) -> References {
    let mut wanted = References::default();
    for part in volumes(pod).flat_map(parts) {
        let names = if part.secret {
            &mut wanted.secrets
        } else {
            &mut wanted.config_maps
        };
        names.insert(part.name.to_owned());
    }
    wanted
}

/// Each volume's files, or the sentence that a kubelet's `FailedMount` carries.
pub(super) fn resolve(pod: &Pod, sources: &Sources) -> Result<BTreeMap<String, Files>, String> {
    let mut all = BTreeMap::new();
    for volume in volumes(pod) {
        let mut files = Files::new();
        for part in parts(volume) {
            add(&mut files, &part, sources)?;
        }
        all.insert(volume.name.clone(), files);
    }
    Ok(all)
}

fn volumes(pod: &Pod) -> impl Iterator<Item = &Volume> {
    pod.spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten())
        // The prefix that the ServiceAccount admission plugin gives its volume.
        .filter(|volume| !volume.name.starts_with("kube-api-access-"))
}

fn parts(volume: &Volume) -> Vec<Part<'_>> {
    fn part<'a>(
        secret: bool,
        name: &'a str,
        items: Option<&'a Vec<KeyToPath>>,
        optional: Option<bool>,
    ) -> Part<'a> {
        Part {
            secret,
            name,
            items: items.map(Vec::as_slice),
            optional: optional == Some(true),
        }
    }
    let mut parts = Vec::new();
    if let Some(s) = &volume.secret {
        let name = s.secret_name.as_deref().unwrap_or_default();
        parts.push(part(true, name, s.items.as_ref(), s.optional));
    }
    if let Some(m) = &volume.config_map {
        parts.push(part(false, &m.name, m.items.as_ref(), m.optional));
    }
    let projected = volume
        .projected
        .iter()
        .flat_map(|p| p.sources.iter().flatten());
    for source in projected {
        if let Some(s) = &source.secret {
            parts.push(part(true, &s.name, s.items.as_ref(), s.optional));
        }
        if let Some(m) = &source.config_map {
            parts.push(part(false, &m.name, m.items.as_ref(), m.optional));
        }
    }
    parts
}

fn add(files: &mut Files, part: &Part<'_>, sources: &Sources) -> Result<(), String> {
    let (kind, data) = if part.secret {
        ("secret", sources.secret(part.name))
    } else {
        ("configmap", sources.config_map(part.name))
    };
    let Some(data) = data else {
        let message = format!("{kind} \"{}\" not found", part.name);
        return if part.optional { Ok(()) } else { Err(message) };
    };
    let Some(items) = part.items else {
        files.extend(data.iter().map(|(key, value)| (key.clone(), value.clone())));
        return Ok(());
    };
    for item in items {
        match data.get(&item.key) {
            Some(value) => {
                files.insert(item.path.clone(), value.clone());
            }
            None if part.optional => {}
            None => {
                return Err(format!("references non-existent {kind} key: {}", item.key));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use serde_json::json;

    fn pod(volumes: serde_json::Value) -> Pod {
        serde_json::from_value(
            json!({"metadata": {}, "spec": {"containers": [], "volumes": volumes}}),
        )
        .unwrap()
    }

    #[test]
    fn secret_with_items_and_projected_parts() {
        let pod = pod(json!([
            {"name": "picked", "secret": {"secretName": "s", "items": [{"key": "a", "path": "x/a.txt"}]}},
            {"name": "mixed", "projected": {"sources": [
                {"secret": {"name": "s"}}, {"configMap": {"name": "m"}},
                {"serviceAccountToken": {"path": "token"}},
                {"secret": {"name": "gone", "optional": true}},
            ]}},
            {"name": "scratch", "emptyDir": {}},
            {"name": "kube-api-access-x7k2p", "projected": {"sources": [
                {"configMap": {"name": "kube-root-ca.crt"}},
            ]}},
        ]));
        let sources = Sources::default()
            .with_secret("s", &[("a", "1"), ("b", "2")])
            .with_config_map("m", &[("c", "3")]);
        let resolved = resolve(&pod, &sources).unwrap();
        let paths = |volume: &str| {
            resolved[volume]
                .keys()
                .map(String::as_str)
                .collect::<Vec<_>>()
        };
        assert_eq!(paths("picked"), ["x/a.txt"]);
        assert_eq!(resolved["picked"]["x/a.txt"], b"1");
        assert_eq!(paths("mixed"), ["a", "b", "c"]);
        assert_eq!(paths("scratch"), Vec::<&str>::new());
        let wanted = references(&pod);
        assert_eq!(
            wanted.secrets.into_iter().collect::<Vec<_>>(),
            ["gone", "s"]
        );
        assert_eq!(wanted.config_maps.into_iter().collect::<Vec<_>>(), ["m"]);
    }

    #[test]
    fn a_missing_secret_or_key_fails_the_mount() {
        let sources = Sources::default().with_secret("s", &[]);
        let gone = pod(json!([{"name": "v", "secret": {"secretName": "gone"}}]));
        assert_eq!(
            resolve(&gone, &sources),
            Err("secret \"gone\" not found".into())
        );
        let key = pod(json!([{"name": "v", "secret": {"secretName": "s",
            "items": [{"key": "k", "path": "k"}]}}]));
        assert_eq!(
            resolve(&key, &sources),
            Err("references non-existent secret key: k".into())
        );
    }
}
