//! A folder of `examples/`: its manifests as kustomize builds them, its IAM documents as IAM takes them.

use std::path::PathBuf;

use keyferry_testkit::{aws::Role, operator::repository};
use serde::Deserialize;
use serde_json::{Value, json};

/// Whom every trust policy in `examples/` trusts.
const OPERATOR: &str = "keyferry";

/// A system's folder.
pub struct Folder {
    pub path: PathBuf,
    /// Everything in it that is applied.
    pub manifests: Vec<Value>,
    /// Folders with `policy.json`, `trust-irsa.json` and `trust-pod-identity.json`.
    pub iam: Vec<PathBuf>,
}

impl Folder {
    /// `built` is what `kubectl kustomize` made of it.
    pub fn new(name: &str, built: &str, iam: &[&str]) -> Self {
        let path = repository().join("examples").join(name);
        let manifests = serde_yaml::Deserializer::from_str(built)
            .map(|document| Value::deserialize(document).unwrap())
            .collect();
        let iam = iam.iter().map(|dir| path.join(dir)).collect();
        Self {
            path,
            manifests,
            iam,
        }
    }

    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.manifests.iter().filter(move |m| m["kind"] == kind)
    }

    /// The names of its namespaces.
    pub fn namespaces(&self) -> Vec<String> {
        let name = |manifest: &Value| text(&manifest["metadata"]["name"]);
        self.of_kind("Namespace").map(name).collect()
    }

    /// Its access policies as an install's policy file; None where the built-in rule does.
    pub fn policy_file(&self) -> Option<Value> {
        let item = |policy: &Value| {
            let mut item = policy["spec"].clone();
            item["name"] = policy["metadata"]["name"].clone();
            item
        };
        let policies: Vec<Value> = self.of_kind("SecretAccessPolicy").map(item).collect();
        (!policies.is_empty()).then(|| json!({"policies": policies}))
    }

    /// A role that may do exactly what its policies say and trusts exactly whom they trust, with `operator` in the
    /// place of keyferry's own namespace and ServiceAccount.
    pub fn role(&self, arn: &str, operator: &str) -> Role {
        let mut role = Role::new(arn);
        for dir in &self.iam {
            let read = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap();
            role = role.policy(&read("policy.json")).unwrap();
            role = trusting_irsa(role, &read("trust-irsa.json"), operator);
            role = trusting_pods(role, &read("trust-pod-identity.json"));
        }
        role
    }

    /// The policy documents themselves.
    pub fn policies(&self) -> Vec<Value> {
        let read = |dir: &PathBuf| std::fs::read_to_string(dir.join("policy.json")).unwrap();
        let parse = |dir| serde_json::from_str(&read(dir)).unwrap();
        self.iam.iter().map(parse).collect()
    }
}

/// The one statement of a trust policy: principal, actions, and what must be equal.
fn trust(document: &str) -> (Value, Vec<String>, Value) {
    let document: Value = serde_json::from_str(document).unwrap();
    let statements = document["Statement"].as_array().unwrap();
    assert_eq!(statements.len(), 1);
    let statement = &statements[0];
    assert_eq!(statement["Effect"], "Allow");
    let condition = statement["Condition"].as_object().unwrap();
    assert_eq!(condition.keys().collect::<Vec<_>>(), ["StringEquals"]);
    let equal = condition["StringEquals"].clone();
    (
        statement["Principal"].clone(),
        list(&statement["Action"]),
        equal,
    )
}

fn trusting_irsa(role: Role, document: &str, operator: &str) -> Role {
    let (principal, actions, equal) = trust(document);
    let provider = text(&principal["Federated"]);
    let (_, issuer) = provider.split_once(":oidc-provider/").unwrap();
    assert_eq!(actions, ["sts:AssumeRoleWithWebIdentity"]);
    let equal = |key: &str| list(&equal[format!("{issuer}:{key}")]);
    assert_eq!(equal("aud"), ["sts.amazonaws.com"]);
    let subject = format!("system:serviceaccount:{OPERATOR}:{OPERATOR}");
    assert_eq!(equal("sub"), [subject.as_str()]);
    let subject = subject.replace(OPERATOR, operator);
    role.trust_subject(&subject, "sts.amazonaws.com")
}

fn trusting_pods(role: Role, document: &str) -> Role {
    let (principal, actions, equal) = trust(document);
    assert_eq!(principal, json!({"Service": "pods.eks.amazonaws.com"}));
    assert_eq!(actions, ["sts:AssumeRole", "sts:TagSession"]);
    for tag in ["kubernetes-namespace", "kubernetes-service-account"] {
        assert_eq!(list(&equal[format!("aws:RequestTag/{tag}")]), [OPERATOR]);
    }
    role.trust_pod_identity()
}

/// A string, or a list of them.
pub fn list(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        one => vec![text(one)],
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
