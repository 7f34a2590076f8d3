//! `keyferry crds`: the CustomResourceDefinitions as YAML.

use kube::CustomResourceExt;

use crate::api::{ExternalSecretBinding, SecretAccessPolicy};

/// All CustomResourceDefinitions, one document each.
///
/// # Errors
/// When a definition cannot be written as YAML.
pub fn yaml() -> Result<String, serde_saphyr::SerializeError> {
    let mut text = String::new();
    for crd in [ExternalSecretBinding::crd(), SecretAccessPolicy::crd()] {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&crd)?);
    }
    Ok(text)
}
