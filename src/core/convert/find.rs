//! `spec.dataFrom` of an ExternalSecret: whole objects, and everything under a path.

use serde_json::{Map, Value, json};

use super::{
    external_secret::{Work, null_bytes},
    fields::{Fields, Report},
    store::Store,
};

pub(super) fn groups(work: &Work<'_>, spec: &mut Fields, report: &mut Report) -> Vec<Value> {
    let items = spec.items("dataFrom", report).into_iter();
    let mut groups = Vec::new();
    for (path, item) in items {
        match group(work, &path, item, report) {
            Some(group) => groups.push(group),
            None => report.lost(&path, "its keys are left out"),
        }
    }
    groups
}

fn group(work: &Work<'_>, path: &str, item: Value, report: &mut Report) -> Option<Value> {
    let mut item = Fields::of(path, item, report);
    let store = work.source(&mut item, report);
    let rewrites = item.items("rewrite", report);
    let extract = item.take("extract");
    let find = item.take("find");
    let (extract_at, find_at) = (item.at("extract"), item.at("find"));
    item.end(report);
    let made = match (extract, find) {
        (Some(value), _) => {
            let fields = Fields::of(&extract_at, value, report);
            extracted(work, fields, store?, report).map(|made| (made, None))
        }
        (None, Some(value)) => {
            let fields = Fields::of(&find_at, value, report);
            let taken_off = taken_off(&rewrites);
            found(fields, store?, taken_off.as_deref(), report)
                .map(|(made, prefix)| (made, Some(prefix)))
        }
        (None, None) => None,
    };
    let (mut made, prefix) = made?;
    match rewrites.is_empty() {
        true => {
            // Keys are the whole names there, with `_` for what a key cannot hold.
            if let Some(prefix) = prefix {
                let add = prefix.replace(['/', '+', '=', '@'], "_");
                made.insert("rename".into(), json!({"addPrefix": add}));
            }
        }
        false => renamed(&mut made, prefix.as_deref(), rewrites, report),
    }
    if work.drops_missing {
        made.insert("optional".into(), true.into());
    }
    Some(Value::Object(made))
}

/// What is decoded or named otherwise in a group is so for all of it.
fn strategies(fields: &mut Fields, report: &mut Report) {
    if fields
        .text("decodingStrategy", report)
        .is_some_and(|way| way != "None")
    {
        report.lost(
            &fields.at("decodingStrategy"),
            "values of dataFrom are taken as they stand; decode single keys by data[].from.decode",
        );
    }
    if fields
        .text("conversionStrategy", report)
        .is_some_and(|way| way != "Default")
    {
        report.lost(
            &fields.at("conversionStrategy"),
            "names become keys by `rename`; a `/` becomes `_`",
        );
    }
}

fn extracted(
    work: &Work<'_>,
    mut fields: Fields,
    store: Option<&Store>,
    report: &mut Report,
) -> Option<Map<String, Value>> {
    strategies(&mut fields, report);
    let made = work.entry(&mut fields, store, report);
    fields.end(report);
    match made {
        Some(made) if made.contains_key("parameter") => {
            report.lost(
                &fields_path(&made),
                "a parameter that holds JSON is read property by property: data[].from",
            );
            None
        }
        made => made,
    }
}

fn fields_path(made: &Map<String, Value>) -> String {
    let name = made
        .get("parameter")
        .and_then(Value::as_str)
        .unwrap_or_default();
    format!("spec.dataFrom ({name})")
}

/// Everything under a path, and the beginning that all names have.
fn found(
    mut fields: Fields,
    store: Option<&Store>,
    taken_off: Option<&str>,
    report: &mut Report,
) -> Option<(Map<String, Value>, String)> {
    strategies(&mut fields, report);
    null_bytes(&mut fields, report);
    let path = fields.text("path", report);
    let mut name = fields.fields("name", report);
    let (expression, at) = (name.text("regexp", report), name.at("regexp"));
    name.end(report);
    let tags = fields.texts("tags", report);
    let path_at = fields.at("path");
    fields.end(report);
    let prefix = match (path, expression.as_deref()) {
        // Names that it is not taken off keep a slash, which no key may hold: there are none.
        (Some(path), expression)
            if path.contains('/')
                && taken_off.is_some_and(|off| is_all(off, &path, expression)) =>
        {
            taken_off.map(str::to_owned)
        }
        (path, None | Some(".*")) => path,
        (path, Some(expression)) => match beginning(expression) {
            Some(begin) if begin.starts_with(path.as_deref().unwrap_or_default()) => Some(begin),
            _ => {
                report.lost(&at, "names are found by their beginning: a prefix, narrowed by include and exclude (globs) and tags");
                return None;
            }
        },
    };
    let Some(prefix) = prefix.filter(|prefix| !prefix.is_empty()) else {
        report.lost(&path_at, "everything of an account is never read: name the beginning of the names, as spec.dataFrom[].prefix");
        return None;
    };
    if store.is_some_and(|store| store.parameters) {
        let prefix = format!("{}/", prefix.trim_end_matches('/'));
        let made = Map::from_iter([("parameterPath".to_owned(), Value::from(prefix.clone()))]);
        if !tags.is_empty() {
            report.lost(
                &format!("{path_at} (tags)"),
                "parameters are found by their path only",
            );
        }
        return Some((made, prefix));
    }
    let is_word = |c: char| c.is_ascii_alphanumeric();
    let mut prefix = prefix;
    if taken_off.is_none() && prefix.ends_with(is_word) {
        report.lost(
            &path_at,
            format!("names that go on without a slash (\"{prefix}-more\") are not taken: what is found lies under \"{prefix}/\""),
        );
        prefix.push('/');
    }
    let mut made = Map::from_iter([("prefix".to_owned(), Value::from(prefix.clone()))]);
    if !tags.is_empty() {
        let tags: Map<String, Value> = tags.into_iter().map(|(k, v)| (k, v.into())).collect();
        made.insert("tags".into(), tags.into());
    }
    Some((made, prefix))
}

/// Whether everything that is found under `path`, and fits, lies under what is taken off.
fn is_all(off: &str, path: &str, expression: Option<&str>) -> bool {
    let fits = |expression: &str| {
        expression == ".*"
            || plain(expression.trim_start_matches('^')).is_some_and(|text| off.contains(&text))
    };
    off.starts_with(path) && expression.is_none_or(fits)
}

/// What a single rewrite takes off the front of names.
fn taken_off(rewrites: &[(String, Value)]) -> Option<String> {
    let [(_, only)] = rewrites else {
        return None;
    };
    before_a_group(only["regexp"]["source"].as_str()?).filter(|begin| !begin.is_empty())
}

/// The text of an expression that is text and then everything as a group.
fn before_a_group(expression: &str) -> Option<String> {
    let inner = expression.trim_start_matches('^');
    let inner = inner.strip_suffix('$').unwrap_or(inner);
    plain(inner.strip_suffix("(.*)")?)
}

/// What names must begin with, where a regular expression says no more than that.
fn beginning(expression: &str) -> Option<String> {
    let rest = expression.strip_prefix('^')?;
    let rest = rest
        .strip_suffix('$')
        .map_or(Some(rest), |rest| rest.ends_with(".*").then_some(rest))?;
    plain(rest.strip_suffix(".*").unwrap_or(rest))
}

/// The text of an expression that is nothing but text.
fn plain(expression: &str) -> Option<String> {
    let (mut text, mut escaped) = (String::new(), false);
    for c in expression.chars() {
        match (escaped, c) {
            (false, '\\') => escaped = true,
            (true, c) if c.is_ascii_punctuation() => {
                text.push(c);
                escaped = false;
            }
            (false, c) if c.is_ascii_alphanumeric() || "/_-=@ ".contains(c) => text.push(c),
            _ => return None,
        }
    }
    (!escaped).then_some(text)
}

/// Rewrites that do nothing but take something off the front of every name, and put something there.
fn renamed(
    made: &mut Map<String, Value>,
    prefix: Option<&str>,
    rewrites: Vec<(String, Value)>,
    report: &mut Report,
) {
    let many = rewrites.len() > 1;
    for (path, item) in rewrites {
        let mut item = Fields::of(&path, item, report);
        let mut expression = item.fields("regexp", report);
        let source = expression.text("source", report);
        let target = expression.text("target", report).unwrap_or_default();
        expression.end(report);
        let ours = source
            .as_deref()
            .filter(|_| !many)
            .and_then(|source| rename(source, &target, prefix));
        match (source, ours) {
            (_, Some(rename)) if rename.is_empty() => {}
            (_, Some(rename)) => drop(made.insert("rename".into(), rename.into())),
            (Some(_), None) => report.lost(
                &format!("{path}.regexp"),
                "names become keys by rename.stripPrefix, addPrefix, case and keys: keys are named as they come",
            ),
            (None, None) => {}
        }
        item.lost(&["transform"], "names become keys by `rename`; UpperSnake is the usual one: keys are named as they come", report);
        item.lost(
            &["merge"],
            "values of several entries are not merged: read each as spec.dataFrom[].secret",
            report,
        );
        item.end(report);
    }
}

/// `rename` for an expression that begins with text, takes the rest as a group, and gives it behind other text.
fn rename(source: &str, target: &str, prefix: Option<&str>) -> Option<Map<String, Value>> {
    let anchored = source.starts_with('^');
    let begin = before_a_group(source)?;
    let add = target
        .strip_suffix("$1")
        .or_else(|| target.strip_suffix("${1}"))?;
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !add.chars().all(good) {
        return None;
    }
    let add = (!add.is_empty()).then(|| ("addPrefix".to_owned(), Value::from(add)));
    match prefix {
        // All names begin so, and it is taken off already.
        Some(prefix) => (begin == prefix).then(|| add.into_iter().collect()),
        // Other names stay as they are there; here what is added is added to all.
        None if begin.is_empty() => Some(add.into_iter().collect()),
        None if anchored && add.is_none() => {
            Some(Map::from_iter([("stripPrefix".to_owned(), begin.into())]))
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_that_say_a_beginning() {
        for (expression, begin) in [
            ("^gaara-store/production/", Some("gaara-store/production/")),
            ("^a\\.b/.*", Some("a.b/")),
            ("^a/.*$", Some("a/")),
            ("^a$", None),
            ("a/", None),
            ("^a.b", None),
            ("^(a|b)/", None),
            ("^a[0-9]", None),
        ] {
            assert_eq!(beginning(expression).as_deref(), begin, "{expression}");
        }
    }

    #[test]
    fn rewrites_that_are_a_prefix() {
        let ours = |source, target, prefix| {
            rename(source, target, prefix).map(|map| Value::Object(map).to_string())
        };
        for (source, target, prefix, expected) in [
            ("a/b/(.*)", "$1", Some("a/b/"), Some("{}")),
            (
                "^a/b/(.*)$",
                "x_${1}",
                Some("a/b/"),
                Some(r#"{"addPrefix":"x_"}"#),
            ),
            ("a/(.*)", "$1", Some("a/b/"), None),
            ("(.*)", "dev-$1", None, Some(r#"{"addPrefix":"dev-"}"#)),
            ("^db_(.*)", "$1", None, Some(r#"{"stripPrefix":"db_"}"#)),
            ("db_(.*)", "$1", None, None),
            ("^db_(.*)", "x$1", None, None),
            ("[^a-z]", "_", None, None),
            ("(.*)", "$1_x", None, None),
        ] {
            assert_eq!(
                ours(source, target, prefix).as_deref(),
                expected,
                "{source} {target}"
            );
        }
    }
}
