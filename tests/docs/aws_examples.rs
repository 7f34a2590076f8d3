//! `examples/aws`: the templates hold together, and what their rules let through is what the operator understands.
//! EventBridge's matching is written down here as far as the patterns need it.

use std::collections::BTreeSet;

use keyferry::source::events::{HintKind, parse};
use serde_json::{Value, json};
use serde_yaml::Value as Yaml;

const CLUSTER: &str = include_str!("../../examples/aws/cloudformation/cluster.yaml");
const FAN_OUT: &str = include_str!("../../examples/aws/cloudformation/fan-out.yaml");
const TERRAFORM: &str = include_str!("../../examples/aws/terraform/main.tf");
const VARIABLES: &str = include_str!("../../examples/aws/terraform/variables.tf");
const OUTPUTS: &str = include_str!("../../examples/aws/terraform/outputs.tf");

const ARN: &str = "arn:aws:secretsmanager:us-east-1:111122223333:secret:prod/ai-AbCdEf";
/// What the parameter for the beginning of names is set to.
const PREFIX: &str = "prod/";

/// YAML with the prefix in the place of its reference, as JSON.
fn resolved(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Tagged(tagged) if tagged.tag == "Ref" && tagged.value == "NamePrefix" => {
            json!(PREFIX)
        }
        Yaml::Tagged(tagged) => panic!("{} in a pattern", tagged.tag),
        Yaml::Mapping(fields) => fields
            .iter()
            .map(|(name, value)| (name.as_str().unwrap().to_owned(), resolved(value)))
            .collect(),
        Yaml::Sequence(items) => items.iter().map(resolved).collect(),
        plain => serde_json::to_value(plain).unwrap(),
    }
}

/// (pattern for native events, pattern for calls) of each example.
fn patterns() -> Vec<(&'static str, Value, Value)> {
    let mut all = Vec::new();
    for (file, text) in [("cluster.yaml", CLUSTER), ("fan-out.yaml", FAN_OUT)] {
        let template: Yaml = serde_yaml::from_str(text).unwrap();
        let pattern = |rule: &str| {
            let resource = &template["Resources"][rule];
            assert_eq!(resource["Type"], "AWS::Events::Rule", "{file} {rule}");
            resolved(&resource["Properties"]["EventPattern"])
        };
        all.push((file, pattern("Changes"), pattern("Calls")));
    }
    let pattern = |name: &str| {
        let (_, from) = TERRAFORM
            .split_once(&format!("  {name} = <<-JSON\n"))
            .unwrap();
        let (text, _) = from.split_once("\n  JSON\n").unwrap();
        let text = text.replace("${jsonencode(var.name_prefix)}", &format!("\"{PREFIX}\""));
        serde_json::from_str(&text).unwrap()
    };
    all.push(("main.tf", pattern("changes"), pattern("calls")));
    all
}

/// Whether a pattern lets an event through (source: AWS, "Amazon EventBridge event patterns").
fn lets_through(pattern: &Value, event: Option<&Value>) -> bool {
    match pattern {
        Value::Object(fields) => fields
            .iter()
            .all(|(name, wanted)| lets_through(wanted, event.and_then(|event| event.get(name)))),
        Value::Array(choices) => choices.iter().any(|choice| match choice {
            Value::String(_) => event == Some(choice),
            Value::Object(filter) => match filter.iter().next().unwrap() {
                (name, Value::String(start)) if name == "prefix" => event
                    .and_then(Value::as_str)
                    .is_some_and(|text| text.starts_with(start)),
                (name, Value::Bool(wanted)) if name == "exists" => event.is_some() == *wanted,
                other => panic!("unknown filter {other:?}"),
            },
            other => panic!("unknown choice {other}"),
        }),
        other => panic!("{other} is no pattern"),
    }
}

fn event(detail_type: &str, detail: Value) -> Value {
    json!({
        "version": "0", "id": "1", "detail-type": detail_type, "source": "aws.secretsmanager", "account": "111122223333",
        "time": "2026-11-21T10:00:00Z", "region": "us-east-1", "resources": [ARN], "detail": detail,
    })
}

fn native(name: &str) -> Value {
    let detail = json!({"name": name, "labelUpdated": "AWSCURRENT", "versionId": "5c0d1f2e-3b4a-4c5d-8e6f-7a8b9c0d1e2f"});
    event("Secret Label Updated", detail)
}

fn call(name: &str) -> Value {
    let detail = json!({
        "eventSource": "secretsmanager.amazonaws.com", "eventName": name,
        "requestParameters": {"secretId": ARN}, "responseElements": {"arn": ARN},
    });
    event("AWS API Call via CloudTrail", detail)
}

#[test]
fn rules_let_through_what_the_operator_understands() {
    for (file, changes, calls) in patterns() {
        let told = native("prod/ai");
        assert!(lets_through(&changes, Some(&told)), "{file}");
        assert_eq!(parse(&told.to_string()).unwrap().kind, HintKind::Moved);
        assert!(!lets_through(&changes, Some(&native("stage/ai"))), "{file}");
        assert!(
            !lets_through(&calls, Some(&told)),
            "{file}: each event by one rule"
        );
        let names = calls["detail"]["eventName"].as_array().unwrap();
        assert!(names.contains(&json!("DeleteSecret")), "{file}");
        for name in names.iter().map(|name| name.as_str().unwrap()) {
            let seen = call(name);
            assert!(lets_through(&calls, Some(&seen)), "{file} {name}");
            assert!(!lets_through(&changes, Some(&seen)), "{file} {name}");
            assert!(
                parse(&seen.to_string()).is_ok(),
                "{file}: {name} is not understood"
            );
            let mut failed = seen;
            failed["detail"]["errorCode"] = json!("AccessDenied");
            assert!(!lets_through(&calls, Some(&failed)), "{file} {name}");
        }
        for unheard in ["GetSecretValue", "TagResource"] {
            assert!(
                !lets_through(&calls, Some(&call(unheard))),
                "{file} {unheard}"
            );
        }
        let mut foreign = native("prod/ai");
        foreign["source"] = json!("aws.s3");
        assert!(!lets_through(&changes, Some(&foreign)), "{file}");
    }
}

/// Names that a template refers to, by its tags.
fn references(yaml: &Yaml, into: &mut BTreeSet<String>) {
    match yaml {
        Yaml::Tagged(tagged) => {
            let kind = tagged.tag.to_string();
            let text = tagged.value.as_str();
            match (kind.as_str(), text) {
                ("!Ref", Some(name)) => drop(into.insert(name.to_owned())),
                ("!GetAtt", Some(path)) => {
                    into.insert(path.split('.').next().unwrap().to_owned());
                }
                ("!Sub", Some(text)) => into.extend(
                    text.split("${")
                        .skip(1)
                        .map(|rest| rest.split('}').next().unwrap().to_owned()),
                ),
                ("!If", None) => {
                    into.insert(tagged.value[0].as_str().unwrap().to_owned());
                }
                ("!Equals" | "!Not" | "!And", None) => {}
                other => panic!("unknown function {other:?}"),
            }
            references(&tagged.value, into);
        }
        Yaml::Mapping(fields) => {
            for (name, value) in fields {
                if name == "Condition" && value.is_string() {
                    into.insert(value.as_str().unwrap().to_owned());
                }
                references(value, into);
            }
        }
        Yaml::Sequence(items) => items.iter().for_each(|item| references(item, into)),
        _ => {}
    }
}

#[test]
fn the_templates_name_only_what_they_declare_and_use_all_of_it() {
    for (file, text) in [("cluster.yaml", CLUSTER), ("fan-out.yaml", FAN_OUT)] {
        let template: Yaml = serde_yaml::from_str(text).unwrap();
        let declared = |section: &str| -> BTreeSet<String> {
            let fields = template[section].as_mapping().unwrap();
            fields
                .keys()
                .map(|name| name.as_str().unwrap().to_owned())
                .collect()
        };
        let mut used = BTreeSet::new();
        references(&template, &mut used);
        used.retain(|name| !name.starts_with("AWS::"));
        let (parameters, conditions) = (declared("Parameters"), declared("Conditions"));
        let known = &(&parameters | &conditions) | &declared("Resources");
        assert_eq!(used.difference(&known).next(), None, "{file}");
        let settings = &parameters | &conditions;
        assert_eq!(settings.difference(&used).next(), None, "{file}");
    }
}

/// Words of a Terraform file that follow `start`.
fn words<'a>(text: &'a str, start: &str) -> BTreeSet<&'a str> {
    let code: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().starts_with('#'))
        .collect();
    let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let found = code.iter().flat_map(|line| line.split(start).skip(1));
    found.map(|rest| rest.split(ends).next().unwrap()).collect()
}

#[test]
fn terraform_names_only_what_it_declares_and_uses_all_of_it() {
    assert_eq!(words(TERRAFORM, "var."), {
        let mut declared = words(VARIABLES, "variable \"");
        declared.remove("");
        declared
    });
    for kind in [
        "aws_sqs_queue",
        "aws_sns_topic",
        "aws_cloudwatch_event_rule",
        "aws_iam_policy",
    ] {
        assert!(
            TERRAFORM.contains(&format!("resource \"{kind}\" \"")),
            "{kind}"
        );
    }
    for file in [TERRAFORM, VARIABLES, OUTPUTS] {
        for (open, close) in [('{', '}'), ('[', ']'), ('(', ')')] {
            assert_eq!(
                file.matches(open).count(),
                file.matches(close).count(),
                "{open}"
            );
        }
    }
}
