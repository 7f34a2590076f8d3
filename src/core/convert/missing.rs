//! What AWS does not have of what a binding asks for, and the URL that can be composed in its place.

use serde_json::{Value, json};

use crate::{
    api::ExternalSecretBindingSpec,
    core::{
        Entry, EntryAsk, EntryValue, Fetched, Recipe,
        compose::{Composed, of_object},
        json,
        recipe::GroupSource,
    },
};

/// One thing that is asked for in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Where it is asked for.
    pub path: String,
    /// What is wrong, without its full stop.
    pub told: String,
    /// What can be written instead.
    pub offer: Option<Offer>,
}

/// A URL in the place of one item of `spec.data`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Number of the item.
    pub item: usize,
    /// Its key.
    pub key: String,
    /// The URL.
    pub composed: Composed,
}

/// Everything that cannot be had. Optional entries and properties may be missing.
pub fn missing(recipe: &Recipe, fetched: &Fetched) -> Vec<Missing> {
    let mut all: Vec<Missing> = Vec::new();
    let mut add = |path: String, told: String, offer: Option<Offer>| {
        all.push(Missing { path, told, offer });
    };
    for (item, key) in recipe
        .keys
        .iter()
        .enumerate()
        .filter(|(_, key)| !key.optional)
    {
        let path = format!("spec.data[{item}]");
        match read(fetched, &key.ask, key.property.as_deref(), false) {
            Ok(()) => {}
            Err((told, entry)) => {
                let offer = offer(item, &key.key, key.property.as_deref(), entry);
                add(path, told, offer);
            }
        }
    }
    for (item, group) in recipe
        .groups
        .iter()
        .enumerate()
        .filter(|(_, group)| !group.optional)
    {
        let told = match &group.from {
            GroupSource::Entry { ask, property } => {
                read(fetched, ask, property.as_deref(), true).map_err(|(told, _)| told)
            }
            GroupSource::Prefix(ask) => match fetched.listings.get(ask) {
                Some(Ok(members)) if members.is_empty() => {
                    Err(format!("no entry lies under \"{}\"", ask.prefix))
                }
                Some(Err(finding)) => Err(sentence(&finding.fact)),
                _ => Ok(()),
            },
        };
        if let Err(told) = told {
            add(format!("spec.dataFrom[{item}]"), told, None);
        }
    }
    all
}

type Refused<'f> = (String, Option<&'f Entry>);

/// Whether a value is there; if only its property is not, with the entry.
fn read<'f>(
    fetched: &'f Fetched,
    ask: &EntryAsk,
    property: Option<&str>,
    object: bool,
) -> Result<(), Refused<'f>> {
    let entry = match fetched.entries.get(ask) {
        None => return Ok(()),
        Some(Err(finding)) => return Err((sentence(&finding.fact), None)),
        Some(Ok(entry)) => entry,
    };
    let Some(text) = text(entry).filter(|_| object || property.is_some()) else {
        return Ok(());
    };
    let found = match (object, property) {
        (true, property) => json::members(text, property).map(drop),
        (false, property) => json::property(text, property.unwrap_or_default()).map(drop),
    };
    let name = &entry.name;
    found.map_err(|why| {
        let property = property.unwrap_or_default();
        match why {
            json::JsonError::Missing { properties } => {
                let told =
                    format!("\"{name}\" has no property \"{property}\" ({properties} properties)");
                (told, Some(&**entry))
            }
            _ => (
                format!("\"{name}\" is no JSON object without repeated names"),
                None,
            ),
        }
    })
}

fn text(entry: &Entry) -> Option<&str> {
    match &entry.value {
        EntryValue::Text(value) => value.as_str(),
        EntryValue::Binary(_) => None,
    }
}

fn sentence(fact: &str) -> String {
    fact.trim_end_matches('.').to_owned()
}

fn offer(item: usize, key: &str, property: Option<&str>, entry: Option<&Entry>) -> Option<Offer> {
    let composed = of_object(property?, text(entry?)?)?;
    Some(Offer {
        item,
        key: key.to_owned(),
        composed,
    })
}

/// The spec with these URLs in it; None where they and what else it has cannot stand together.
pub fn composed(
    spec: &ExternalSecretBindingSpec,
    offers: &[Offer],
) -> Option<ExternalSecretBindingSpec> {
    let mut spec = serde_json::to_value(spec).ok()?;
    let data = std::mem::take(spec.get_mut("data")?.as_array_mut()?);
    let mut templates = spec["template"]["data"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let keep: Option<Vec<Value>> = spec["template"]["keep"].as_array().cloned();
    let (mut left, mut groups, mut taken) = (Vec::new(), Vec::new(), Vec::new());
    for (n, item) in data.into_iter().enumerate() {
        let Some(offer) = offers.iter().find(|offer| offer.item == n) else {
            left.push(item);
            continue;
        };
        templates.insert(offer.key.clone(), offer.composed.template.clone().into());
        let mut group = item["from"].as_object()?.clone();
        group.retain(|field, _| matches!(field.as_str(), "secret" | "versionStage" | "versionId"));
        group.insert("secret".into(), bare(group.get("secret")?.as_str()?).into());
        group.insert("include".into(), json!(offer.composed.properties));
        let group = Value::Object(group);
        if !groups.contains(&group) {
            taken.extend(offer.composed.properties.clone());
            groups.push(group);
        }
    }
    let names = |item: &Value| item["key"].as_str().map(str::to_owned);
    let mut all: Vec<String> = left.iter().filter_map(names).collect();
    let others = spec["dataFrom"].as_array().cloned().unwrap_or_default();
    // What other groups give is not known: it could not be kept by name.
    if keep.is_none() && !others.is_empty() {
        return None;
    }
    let keep = keep.unwrap_or_else(|| all.iter().cloned().map(Value::from).collect());
    all.extend(taken);
    let count = all.len();
    all.sort();
    all.dedup();
    if all.len() < count {
        return None;
    }
    spec["dataFrom"] = others.into_iter().chain(groups).collect();
    spec["data"] = left.into();
    spec["template"] = json!({"data": templates, "keep": keep});
    serde_json::from_value(spec).ok()
}

/// A reference without the tail that ECS knows.
fn bare(reference: &str) -> String {
    let fields: Vec<&str> = reference.split(':').collect();
    match reference.starts_with("arn:") {
        true => fields.iter().take(7).copied().collect::<Vec<_>>().join(":"),
        false => reference.to_owned(),
    }
}
