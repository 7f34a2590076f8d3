//! `spec.target` of an ExternalSecret, and what happens when something is deleted: ours by meaning.

use serde_json::{Map, Value, json};

use super::{
    fields::{Fields, Report},
    go_template,
};
use crate::api::limits;

/// What the target says about the rest of the binding.
#[derive(Debug, Default)]
pub(super) struct Target {
    /// `spec.target`.
    pub fields: Map<String, Value>,
    /// `spec.template.data`.
    pub templates: Map<String, Value>,
    /// Only templated keys are written.
    pub replaces: bool,
    /// There is a template; labels of the ExternalSecret then stay its own.
    pub has_template: bool,
    /// Keys of entries that are gone leave the Secret.
    pub drops_missing: bool,
    /// Why there is no Secret to write.
    pub nothing: Option<&'static str>,
}

pub(super) fn target(mut target: Fields, name: &str, report: &mut Report) -> Target {
    let mut made = Target::default();
    if let Some(name) = target.text("name", report).filter(|target| target != name) {
        made.fields.insert("name".into(), name.into());
    }
    policies(&mut target, &mut made, report);
    if target.take("manifest").is_some() {
        report.lost(&target.at("manifest"), "keyferry writes Secrets only");
        made.nothing = Some("its target is no Secret");
    }
    if target.is("immutable") {
        report.lost(
            &target.at("immutable"),
            "Secrets stay writable; `suspend: true` stops writes, `versionId` pins a value",
        );
    }
    made.has_template = target.has("template");
    template(target.fields("template", report), &mut made, report);
    target.end(report);
    made
}

/// External Secrets' deletionPolicy is about entries that are deleted in AWS; ours is about the binding. What becomes of
/// the Secret when an ExternalSecret goes follows from its creationPolicy.
fn policies(target: &mut Fields, made: &mut Target, report: &mut Report) {
    let mut set = |creation: Option<&str>, deletion: Option<&str>| {
        let policies = [("creationPolicy", creation), ("deletionPolicy", deletion)];
        for (field, policy) in policies {
            made.fields
                .extend(policy.map(|policy| (field.to_owned(), policy.into())));
        }
    };
    let creation = target.text("creationPolicy", report);
    let at = target.at("creationPolicy");
    let exists = "a Secret that exists already is not taken over: choose another target.name, or creationPolicy: Adopt";
    match creation.as_deref() {
        None | Some("Owner") => report.note(&at, exists),
        Some("Orphan") => {
            set(None, Some("Retain"));
            report.note(
                &at,
                format!("the Secret stays when the binding goes: deletionPolicy: Retain; {exists}"),
            );
        }
        Some("Merge") => {
            set(Some("Merge"), Some("Retain"));
            report.note(
                &at,
                "the Secret must allow it: annotation keyferry.dev/merge=allow; our keys stay when the binding goes",
            );
        }
        Some("CreateOrMerge") => {
            set(Some("Adopt"), Some("Retain"));
            report.note(
                &at,
                "creationPolicy: Adopt makes the Secret, or takes it over and leaves other keys",
            );
        }
        Some("None") => {
            report.lost(&at, "keyferry has nothing that writes no Secret");
            made.nothing = Some("it writes no Secret");
        }
        Some(_) => report.lost(&at, "is not known"),
    }
    let at = target.at("deletionPolicy");
    match target.text("deletionPolicy", report).as_deref() {
        // The last good value always stays.
        None | Some("Retain") => {}
        Some(policy @ ("Delete" | "Merge")) => {
            made.drops_missing = true;
            report.note(
                &at,
                "keys of entries that are gone leave the Secret: optional: true; a missing property leaves its key out too",
            );
            if policy == "Delete" {
                report.lost(
                    &at,
                    "the Secret is not deleted when all entries are gone: it keeps its last keys",
                );
            }
        }
        Some(_) => report.lost(&at, "is not known"),
    }
}

fn template(mut template: Fields, made: &mut Target, report: &mut Report) {
    if let Some(type_) = template
        .text("type", report)
        .filter(|type_| type_ != "Opaque")
    {
        match limits::secret_type_is_allowed(&type_) {
            true => drop(made.fields.insert("type".into(), type_.into())),
            false => report.lost(
                &template.at("type"),
                "Secrets of this type are never written: the cluster acts upon them",
            ),
        }
    }
    let at = template.at("engineVersion");
    let old = template
        .text("engineVersion", report)
        .is_some_and(|version| version != "v2");
    if old {
        report.lost(&at, "templates of engine v1 are not read");
    }
    metadata(template.fields("metadata", report), made, report);
    let merges = template
        .text("mergePolicy", report)
        .is_some_and(|policy| policy == "Merge");
    let at = template.at("data");
    let templates = template.texts("data", report);
    let from = template.items("templateFrom", report);
    let composes = !(templates.is_empty() && from.is_empty());
    made.replaces = composes && !merges;
    for (key, source) in templates {
        let translated = match old {
            true => Err("templates of engine v1 are not read".to_owned()),
            false => go_template::translate(&source),
        };
        match translated {
            Ok(ours) => drop(made.templates.insert(key, ours.into())),
            Err(why) => report.lost(
                &format!("{at}.{key}"),
                format!("this template is not translated: {why}"),
            ),
        }
    }
    for (path, item) in from {
        let why = match item.get("literal") {
            Some(_) => {
                "a text whose keys are made by a template; write each key in spec.template.data"
            }
            None => "templates lie in the binding, not in ConfigMaps or Secrets",
        };
        report.lost(&path, why);
    }
    template.end(report);
}

fn metadata(mut metadata: Fields, made: &mut Target, report: &mut Report) {
    for field in ["labels", "annotations"] {
        let at = metadata.at(field);
        let texts = metadata.texts(field, report);
        carried(made, field, &at, texts, report);
    }
    metadata.lost(&["finalizers"], "Secrets get no finalizers", report);
    metadata.end(report);
}

/// Labels or annotations of the Secret; some names are not a binding's to set.
pub(super) fn carried(
    made: &mut Target,
    field: &str,
    at: &str,
    texts: Vec<(String, String)>,
    report: &mut Report,
) {
    let mut kept = Map::new();
    for (name, text) in texts {
        let at = format!("{at}.{name}");
        if text.contains("{{") {
            report.lost(&at, "labels and annotations are no templates");
        } else if !limits::metadata_key_is_allowed(&name) {
            report.lost(&at, "a binding sets no such name on a Secret: it belongs to Kubernetes, Helm or a GitOps tool");
        } else {
            kept.insert(name, json!(text));
        }
    }
    if !kept.is_empty() {
        made.fields.insert(field.to_owned(), kept.into());
    }
}
