//! The keys each Secret type must have, as the API server checks them.

use std::collections::BTreeMap;

use crate::api::Reason;
use crate::core::{Finding, SecretValue, json};

/// Checks the keys of a type before the API server does (source: Kubernetes
/// `validation.ValidateSecret`).
///
/// # Errors
/// `RequiredMissing`; `NotJson` for a `.dockerconfigjson` that is not JSON.
pub(super) fn check_type_keys(
    type_: &str,
    data: &BTreeMap<String, SecretValue>,
) -> Result<(), Finding> {
    let has = |key: &str| data.contains_key(key);
    let missing = |keys: &str| {
        let fact = format!("A Secret of type {type_} needs {keys}.");
        Err(Finding::new(
            Reason::RequiredMissing,
            fact,
            "Add it to the binding, or choose another spec.target.type.",
        ))
    };
    match type_ {
        "kubernetes.io/tls" if !has("tls.crt") || !has("tls.key") => {
            missing("the keys tls.crt and tls.key")
        }
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            missing("the key username or password")
        }
        "kubernetes.io/ssh-auth" if !has("ssh-privatekey") => missing("the key ssh-privatekey"),
        "kubernetes.io/dockerconfigjson" => match data.get(".dockerconfigjson") {
            None => missing("the key .dockerconfigjson"),
            Some(value) => check_docker_config(value),
        },
        _ => Ok(()),
    }
}

fn check_docker_config(value: &SecretValue) -> Result<(), Finding> {
    let place = match std::str::from_utf8(value.expose()) {
        Ok(text) => match json::mistake(text) {
            None => return Ok(()),
            Some((line, column)) => format!("line {line}, column {column}"),
        },
        Err(_) => "binary".to_owned(),
    };
    let fact = format!("Key .dockerconfigjson is not valid JSON ({place}).");
    Err(Finding::new(
        Reason::NotJson,
        fact,
        "Put a Docker config in JSON.",
    ))
}
