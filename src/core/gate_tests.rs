#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::core::leak::assert_no_leak;

fn data(pairs: &[(&str, &str)]) -> BTreeMap<String, SecretValue> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), SecretValue::from((*v).to_owned())))
        .collect()
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

fn rule(key: &str, min: Option<usize>, max: Option<usize>, pattern: Option<&str>) -> RuleRecipe {
    RuleRecipe {
        key: key.to_owned(),
        min_length: min,
        max_length: max,
        pattern: pattern.map(|p| regex::bytes::Regex::new(p).unwrap()),
    }
}

fn refusal(gate: &GateRecipe, pairs: &[(&str, &str)]) -> Finding {
    let data = data(pairs);
    let finding = check(gate, &data).unwrap_err();
    let values: Vec<&[u8]> = data.values().map(SecretValue::expose).collect();
    assert_no_leak(&finding.to_string(), &values);
    finding
}

#[test]
fn required_keys_exist_and_are_not_empty() {
    let gate = GateRecipe {
        required: strings(&["A", "B"]),
        allow_empty: strings(&["B"]),
        ..GateRecipe::default()
    };
    assert_eq!(check(&gate, &data(&[("A", "1"), ("B", "")])), Ok(()));
    let missing = refusal(&gate, &[("B", "1")]);
    assert_eq!(
        (missing.reason, &*missing.fact),
        (Reason::RequiredMissing, "Required key A is missing.")
    );
    assert_eq!(
        refusal(&gate, &[("A", ""), ("B", "")]).fact,
        "Required key A is empty."
    );
    assert_eq!(
        refusal(&gate, &[("A", "")]).fact,
        "Required key A is empty. One more rule does not hold."
    );
}

#[test]
fn placeholders_are_refused_only_when_asked() {
    let off = GateRecipe::default();
    let on = GateRecipe {
        reject_placeholders: true,
        allow_empty: strings(&["ec2_host"]),
        ..GateRecipe::default()
    };
    let left_over = [("JWT_SECRET_KEY", "your-jwt-secret-key-here")];
    assert_eq!(check(&off, &data(&left_over)), Ok(()));
    let finding = refusal(&on, &left_over);
    assert_eq!(finding.reason, Reason::PlaceholderFound);
    assert_eq!(
        finding.fact,
        "JWT_SECRET_KEY looks like a placeholder (rule: \"your-...\")."
    );
    assert_eq!(
        check(&on, &data(&[("ec2_host", ""), ("A", "postgres")])),
        Ok(())
    );
    assert_eq!(
        refusal(&on, &[("A", "")]).fact,
        "A is empty (rule: \"empty\")."
    );
}

#[test]
fn listed_placeholders_are_compared_without_case() {
    let gate = GateRecipe {
        placeholders: strings(&["Letmein-Now"]),
        ..GateRecipe::default()
    };
    assert_eq!(
        refusal(&gate, &[("A", "LETMEIN-now\n")]).reason,
        Reason::PlaceholderFound
    );
    assert_eq!(
        check(&gate, &data(&[("A", "letmein-now-2"), ("B", "")])),
        Ok(())
    );
}

#[test]
fn rules_count_bytes_and_hold_for_absent_keys() {
    let gate = |rule| GateRecipe {
        rules: vec![rule],
        allow_empty: strings(&["E"]),
        ..GateRecipe::default()
    };
    for (rule, value, expected) in [
        (rule("A", Some(3), None, None), "ab", Some("minLength")),
        (rule("A", Some(3), None, None), "é1", None),
        (rule("A", None, Some(3), None), "abcd", Some("maxLength")),
        (rule("A", None, Some(3), None), "abc", None),
        (
            rule("A", None, None, Some("^[a-z]+$")),
            "abc1",
            Some("pattern"),
        ),
        (rule("A", None, None, Some("^[a-z]+$")), "abc", None),
        (rule("B", Some(3), None, None), "", None),
    ] {
        match (expected, check(&gate(rule.clone()), &data(&[("A", value)]))) {
            (None, result) => assert_eq!(result, Ok(())),
            (Some(word), result) => {
                let finding = result.unwrap_err();
                assert_eq!(finding.reason, Reason::RuleBroken);
                assert!(finding.fact.contains(word), "{}", finding.fact);
            }
        }
    }
    assert_eq!(
        check(&gate(rule("E", Some(3), None, None)), &data(&[("E", "")])),
        Ok(())
    );
    let binary = BTreeMap::from([("A".to_owned(), SecretValue::new(vec![0xff, 0x00]))]);
    assert_eq!(
        check(
            &gate(rule("A", None, None, Some(r"(?-u)^\xff\x00$"))),
            &binary
        ),
        Ok(())
    );
}

#[test]
fn the_first_refusal_is_told_with_its_origin_and_the_number_of_others() {
    let gate = GateRecipe {
        required: strings(&["Z"]),
        reject_placeholders: true,
        rules: vec![rule("A", Some(99), None, None)],
        ..GateRecipe::default()
    };
    let finding = refusal(&gate, &[("A", "CHANGEME"), ("B", "<password>")]);
    assert_eq!(
        finding.fact,
        "Required key Z is missing. 3 more rules do not hold."
    );
    let origins = Origins::from([(
        "A".to_owned(),
        "\"bizi/production\" version 9e02cc41".to_owned(),
    )]);
    let gate = GateRecipe {
        required: vec![],
        rules: vec![],
        ..gate
    };
    let finding = check_with_origins(&gate, &data(&[("A", "changeme")]), &origins).unwrap_err();
    assert_eq!(
        finding.fact,
        "A of \"bizi/production\" version 9e02cc41 looks like a placeholder (rule: \"CHANGEME\")."
    );
}
