//! Committed files that are made from code are current, and the chart holds what its schema says.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;

use keyferry::{api, cluster::rights};
use serde_json::Value;

type Ended = Result<(), Box<dyn Error>>;

fn read(path: &str) -> Result<String, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(root.join(path)).map_err(|error| format!("{path}: {error}").into())
}

/// File names of a folder, sorted.
fn names(folder: &str) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = fs::read_dir(root.join(folder))?.map(|entry| Ok(entry?.file_name()));
    let names: Result<Vec<_>, std::io::Error> = entries.collect();
    Ok(names?
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect())
}

#[test]
fn the_charts_rules_are_the_rights_table() -> Ended {
    let rules = read("charts/keyferry/files/rules.yaml")?;
    assert_eq!(rules, rights::rules_yaml()?, "run `cargo xtask generate`");
    Ok(())
}

#[test]
fn the_crds_are_current_and_the_chart_holds_the_same() -> Ended {
    let printed = api::crds::crds_yaml()?;
    let files = names("crds")?;
    assert_eq!(files, names("charts/keyferry/files/crds")?);
    assert_eq!(files.len(), 2);
    for file in files {
        let text = read(&format!("crds/{file}"))?;
        assert!(
            text.starts_with("apiVersion: apiextensions.k8s.io/v1\n"),
            "{file}"
        );
        assert!(
            printed.contains(&text),
            "{file}: run `cargo xtask generate`"
        );
        assert_eq!(
            text,
            read(&format!("charts/keyferry/files/crds/{file}"))?,
            "{file}"
        );
    }
    Ok(())
}

#[test]
fn the_charts_values_and_their_schema_name_the_same_things() -> Ended {
    let values: Value = serde_yaml::from_str(&read("charts/keyferry/values.yaml")?)?;
    let schema: Value = serde_json::from_str(&read("charts/keyferry/values.schema.json")?)?;
    let mut compared = 0;
    compare("", &values, &schema, &mut compared);
    assert!(compared > 25, "only {compared} values were compared");
    Ok(())
}

/// Where the schema closes an object, its names are those of the default values.
fn compare(path: &str, values: &Value, schema: &Value, compared: &mut usize) {
    let (Some(values), Some(named)) = (values.as_object(), schema["properties"].as_object()) else {
        return;
    };
    assert_eq!(
        schema["additionalProperties"], false,
        "{path} takes misspelt names"
    );
    let given: BTreeSet<&str> = values.keys().map(String::as_str).collect();
    // `global` belongs to charts that hold this one; Helm puts it in.
    let named_here: BTreeSet<&str> = named
        .keys()
        .map(String::as_str)
        .filter(|name| *name != "global")
        .collect();
    assert_eq!(given, named_here, "below `{path}`");
    for (name, value) in values {
        *compared += 1;
        compare(
            &format!("{path}.{name}"),
            value,
            &named[name.as_str()],
            compared,
        );
    }
}

#[test]
fn chart_and_binary_have_one_version() -> Ended {
    let chart: Value = serde_yaml::from_str(&read("charts/keyferry/Chart.yaml")?)?;
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    Ok(())
}
