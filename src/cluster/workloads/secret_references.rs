//! Which Secrets a pod spec reads.
//!
//! By containers and init containers (sidecars are init containers too), and by volumes. Not by
//! ephemeral containers (templates have none), `imagePullSecrets` or volume drivers: kubelet reads
//! those at each pull or mount.

use std::{borrow::Cow, collections::BTreeSet};

use serde::Deserialize;
use serde_json::value::RawValue;

/// Names of the Secrets, sorted.
pub(super) fn used(spec: &RawValue) -> serde_json::Result<BTreeSet<String>> {
    let spec: PodSpec<'_> = serde_json::from_str(spec.get())?;
    Ok(by_containers(&spec).chain(by_volumes(&spec)).collect())
}

/// Names of those that are mounted: their files change while the pods run.
pub(super) fn mounted(spec: &RawValue) -> serde_json::Result<BTreeSet<String>> {
    let spec: PodSpec<'_> = serde_json::from_str(spec.get())?;
    Ok(by_volumes(&spec).collect())
}

fn by_containers(spec: &PodSpec<'_>) -> impl Iterator<Item = String> {
    let containers = spec.containers.iter().chain(&spec.init_containers);
    let by_containers = containers.flat_map(|c| {
        let env = c
            .env
            .iter()
            .filter_map(|e| e.value_from.as_ref()?.secret_key_ref.as_ref());
        env.chain(c.env_from.iter().filter_map(|e| e.secret_ref.as_ref()))
            .map(|r| &r.name)
    });
    by_containers
        .filter(|name| !name.is_empty())
        .map(|name| name.to_string())
}

fn by_volumes(spec: &PodSpec<'_>) -> impl Iterator<Item = String> {
    let names = spec.volumes.iter().flat_map(|v| {
        let whole = v.secret.iter().map(|s| &s.secret_name);
        let sources = v.projected.iter().flat_map(|p| &p.sources);
        whole.chain(sources.filter_map(|s| s.secret.as_ref()).map(|r| &r.name))
    });
    names
        .filter(|name| !name.is_empty())
        .map(|name| name.to_string())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpec<'a> {
    #[serde(borrow, default)]
    containers: Vec<Container<'a>>,
    #[serde(borrow, default)]
    init_containers: Vec<Container<'a>>,
    #[serde(borrow, default)]
    volumes: Vec<Volume<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container<'a> {
    #[serde(borrow, default)]
    env: Vec<EnvVar<'a>>,
    #[serde(borrow, default)]
    env_from: Vec<EnvFrom<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EnvVar<'a> {
    #[serde(borrow)]
    value_from: Option<ValueFrom<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ValueFrom<'a> {
    #[serde(borrow)]
    secret_key_ref: Option<Reference<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EnvFrom<'a> {
    #[serde(borrow)]
    secret_ref: Option<Reference<'a>>,
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Volume<'a> {
    #[serde(borrow)]
    secret: Option<SecretVolume<'a>>,
    #[serde(borrow)]
    projected: Option<Projected<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecretVolume<'a> {
    #[serde(borrow, default)]
    secret_name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Projected<'a> {
    #[serde(borrow, default)]
    sources: Vec<Source<'a>>,
}

#[derive(Deserialize)]
struct Source<'a> {
    #[serde(borrow)]
    secret: Option<Reference<'a>>,
}
