//! ExternalSecret, v1 and v1beta1.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{
    Document, Made, data_item,
    fields::{Fields, Report},
    find, intervals, opened, paths,
    store::{Store, Stores},
    target::{self, Target},
};
use crate::core::{duration, keys::key_problem};

/// What External Secrets reads by if nothing is written.
const DEFAULT: Duration = Duration::from_secs(3_600);
const LEAST: Duration = Duration::from_secs(10);
const MOST: Duration = Duration::from_secs(86_400);

/// One ExternalSecret, while it is converted.
pub(super) struct Work<'a> {
    document: &'a Document,
    stores: &'a Stores,
    /// The store of `spec.secretStoreRef`.
    pub store: Option<&'a Store>,
    pub drops_missing: bool,
}

pub(super) fn convert(document: &Document, stores: &Stores, report: &mut Report) -> Vec<Made> {
    let (mut top, mut metadata, name) = opened(document, report);
    let labels = metadata.texts("labels", report);
    let mut annotations = metadata.texts("annotations", report);
    annotations.retain(|(name, _)| {
        let transient = name.contains("last-applied-configuration") || name.ends_with("force-sync");
        if transient {
            let at = format!("metadata.annotations.{name}");
            report.note(&at, "belongs to the object that was");
        }
        !transient
    });
    metadata.end(report);
    let mut spec = top.fields("spec", report);
    top.end(report);
    let mut made = Map::new();
    let mut target = target::target(spec.fields("target", report), &name, report);
    if !target.has_template {
        // Without a template they are copied onto the Secret.
        target::carried(
            &mut target,
            "labels",
            "metadata.labels",
            labels.clone(),
            report,
        );
        target::carried(
            &mut target,
            "annotations",
            "metadata.annotations",
            annotations.clone(),
            report,
        );
    }
    let default = Value::Null;
    let reference = spec.take("secretStoreRef").unwrap_or(default);
    let mut work = Work {
        document,
        stores,
        store: None,
        drops_missing: target.drops_missing,
    };
    if !reference.is_null() {
        work.store = work.named(&spec.at("secretStoreRef"), reference, report);
    }
    refresh(&mut spec, &mut made, report);
    let data = work.data(&mut spec, report);
    let groups = find::groups(&work, &mut spec, report);
    spec.end(report);
    if let Some(why) = target.nothing {
        report.lost("", format!("no binding is made of it: {why}"));
        return Vec::new();
    }
    if let Some(store) = work.store.filter(|store| !store.source.is_empty()) {
        work.foreign_account(store, report);
        made.insert("source".into(), store.source.clone().into());
    }
    if groups.len() > 1 || !(groups.is_empty() || data.is_empty()) {
        report.note(
            "spec.dataFrom",
            "a key that comes twice is an error here; External Secrets takes the last",
        );
    }
    if !template(&target, &data, !groups.is_empty(), &mut made, report) {
        return Vec::new();
    }
    if !data.is_empty() {
        made.insert("data".into(), data.into());
    }
    if !groups.is_empty() {
        made.insert("dataFrom".into(), groups.into());
    }
    if !target.fields.is_empty() {
        made.insert("target".into(), target.fields.into());
    }
    let made = document.made(&name, made, report).map(|made| Made {
        labels: BTreeMap::from_iter(labels),
        annotations: BTreeMap::from_iter(annotations),
        ..made
    });
    made.into_iter().collect()
}

impl<'a> Work<'a> {
    /// The store that a reference names.
    fn named(&self, path: &str, reference: Value, report: &mut Report) -> Option<&'a Store> {
        let mut fields = Fields::of(path, reference, report);
        let kind = fields
            .text("kind", report)
            .unwrap_or_else(|| "SecretStore".to_owned());
        let name = fields.text("name", report).unwrap_or_default();
        fields.end(report);
        let found = self
            .stores
            .find(&kind, &name, self.document.namespace.as_deref());
        if found.is_none() {
            report.lost(
                path,
                format!(
                    "{kind} {name} is not among the files: identity and region are the operator's"
                ),
            );
        }
        found
    }

    /// A ServiceAccount is one of the binding's own namespace.
    fn foreign_account(&self, store: &Store, report: &mut Report) {
        let (of, own) = (
            store.account_of.as_deref(),
            self.document.namespace.as_deref(),
        );
        if let (Some(of), Some(own)) = (of, own)
            && of != own
        {
            report.lost(
                "spec.secretStoreRef",
                format!("the store reads as a ServiceAccount of namespace {of}; a binding reads as one of its own, {own}"),
            );
        }
    }

    /// Takes `sourceRef` of an item: None if it is to be left out, else the store it reads from.
    pub fn source(&self, item: &mut Fields, report: &mut Report) -> Option<Option<&'a Store>> {
        let path = item.at("sourceRef");
        let mut source = item.fields("sourceRef", report);
        if source.take("generatorRef").is_some() {
            report.lost(
                &format!("{path}.generatorRef"),
                "keyferry makes no values: put one into an entry",
            );
            return None;
        }
        let Some(reference) = source.take("storeRef") else {
            source.end(report);
            return self.usable(self.store, &path, report);
        };
        source.end(report);
        let named = self.named(&format!("{path}.storeRef"), reference, report)?;
        if self.store.is_some_and(|store| !store.reads_as(named)) {
            report.lost(&format!("{path}.storeRef"), "a binding reads as one identity in one region: make another one, with creationPolicy: Merge or a Secret of its own");
            return None;
        }
        self.usable(Some(named), &path, report)
    }

    fn usable(
        &self,
        store: Option<&'a Store>,
        path: &str,
        report: &mut Report,
    ) -> Option<Option<&'a Store>> {
        match store.and_then(|store| store.unusable) {
            Some(why) => {
                report.lost(path, format!("nothing is read from this store: {why}"));
                None
            }
            None => Some(store),
        }
    }

    fn data(&self, spec: &mut Fields, report: &mut Report) -> Vec<Value> {
        let items = spec.items("data", report).into_iter();
        items
            .filter_map(|(path, item)| self.item(&path, item, report))
            .collect()
    }

    fn item(&self, path: &str, item: Value, report: &mut Report) -> Option<Value> {
        let mut item = Fields::of(path, item, report);
        let key = item.text("secretKey", report).unwrap_or_default();
        let reference = item.fields("remoteRef", report);
        let store = self.source(&mut item, report);
        item.end(report);
        let from = store.and_then(|store| self.value(reference, store, report));
        let problem = key_problem(&key);
        if let Some(problem) = problem {
            report.lost(&format!("{path}.secretKey"), format!("a key {problem}"));
        }
        if from.is_none() {
            report.lost(path, format!("key \"{key}\" is left out"));
        }
        let from = from.filter(|_| problem.is_none())?;
        Some(data_item(&key, from, self.drops_missing))
    }

    /// `from` of a remoteRef; None if it cannot be read here.
    fn value(
        &self,
        mut reference: Fields,
        store: Option<&Store>,
        report: &mut Report,
    ) -> Option<Value> {
        let mut from = self.entry(&mut reference, store, report);
        match reference.text("decodingStrategy", report).as_deref() {
            None | Some("None") => {}
            Some("Base64") => insert(&mut from, "decode", "Base64"),
            Some("Base64URL") => insert(&mut from, "decode", "Base64Url"),
            Some(_) => report.lost(
                &reference.at("decodingStrategy"),
                "nothing is decoded by guess: the value is taken as it stands; say Base64 if it is",
            ),
        }
        // A key that is written is never converted.
        reference.take("conversionStrategy");
        reference.end(report);
        from.map(Value::Object)
    }

    /// What a reference reads: entry, property, version.
    pub fn entry(
        &self,
        reference: &mut Fields,
        store: Option<&Store>,
        report: &mut Report,
    ) -> Option<Map<String, Value>> {
        let key = reference.text("key", report);
        let property = reference.text("property", report);
        let version = reference.text("version", report);
        null_bytes(reference, report);
        if reference
            .text("metadataPolicy", report)
            .is_some_and(|policy| policy == "Fetch")
        {
            report.lost(
                &reference.at("metadataPolicy"),
                "tags of entries are not read",
            );
            return None;
        }
        let key = key?;
        let prefix = store.map_or("", |store| store.prefix.as_str());
        let mut from = Map::new();
        match store.is_some_and(|store| store.parameters) {
            true => {
                let version = version
                    .map(|version| format!(":{version}"))
                    .unwrap_or_default();
                from.insert("parameter".into(), format!("{prefix}{key}{version}").into());
            }
            false => {
                from.insert("secret".into(), format!("{prefix}{key}").into());
                let versions =
                    version
                        .as_deref()
                        .map(|version| match version.strip_prefix("uuid/") {
                            Some(id) => ("versionId", id),
                            None => ("versionStage", version),
                        });
                // What is current is read in batches.
                from.extend(
                    versions
                        .filter(|version| *version != ("versionStage", "AWSCURRENT"))
                        .map(|(field, version)| (field.to_owned(), version.into())),
                );
            }
        }
        if let Some(property) = property {
            let Some(ours) = paths::of_gjson(&property) else {
                report.lost(
                    &reference.at("property"),
                    format!(
                        "\"{property}\" computes; properties are names, dotted paths and indices"
                    ),
                );
                return None;
            };
            from.insert("property".into(), ours.into());
        }
        Some(from)
    }
}

/// `nullBytePolicy` of whatever is read.
pub(super) fn null_bytes(fields: &mut Fields, report: &mut Report) {
    let policy = fields.text("nullBytePolicy", report);
    if policy.is_some_and(|policy| policy == "Fail") {
        report.lost(
            &fields.at("nullBytePolicy"),
            "values may hold any byte; refuse some by spec.validate.rules",
        );
    }
}

fn insert(from: &mut Option<Map<String, Value>>, field: &str, text: &str) {
    if let Some(from) = from {
        from.insert(field.to_owned(), text.into());
    }
}

/// How often is read.
fn refresh(spec: &mut Fields, made: &mut Map<String, Value>, report: &mut Report) {
    let policy = spec.text("refreshPolicy", report);
    let at = spec.at("refreshInterval");
    let text = spec.text("refreshInterval", report);
    let written = text.as_deref().map_or(Some(DEFAULT), intervals::of_go);
    let once = "keyferry follows its entries: `versionId` pins a value, `suspend: true` stops reading after the first time; it is read every 24h";
    let mut interval = match written {
        None => {
            report.lost(&at, "is no duration");
            DEFAULT
        }
        Some(Duration::ZERO) => {
            report.lost(&at, once);
            MOST
        }
        Some(interval) => interval,
    };
    if let Some(policy) = policy.filter(|policy| policy != "Periodic") {
        let at = spec.at("refreshPolicy");
        match policy.as_str() {
            "OnChange" | "CreatedOnce" => report.lost(&at, once),
            _ => report.lost(&at, "is not known"),
        }
        if text.is_some() {
            report.note(
                &spec.at("refreshInterval"),
                "does not count with this refreshPolicy",
            );
        }
        interval = MOST;
    }
    if !(LEAST..=MOST).contains(&interval) {
        let bounded = interval.clamp(LEAST, MOST);
        report.note(
            &at,
            format!("must be between 10s and 24h: {}", duration::human(bounded)),
        );
        interval = bounded;
    }
    made.insert("refreshInterval".into(), duration::human(interval).into());
    spec.lost(
        &["syncWindows"],
        "when bytes may be replaced says spec.rollout.windows, which also restarts what uses the Secret",
        report,
    );
}

/// `spec.template`; false if nothing would be left of the Secret.
fn template(
    target: &Target,
    data: &[Value],
    has_groups: bool,
    made: &mut Map<String, Value>,
    report: &mut Report,
) -> bool {
    let keys = || data.iter().filter_map(|item| item["key"].as_str());
    let composed = |key: &&str| target.templates.contains_key(*key);
    if target.templates.is_empty() {
        if target.replaces {
            report.lost(
                "spec.target.template",
                "no binding is made of it: none of its templates is translated",
            );
        }
        return !target.replaces;
    }
    let mut template =
        Map::from_iter([("data".to_owned(), Value::Object(target.templates.clone()))]);
    if target.replaces {
        template.insert("keep".into(), json!([]));
    } else if keys().any(|key| composed(&key)) {
        let keep: Vec<&str> = keys().filter(|key| !composed(key)).collect();
        template.insert("keep".into(), json!(keep));
        if has_groups {
            report.lost(
                "spec.target.template.mergePolicy",
                "keys of dataFrom do not stay beside composed ones here: name those that shall in spec.template.keep",
            );
        }
    }
    made.insert("template".into(), template.into());
    true
}
