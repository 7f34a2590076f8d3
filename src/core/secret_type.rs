//! Types of Secrets: which ones a binding may write.

/// Type of a Secret that names none.
pub const TYPE_OPAQUE: &str = "Opaque";

/// Whether a binding may write Secrets of this type: the harmless ones of Kubernetes, and any type
/// outside `*kubernetes.io/*` but Helm's releases.
pub fn type_allowed(type_: &str) -> bool {
    const OF_KUBERNETES: [&str; 4] = [
        "kubernetes.io/tls",
        "kubernetes.io/dockerconfigjson",
        "kubernetes.io/basic-auth",
        "kubernetes.io/ssh-auth",
    ];
    OF_KUBERNETES.contains(&type_)
        || !(type_.contains("kubernetes.io/") || type_.starts_with("helm.sh/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        for allowed in [
            "Opaque",
            "kubernetes.io/tls",
            "kubernetes.io/dockerconfigjson",
            "kubernetes.io/basic-auth",
            "kubernetes.io/ssh-auth",
            "example.com/own",
            "own",
        ] {
            assert!(type_allowed(allowed), "{allowed}");
        }
        for refused in [
            "kubernetes.io/service-account-token",
            "bootstrap.kubernetes.io/token",
            "kubernetes.io/dockercfg",
            "node.kubernetes.io/x",
            "helm.sh/release.v1",
        ] {
            assert!(!type_allowed(refused), "{refused}");
        }
    }
}
