//! The policy that `keyferry iam-policy` prints: enough for everything the operator asks, and nothing in it that could
//! be left out.

use std::{collections::BTreeMap, fmt::Write, sync::Arc, time::Duration};

use keyferry::{
    api::ExternalSecretBindingSpec,
    core::{
        EntryAsk, ParseSettings, Recipe, Store, VersionSelector,
        iam::{Asker, Facts, Identity, policies},
        parameter, parse,
    },
    source::{Freshness, Interest, Known, Subscriber, SweepMode},
};
use keyferry_testkit::aws::{Call, Outcome};
use serde_json::{Value, json};

use crate::{following::*, kit::*};

const ESTATE: &str = include_str!("../../examples/estate/bindings.yaml");
const KEY: &str =
    "arn:aws:kms:ap-northeast-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// Parameters, which Secrets Manager has no part in, and a path.
const PARAMETERS: &str = r#"
metadata: {name: parameters}
spec:
  source: {region: ap-northeast-2}
  data:
  - {key: A, from: {parameter: /estate/config/log-level}}
  - {key: B, from: {parameter: "/estate/config/price-list:blue"}}
  - {key: C, from: {parameter: "/estate/config/schema:1"}}
  - {key: D, from: {parameter: /estate/config/absent}, optional: true}
  - {key: E, from: {parameter: "arn:aws:ssm:ap-northeast-2:111122223333:parameter/estate/mail"}}
  dataFrom:
  - {parameterPath: /gaara-store/production/}
"#;

/// Every shape of reference that has ARNs of its own.
const SHAPES: &str = r#"
metadata: {name: shapes}
spec:
  source: {region: ap-northeast-2}
  data:
  - {key: A, from: {secret: "arn:aws:secretsmanager:ap-northeast-2:111122223333:secret:shapes/partial"}}
  - {key: B, from: {secret: shapes/blue, versionStage: BLUE}}
  - {key: C, from: {secret: shapes/pinned, versionId: 4c1e5d7a-0000-4000-8000-000000000001}}
  - {key: D, from: {secret: shapes/absent}, optional: true}
  dataFrom:
  - {prefix: gaara-store/production/}
"#;

fn recipes(text: &str) -> Vec<Recipe> {
    let documents = serde_yaml::Deserializer::from_str(text);
    let read = documents.map(|document| {
        let value: Value = serde::Deserialize::deserialize(document).unwrap();
        let mut spec: ExternalSecretBindingSpec =
            serde_json::from_value(value["spec"].clone()).unwrap();
        // No region fails here: what replicas need is tried end to end.
        if let Some(source) = &mut spec.source {
            source.failover_regions.clear();
        }
        let name = value["metadata"]["name"].as_str().unwrap();
        parse("estate", name, &spec, &ParseSettings::default()).unwrap()
    });
    read.collect()
}

/// What the verb prints for these bindings.
fn policy(recipes: &[Recipe], look: SweepMode) -> Value {
    let asker = |recipe| Asker {
        namespace: "estate",
        name: "one",
        recipe,
        known_as: None,
        seen_in: None,
    };
    let askers: Vec<Asker<'_>> = recipes.iter().map(asker).collect();
    let facts = Facts {
        account: Some(ACCOUNT.into()),
        look,
        ..Facts::default()
    };
    json!(policies(&askers, &facts).unwrap()[&Identity::Operator])
}

fn seed(bed: &Bed, recipes: &[Recipe]) {
    let region = bed.region();
    for ask in recipes.iter().flat_map(Recipe::asks) {
        let name = ask.id.display();
        if ask.id.store() == Store::Parameters {
            if !is_absent(&ask) {
                region.put_secure_parameter(name, "1", Some(KEY)).unwrap();
            }
            if let VersionSelector::Stage(label) = &ask.version {
                region.label_parameter(name, label, 1).unwrap();
            }
            continue;
        }
        if is_absent(&ask) || region.arn(name).is_some() {
            continue;
        }
        region.create(name, "1").unwrap();
        region.kms_key(name, KEY).unwrap();
        match &ask.version {
            VersionSelector::Current => {}
            VersionSelector::Stage(stage) => {
                let current = region.current_version(name).unwrap();
                region.move_label(name, stage, &current).unwrap();
            }
            VersionSelector::Id(id) => {
                region
                    .put_with_version(
                        name,
                        id,
                        keyferry_testkit::aws::SecretValue::text("2"),
                        None,
                    )
                    .unwrap();
            }
        }
    }
    for prefix in recipes.iter().flat_map(Recipe::prefixes) {
        for name in ["jwt-secret", "redis-password"] {
            let name = format!("{}{name}", prefix.prefix);
            match prefix.store {
                Store::Secrets => region.create(&name, "1").map(drop),
                Store::Parameters => region.put_parameter(&name, "1").map(drop),
            }
            .unwrap();
        }
    }
}

/// Everything the operator asks of AWS for these bindings, with exactly this policy; what went wrong, if anything.
async fn lived(recipes: &[Recipe], policy: &Value, sweep: SweepMode) -> Option<String> {
    let bed = Bed::with(|settings| {
        settings.reads.sweep = sweep;
        settings.reads.gather = Duration::from_millis(10);
        settings.reads.pace = Duration::ZERO;
        settings.reads.confirm = Duration::from_millis(1);
    })
    .await;
    bed.aws
        .put_role(operator_role().policy(&policy.to_string()).unwrap());
    seed(&bed, recipes);
    let followers = Followers::of(&bed).await;
    let hub = Arc::clone(&followers.hub);
    let asks: Vec<EntryAsk> = recipes.iter().flat_map(Recipe::asks).collect();
    let mut wrong = String::new();
    // Passes: everything is read.
    for (ask, read) in asks.iter().zip(read_all(&hub, &asks).await) {
        match read {
            Err(why) if is_absent(ask) && why.reason == keyferry::api::Reason::SecretNotFound => {}
            Err(why) => writeln!(wrong, "{why}").unwrap(),
            // Back to an older version: AWS is asked twice where its label is.
            Ok(entry) if !matches!(ask.version, VersionSelector::Id(_)) => {
                if !hub.confirm(ask, &entry.version_id).await {
                    writeln!(wrong, "{} is not confirmed", ask.id.display()).unwrap();
                }
            }
            Ok(_) => {}
        }
    }
    for prefix in recipes.iter().flat_map(Recipe::prefixes) {
        let listed = hub.list(&prefix, Freshness::Anew).await;
        for member in listed.iter().flat_map(|all| all.iter()) {
            let ask = parameter::ask(&member.arn, VersionSelector::Current).unwrap();
            let there = hub.standing(&ask, &BTreeMap::new()).await;
            let read = hub.read(&ask, Freshness::Anew).await;
            if there.is_err() || read.is_err() {
                writeln!(wrong, "{} cannot be read", member.name).unwrap();
            }
        }
        if listed.map_or(0, |all| all.len()) != 2 {
            writeln!(wrong, "{} cannot be listed", prefix.prefix).unwrap();
        }
    }
    // Sweeps: everything is looked at.
    let interest = Interest {
        entries: asks
            .iter()
            .map(|ask| (ask.clone(), Known::Missing))
            .collect(),
        interval: LONG,
        recorded: true,
        ..Interest::default()
    };
    let who = Subscriber::new("estate", "all");
    followers
        .round(|| bed.sources.subscribe(&who, &hub, interest))
        .await;
    // What was not there comes to be.
    for ask in asks.iter().filter(|ask| is_absent(ask)) {
        let (region, name) = (bed.region(), ask.id.display());
        match ask.id.store() {
            Store::Secrets => region.create(name, "1").map(drop),
            Store::Parameters => region.put_parameter(name, "1").map(drop),
        }
        .unwrap();
        if let Err(why) = hub.read(ask, Freshness::Anew).await {
            writeln!(wrong, "{why}").unwrap();
        }
    }
    // One refused call is one too many, also where the operator can do without.
    for call in bed.aws.calls().iter().filter(|call| is_denied(call)) {
        writeln!(wrong, "{} {:?} was denied", call.operation, call.ids).unwrap();
    }
    (!wrong.is_empty()).then_some(wrong)
}

fn is_absent(ask: &EntryAsk) -> bool {
    ask.id.display().ends_with("absent")
}

fn is_denied(call: &Call) -> bool {
    let refused = |code: &str| code.contains("AccessDenied");
    let whole = matches!(&call.outcome, Outcome::Failed { code, .. } if refused(code));
    whole || call.entry_errors.iter().any(|(_, code)| refused(code))
}

/// The policy without one statement, one action or one resource each time, with what is missing.
fn lesser(policy: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for (n, statement) in policy["Statement"].as_array().unwrap().iter().enumerate() {
        let mut without = policy.clone();
        without["Statement"].as_array_mut().unwrap().remove(n);
        all.push((statement["Sid"].to_string(), without));
        for field in ["Action", "Resource"] {
            let items = statement[field].as_array().unwrap();
            for (i, item) in items.iter().enumerate().filter(|_| items.len() > 1) {
                let mut without = policy.clone();
                let left = without["Statement"][n][field].as_array_mut().unwrap();
                left.remove(i);
                all.push((item.to_string(), without));
            }
        }
    }
    all
}

async fn exactly_enough(text: &str, look: SweepMode) {
    let recipes = recipes(text);
    let policy = policy(&recipes, look);
    assert_eq!(lived(&recipes, &policy, look).await, None, "{look:?}");
    for (missing, policy) in lesser(&policy) {
        let wrong = lived(&recipes, &policy, look).await;
        assert!(wrong.is_some(), "{look:?}: {missing} is not needed");
    }
}

#[tokio::test]
async fn estate_reads_with_exactly_this_and_with_nothing_less() {
    for look in [
        SweepMode::Auto,
        SweepMode::List,
        SweepMode::Describe,
        SweepMode::Batch,
    ] {
        exactly_enough(ESTATE, look).await;
    }
}

#[tokio::test]
async fn parameters_are_read_with_exactly_this_and_with_nothing_less() {
    exactly_enough(PARAMETERS, SweepMode::Auto).await;
}

#[tokio::test]
async fn every_shape_of_reference_reads_with_exactly_this_and_with_nothing_less() {
    exactly_enough(SHAPES, SweepMode::Auto).await;
}
