#![allow(clippy::unwrap_used)]
use serde_json::{Value, json};

use super::*;
use crate::core::{ParseSettings, parse, rollout::testing::workload};

fn data(pairs: &[(&str, &str)]) -> Data {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned().into());
    pairs.iter().map(pair).collect()
}

fn recipe(more: Value) -> Recipe {
    let mut spec = json!({"dataFrom": [{"secret": "s"}], "target": {"name": "ai"}});
    let fields = spec.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    let spec = serde_json::from_value(spec).unwrap();
    parse("estate", "b", &spec, &ParseSettings::default()).unwrap()
}

fn shown(keys: &[(Change, String)]) -> String {
    let all = keys.iter().map(|(change, key)| format!("{key} {change}"));
    all.collect::<Vec<_>>().join(", ")
}

#[test]
fn bytes_are_compared_key_by_key() {
    use CreationPolicy::{Adopt, Merge, Owner};
    let wanted = data(&[("A", "1"), ("B", "2"), ("C", "3")]);
    let live = data(&[("A", "1"), ("B", "other"), ("X", "9")]);
    for (creation, live, expected) in [
        (Owner, Some(&live), "B changed, C new, X gone, A same"),
        (Merge, Some(&live), "B changed, C new, A same"),
        (Adopt, Some(&live), "B changed, C new, A same"),
        (Owner, Some(&wanted), "A same, B same, C same"),
        (Owner, None, "A new, B new, C new"),
    ] {
        assert_eq!(shown(&keys(creation, &wanted, live)), expected);
    }
}

#[test]
fn workloads_matter_only_where_bytes_that_are_there_change_and_a_rollout_is_on() {
    let rolls = recipe(json!({"rollout": {}}));
    let changes = |change| vec![(change, "A".to_owned()), (Change::Same, "B".to_owned())];
    let first = vec![(Change::New, "A".to_owned())];
    let same = vec![(Change::Same, "A".to_owned())];
    for (recipe, keys, says) in [
        (&rolls, &changes(Change::Changed), None),
        (&rolls, &changes(Change::New), None),
        (&rolls, &changes(Change::Gone), None),
        (&rolls, &first, Some("restarts nothing (first creation)")),
        (&rolls, &same, Some("restarts nothing (nothing changes)")),
        (
            &recipe(json!({})),
            &changes(Change::Changed),
            Some("restarts nothing (no rollout)"),
        ),
    ] {
        let found = may_restart(recipe, keys).err().map(|it| it.to_string());
        assert_eq!(found.as_deref(), says, "{keys:?}");
    }
}

#[test]
fn who_restarts_is_named_and_who_does_not_with_its_reason() {
    let (plain, mut paused) = (
        workload(Kind::Deployment, "ai"),
        workload(Kind::Deployment, "p"),
    );
    paused.paused = true;
    let set = workload(Kind::StatefulSet, "db");
    let cron = workload(Kind::CronJob, "etl");
    let mut other = workload(Kind::Deployment, "other");
    other.secrets = Default::default();
    let discover = recipe(json!({"rollout": {}}));
    let named = recipe(
        json!({"rollout": {"targets": [{"kind": "Deployment", "name": "gone"}, {"kind": "Deployment", "name": "other"}]}}),
    );
    for (recipe, workloads, says) in [
        (
            &discover,
            vec![plain.clone(), set, other.clone()],
            "would restart ai, StatefulSet/db",
        ),
        (
            &discover,
            vec![plain.clone(), cron.clone()],
            "would restart ai; CronJob/etl takes it at its next run",
        ),
        (
            &discover,
            vec![cron],
            "restarts nothing; CronJob/etl takes it at its next run",
        ),
        (
            &discover,
            vec![other.clone()],
            "restarts nothing (nobody uses it)",
        ),
        (
            &named,
            vec![plain, other],
            "would restart other; gone does not exist",
        ),
    ] {
        assert_eq!(restarts(recipe, &workloads).to_string(), says);
    }
    let told = restarts(&discover, &[paused]).to_string();
    assert!(
        told.starts_with("restarts nothing; ") && told.contains("paused"),
        "{told}"
    );
}

#[test]
fn the_table_has_a_sign_a_secret_its_keys_and_what_follows() {
    let row = |secret: &str, said| Row {
        secret: secret.to_owned(),
        said,
    };
    let of = |exists, keys: &[(Change, &str)], effect| Said::Keys {
        exists,
        keys: keys
            .iter()
            .map(|(change, key)| (*change, (*key).to_owned()))
            .collect(),
        effect,
    };
    let restart = Effect::Restarts {
        now: vec!["a".into(), "b".into()],
        but: Vec::new(),
    };
    let rows = [
        row(
            "estate/ai",
            of(
                true,
                &[(Change::Changed, "URL"), (Change::Same, "KEY")],
                restart,
            ),
        ),
        row(
            "estate/reports",
            of(
                false,
                &[(Change::New, "T")],
                Effect::Nothing("first creation"),
            ),
        ),
        row(
            "estate/same",
            of(
                true,
                &[(Change::Same, "S")],
                Effect::Nothing("nothing changes"),
            ),
        ),
        row(
            "estate/off",
            Said::Left("suspended: nothing is written".into()),
        ),
        row(
            "estate/billing",
            Said::Refused("AccessNotAllowed: no\ncompose".into()),
        ),
    ];
    let expected = "\
~ estate/ai       URL changed, KEY same  would restart a, b
+ estate/reports  T new                  restarts nothing (first creation)
= estate/same     S same                 restarts nothing (nothing changes)
= estate/off      suspended: nothing is written
! estate/billing  AccessNotAllowed: no
    compose
";
    assert_eq!(table(&rows), expected);
    let differ: Vec<bool> = rows.iter().map(Row::differs).collect();
    assert_eq!(differ, [true, true, false, false, false]);
    assert!(rows[4].is_refused() && !rows[0].is_refused());
}
