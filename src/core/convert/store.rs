//! SecretStore and ClusterSecretStore: who reads, and where.

use serde_json::{Map, Value, json};

use super::{
    Document, Line,
    fields::{Fields, Report},
    opened,
};

/// The stores among the documents.
#[derive(Default)]
pub(super) struct Stores {
    all: Vec<Store>,
}

/// What a store means for a binding.
#[derive(Clone, Debug)]
pub(super) struct Store {
    kind: String,
    name: String,
    namespace: Option<String>,
    /// `spec.source`.
    pub source: Map<String, Value>,
    /// Put before each key.
    pub prefix: String,
    /// Parameter Store instead of Secrets Manager.
    pub parameters: bool,
    /// Why nothing can be read from it.
    pub unusable: Option<&'static str>,
    /// Namespace of the ServiceAccount that reads; a binding reads as one of its own.
    pub account_of: Option<String>,
}

impl Stores {
    /// Reads every store, and tells what of it is not carried.
    pub fn read(documents: &[Document], lines: &mut Vec<Line>) -> Self {
        let stores = documents.iter().filter(|document| {
            document.group().0 == "external-secrets.io"
                && matches!(document.kind(), "SecretStore" | "ClusterSecretStore")
        });
        let all = stores.map(|document| {
            let mut report = document.report();
            let store = store(document, &mut report);
            lines.extend(document.told(report));
            store
        });
        Self { all: all.collect() }
    }

    /// The store of a reference.
    pub fn find(&self, kind: &str, name: &str, namespace: Option<&str>) -> Option<&Store> {
        let here = |store: &&Store| {
            store.kind == "ClusterSecretStore"
                || store.namespace.is_none()
                || namespace.is_none()
                || store.namespace.as_deref() == namespace
        };
        let mut stores = self.all.iter().filter(here);
        stores.find(|store| store.kind == kind && store.name == name)
    }
}

impl Store {
    /// Whether bindings of both read the same.
    pub fn reads_as(&self, other: &Self) -> bool {
        self.source == other.source && self.parameters == other.parameters
    }
}

fn store(document: &Document, report: &mut Report) -> Store {
    let mut store = Store {
        kind: document.kind().to_owned(),
        name: document.name().to_owned(),
        namespace: document.namespace.clone(),
        source: Map::new(),
        prefix: String::new(),
        parameters: false,
        unusable: None,
        account_of: None,
    };
    let (mut top, mut metadata, _) = opened(document, report);
    metadata.lost(
        &["labels", "annotations"],
        "a binding names its source itself; there is no store",
        report,
    );
    metadata.end(report);
    let mut spec = top.fields("spec", report);
    spec.lost(
        &["controller"],
        "one install of keyferry serves a namespace",
        report,
    );
    spec.lost(
        &["retrySettings"],
        "keyferry retries by one table (docs/reading-aws.md)",
        report,
    );
    spec.lost(
        &["refreshInterval"],
        "there is no store to validate; each read tells",
        report,
    );
    conditions(&mut spec, report);
    let mut provider = spec.fields("provider", report);
    match provider.has("aws") {
        true => aws(provider.fields("aws", report), &mut store, report),
        false => store.unusable = Some("its provider is not AWS"),
    }
    if store.unusable.is_some() {
        report.lost("spec.provider", "keyferry reads AWS only");
    } else {
        provider.end(report);
    }
    spec.end(report);
    top.end(report);
    store
}

/// Which namespaces may use a ClusterSecretStore: a matter of access policies here.
fn conditions(spec: &mut Fields, report: &mut Report) {
    for (path, item) in spec.items("conditions", report) {
        let mut fields = Fields::of(&path, item, report);
        let why = "who may read what says a SecretAccessPolicy";
        fields.lost(
            &["namespaces"],
            &format!("{why}: spec.namespaces.names"),
            report,
        );
        fields.lost(
            &["namespaceSelector"],
            &format!("{why}: spec.namespaces.matchLabels"),
            report,
        );
        fields.lost(
            &["namespaceRegexes"],
            &format!("{why}; it knows names and labels"),
            report,
        );
        fields.end(report);
    }
}

fn aws(mut aws: Fields, store: &mut Store, report: &mut Report) {
    match aws.text("service", report).as_deref() {
        None | Some("SecretsManager") => {}
        Some("ParameterStore") => store.parameters = true,
        Some(_) => {
            report.lost(
                &aws.at("service"),
                "keyferry reads Secrets Manager and Parameter Store",
            );
            store.unusable = Some("its service is neither Secrets Manager nor Parameter Store");
        }
    }
    if let Some(region) = aws.text("region", report) {
        store.source.insert("region".into(), region.into());
    }
    store.prefix = aws.text("prefix", report).unwrap_or_default();
    authentication(aws.fields("auth", report), store, report);
    role(&mut aws, store, report);
    aws.lost(
        &["secretsManager"],
        "is about deleting entries; keyferry deletes none",
        report,
    );
    aws.end(report);
}

fn authentication(mut auth: Fields, store: &mut Store, report: &mut Report) {
    auth.lost(
        &["secretRef"],
        "keyferry takes no access keys: give the operator a role (docs/iam.md)",
        report,
    );
    let mut jwt = auth.fields("jwt", report);
    let mut account = jwt.fields("serviceAccountRef", report);
    if let Some(name) = account.text("name", report) {
        store
            .source
            .insert("serviceAccountName".into(), name.into());
        store.account_of = account
            .text("namespace", report)
            .or(store.namespace.clone());
        report.note(
            &jwt.at("serviceAccountRef"),
            "a binding reads as a ServiceAccount of its own namespace; the install must allow it (--allow-service-account-identity), and a SecretAccessPolicy with serviceAccounts",
        );
    }
    if account
        .take("audiences")
        .is_some_and(|all| all != json!(["sts.amazonaws.com"]))
    {
        report.lost(&account.at("audiences"), "tokens are for sts.amazonaws.com");
    }
    account.end(report);
    jwt.end(report);
    auth.end(report);
}

fn role(aws: &mut Fields, store: &mut Store, report: &mut Report) {
    if let Some(role) = aws.text("role", report) {
        match role.starts_with("arn:") {
            true => drop(store.source.insert("roleArn".into(), role.into())),
            false => report.lost(&aws.at("role"), "must be a role's ARN"),
        }
    }
    let has_role = store.source.contains_key("roleArn");
    if let Some(id) = aws.text("externalID", report) {
        match has_role {
            true => drop(store.source.insert("externalId".into(), id.into())),
            false => report.lost(&aws.at("externalID"), "is sent with a role only"),
        }
    }
    let mut tags = Map::new();
    for (path, item) in aws.items("sessionTags", report) {
        let mut tag = Fields::of(&path, item, report);
        if let Some(key) = tag.text("key", report) {
            tags.insert(key, tag.text("value", report).unwrap_or_default().into());
        }
        tag.end(report);
    }
    match aws.text("sessionTagsPolicy", report).as_deref() {
        None | Some("None") => {}
        Some(_) => report.lost(
            &aws.at("sessionTagsPolicy"),
            "esoNamespace, esoStoreName and esoStoreKind are not sent; keyferry tags each session with keyferry-namespace",
        ),
    }
    for (key, value) in aws.texts("customSessionTags", report) {
        tags.insert(key, value.into());
    }
    if !tags.is_empty() {
        match has_role {
            true => drop(store.source.insert("sessionTags".into(), tags.into())),
            false => report.lost(&aws.at("sessionTags"), "are sent with a role only"),
        }
    }
    aws.lost(
        &["additionalRoles"],
        "one role is assumed: let the operator's assume it directly",
        report,
    );
    aws.lost(
        &["transitiveTagKeys"],
        "there is no further role to carry tags to",
        report,
    );
}
