//! `spec.data` and `spec.dataFrom`.

use std::collections::BTreeMap;

use super::Problem;
use crate::api::binding::{DataFromItem, DataItem, Rename, ValueFrom};
use crate::api::{Reason, limits};
use crate::core::keys::{key_problem, shown};
use crate::core::recipe::{GroupRecipe, GroupSource, KeyRecipe, RenameRecipe};
use crate::core::reference::{MAX_NAME, check_name, version_selector};
use crate::core::{
    EntryAsk, PrefixAsk, Store, VersionSelector, parameter, parse_parameter, parse_reference,
};

const MAX_DATA: usize = limits::DATA_ITEMS as usize;
const MAX_DATA_FROM: usize = limits::DATA_FROM_ITEMS as usize;
const MAX_PROPERTY: usize = limits::PROPERTY_CHARS as usize;
const MAX_GLOBS: usize = limits::GLOBS as usize;
const MAX_GLOB: usize = limits::GLOB_CHARS as usize;
const MAX_RENAMES: usize = limits::RENAMED_KEYS as usize;
const MAX_ADD_PREFIX: usize = limits::ADD_PREFIX_CHARS as usize;
const MAX_TAGS: usize = limits::PREFIX_TAGS as usize;

pub(super) fn keys(items: &[DataItem]) -> Result<Vec<KeyRecipe>, Problem> {
    if items.len() > MAX_DATA {
        return Err(Problem::new(
            Reason::TooLarge,
            "spec.data",
            "must have at most 300 items",
        ));
    }
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, item) in items.iter().enumerate() {
        if let Some(first) = seen.insert(&item.key, i) {
            let sentence = format!(
                "`key` {} is already given by spec.data[{first}]",
                shown(&item.key)
            );
            return Err(Problem::new(
                Reason::DuplicateKey,
                &format!("spec.data[{i}]"),
                sentence,
            ));
        }
    }
    items
        .iter()
        .enumerate()
        .map(|(i, item)| key(&format!("spec.data[{i}]"), item))
        .collect()
}

fn key(field: &str, item: &DataItem) -> Result<KeyRecipe, Problem> {
    check_key(&format!("{field}.key"), &item.key)?;
    let (ask, property) = named(field, &item.from)?;
    Ok(KeyRecipe {
        key: item.key.clone(),
        ask,
        property,
        decode: item.from.decode.unwrap_or_default(),
        optional: item.optional.unwrap_or(false),
    })
}

/// What `from` names.
fn named(field: &str, from: &ValueFrom) -> Result<(EntryAsk, Option<String>), Problem> {
    let property = from.property.as_deref();
    match (&from.secret, &from.parameter) {
        (Some(secret), None) => {
            let at = Place {
                field,
                secret,
                property,
                stage: from.version_stage.as_deref(),
                id: from.version_id.as_deref(),
            };
            at.read()
        }
        (None, Some(parameter)) => {
            if from.version_stage.is_some() || from.version_id.is_some() {
                let sentence = "`versionStage` and `versionId` must not be set with `parameter`: a version stands behind its name, /name:3 or /name:label";
                return Err(Problem::spec(field, sentence));
            }
            let ask = parse_parameter(parameter)
                .map_err(|e| Problem::spec(field, format!("`parameter` {e}")))?;
            Ok((ask, checked_property(field, property.map(str::to_owned))?))
        }
        _ => {
            let sentence = "must have exactly one of `secret` and `parameter`";
            Err(Problem::spec(field, sentence))
        }
    }
}

fn checked_property(field: &str, property: Option<String>) -> Result<Option<String>, Problem> {
    let fits = |p: &String| !p.is_empty() && p.chars().count() <= MAX_PROPERTY;
    match property {
        Some(property) if !fits(&property) => Err(Problem::spec(
            field,
            "`property` must have 1 to 512 characters",
        )),
        property => Ok(property),
    }
}

pub(super) fn check_key(field: &str, key: &str) -> Result<(), Problem> {
    match key_problem(key) {
        Some(problem) => Err(Problem::new(Reason::InvalidKey, field, problem)),
        None => Ok(()),
    }
}

pub(super) fn groups(items: &[DataFromItem]) -> Result<Vec<GroupRecipe>, Problem> {
    if items.len() > MAX_DATA_FROM {
        return Err(Problem::new(
            Reason::TooLarge,
            "spec.dataFrom",
            "must have at most 50 items",
        ));
    }
    items
        .iter()
        .enumerate()
        .map(|(i, item)| group(&format!("spec.dataFrom[{i}]"), item))
        .collect()
}

fn group(field: &str, item: &DataFromItem) -> Result<GroupRecipe, Problem> {
    let from = match (&item.secret, &item.prefix, &item.parameter_path) {
        (Some(secret), None, None) => {
            if !item.tags.is_empty() {
                return Err(Problem::spec(
                    field,
                    "`tags` must not be set without `prefix`",
                ));
            }
            let at = Place {
                field,
                secret,
                property: item.property.as_deref(),
                stage: item.version_stage.as_deref(),
                id: item.version_id.as_deref(),
            };
            let (ask, property) = at.read()?;
            GroupSource::Entry { ask, property }
        }
        (None, Some(prefix), None) => GroupSource::Prefix(prefix_ask(field, prefix, item)?),
        (None, None, Some(path)) => GroupSource::Prefix(path_ask(field, path, item)?),
        _ => {
            return Err(Problem::spec(
                field,
                "must have exactly one of `secret`, `prefix` and `parameterPath`",
            ));
        }
    };
    check_globs(&format!("{field}.include"), &item.include)?;
    check_globs(&format!("{field}.exclude"), &item.exclude)?;
    Ok(GroupRecipe {
        from,
        include: item.include.clone(),
        exclude: item.exclude.clone(),
        rename: rename(field, item.rename.as_ref())?,
        optional: item.optional.unwrap_or(false),
    })
}

fn prefix_ask(field: &str, prefix: &str, item: &DataFromItem) -> Result<PrefixAsk, Problem> {
    if item.property.is_some() || item.version_stage.is_some() || item.version_id.is_some() {
        let sentence = "`property`, `versionStage` and `versionId` must not be set with `prefix`";
        return Err(Problem::spec(field, sentence));
    }
    check_name(prefix, MAX_NAME).map_err(|_| {
        Problem::spec(
            &format!("{field}.prefix"),
            "must be the beginning of names of entries",
        )
    })?;
    if item.tags.len() > MAX_TAGS || item.tags.iter().any(|(k, v)| !tag_fits(k, v)) {
        return Err(Problem::spec(
            &format!("{field}.tags"),
            "must have at most 50 tags, names of 1 to 128 and values of at most 256 characters",
        ));
    }
    Ok(PrefixAsk {
        store: Store::Secrets,
        prefix: prefix.to_owned(),
        tags: item.tags.clone(),
    })
}

fn path_ask(field: &str, path: &str, item: &DataFromItem) -> Result<PrefixAsk, Problem> {
    let beside = item.property.is_some()
        || item.version_stage.is_some()
        || item.version_id.is_some()
        || !item.tags.is_empty();
    if beside {
        let sentence = "`property`, `versionStage`, `versionId` and `tags` must not be set with `parameterPath`";
        return Err(Problem::spec(field, sentence));
    }
    match parameter::path(path) {
        Some(prefix) => Ok(PrefixAsk {
            store: Store::Parameters,
            prefix,
            tags: BTreeMap::new(),
        }),
        None => Err(Problem::spec(
            &format!("{field}.parameterPath"),
            "must be a path of parameters such as /estate/config/",
        )),
    }
}

fn tag_fits(name: &str, value: &str) -> bool {
    (1..=128).contains(&name.chars().count())
        && value.chars().count() <= limits::TAG_VALUE_CHARS as usize
}

fn check_globs(field: &str, globs: &[String]) -> Result<(), Problem> {
    let bad = |glob: &String| glob.is_empty() || glob.chars().count() > MAX_GLOB;
    if globs.len() > MAX_GLOBS || globs.iter().any(bad) {
        return Err(Problem::spec(
            field,
            "must have at most 100 globs of 1 to 512 characters",
        ));
    }
    Ok(())
}

fn rename(field: &str, rename: Option<&Rename>) -> Result<RenameRecipe, Problem> {
    let Some(rename) = rename else {
        return Ok(RenameRecipe::default());
    };
    let field = format!("{field}.rename");
    if rename.keys.len() > MAX_RENAMES {
        return Err(Problem::spec(&field, "`keys` must have at most 200 names"));
    }
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, key) in &rename.keys {
        check_key(&format!("{field}.keys"), key)?;
        if let Some(other) = names.insert(key, name) {
            let sentence = format!(
                "{} and {} must not become one key",
                shown(other),
                shown(name)
            );
            return Err(Problem::new(
                Reason::DuplicateKey,
                &format!("{field}.keys"),
                sentence,
            ));
        }
    }
    let add_prefix = rename.add_prefix.clone().unwrap_or_default();
    if !add_prefix.is_empty() {
        check_key(&format!("{field}.addPrefix"), &add_prefix)?;
    }
    if add_prefix.len() > MAX_ADD_PREFIX {
        return Err(Problem::spec(
            &format!("{field}.addPrefix"),
            "must have at most 100 characters",
        ));
    }
    Ok(RenameRecipe {
        case: rename.case.unwrap_or_default(),
        keys: rename.keys.clone(),
        add_prefix,
        strip_prefix: rename.strip_prefix.clone().unwrap_or_default(),
    })
}

/// The fields that name one read, at one place of the spec.
struct Place<'a> {
    field: &'a str,
    secret: &'a str,
    property: Option<&'a str>,
    stage: Option<&'a str>,
    id: Option<&'a str>,
}

impl Place<'_> {
    /// What is read: a field and the tail of an ECS reference must not both say it.
    fn read(&self) -> Result<(EntryAsk, Option<String>), Problem> {
        let field = self.field;
        let reference = parse_reference(self.secret)
            .map_err(|e| Problem::spec(field, format!("`secret` {e}")))?;
        if let (Some(named), Some(_)) = (&reference.property, self.property) {
            let sentence = format!(
                "`property` must not be set: the reference already names {}",
                shown(named)
            );
            return Err(Problem::spec(field, sentence));
        }
        let has_version = self.stage.is_some() || self.id.is_some();
        if has_version && reference.ask.version != VersionSelector::Current {
            let sentence = "`versionStage` and `versionId` must not be set: the reference already names a version";
            return Err(Problem::spec(field, sentence));
        }
        let property = reference.property.or(self.property.map(str::to_owned));
        let property = checked_property(field, property)?;
        let mut ask = reference.ask;
        if has_version {
            ask.version =
                version_selector(self.stage, self.id).map_err(|e| Problem::spec(field, e))?;
        }
        Ok((ask, property))
    }
}
