//! Consent: what besides the caller's own identity and account a binding would use.

use std::collections::BTreeSet;

use crate::core::{Recipe, SecretId, reference::account_of};

/// True when who calls has to be known before anything is read: a role is asked for, or an entry names its account.
pub fn is_needed(recipe: &Recipe, role: Option<&str>) -> bool {
    role.is_some() || accounts(recipe).next().is_some()
}

/// What would be used that is not the caller's own, in words; None: nothing. `caller` is the ARN that STS answers.
pub fn foreign(recipe: &Recipe, role: Option<&str>, caller: &str) -> Option<String> {
    let own = account_of(caller);
    let others: BTreeSet<&str> = accounts(recipe).filter(|it| Some(*it) != own).collect();
    let role = role.filter(|role| !is_in(role, caller));
    let role = role.map(|role| format!("role {role}"));
    let others = others.into_iter().map(|it| format!("account {it}"));
    let all: Vec<String> = role.into_iter().chain(others).collect();
    (!all.is_empty()).then(|| all.join(" and "))
}

/// Whether a caller is a session of that role already. A session's ARN leaves the path of the role out (source: IAM
/// identifiers, assumed-role session principals).
pub fn is_in(role: &str, caller: &str) -> bool {
    let name = role
        .split_once(":role/")
        .map(|(_, path)| path.rsplit('/').next().unwrap_or_default());
    let session = caller
        .split_once(":assumed-role/")
        .and_then(|(_, rest)| rest.split_once('/'))
        .map(|(role, _)| role);
    name.is_some() && name == session && account_of(role) == account_of(caller)
}

fn accounts(recipe: &Recipe) -> impl Iterator<Item = &str> {
    let groups = recipe.groups.iter().filter_map(|group| match &group.from {
        crate::core::recipe::GroupSource::Entry { ask, .. } => Some(&ask.id),
        _ => None,
    });
    let ids = recipe.keys.iter().map(|key| &key.ask.id).chain(groups);
    ids.filter_map(SecretId::account)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::core::{ParseSettings, parse};

    const ROLE: &str = "arn:aws:iam::111122223333:role/team/reader";

    fn recipe(secrets: &[&str]) -> Recipe {
        let data: Vec<_> = secrets
            .iter()
            .enumerate()
            .map(|(n, secret)| json!({"key": format!("K{n}"), "from": {"secret": secret}}))
            .collect();
        let spec = serde_json::from_value(json!({"data": data})).unwrap();
        parse("estate", "b", &spec, &ParseSettings::default()).unwrap()
    }

    #[test]
    fn what_is_not_the_callers_own_is_named() {
        let (own, other) = (
            "arn:aws:secretsmanager:us-east-1:111122223333:secret:a",
            "arn:aws:secretsmanager:us-east-1:444455556666:secret:b",
        );
        let user = "arn:aws:iam::111122223333:user/ana";
        let session = "arn:aws:sts::111122223333:assumed-role/reader/ana";
        let elsewhere = "arn:aws:sts::444455556666:assumed-role/reader/ana";
        for (secrets, role, caller, expected) in [
            (vec!["a"], None, user, None),
            (vec![own], None, user, None),
            (vec![own, other], None, user, Some("account 444455556666")),
            (vec![other], None, elsewhere, None),
            (
                vec!["a"],
                Some(ROLE),
                user,
                Some("role arn:aws:iam::111122223333:role/team/reader"),
            ),
            (vec!["a"], Some(ROLE), session, None),
            (
                vec!["a"],
                Some(ROLE),
                elsewhere,
                Some("role arn:aws:iam::111122223333:role/team/reader"),
            ),
            (
                vec![other],
                Some(ROLE),
                user,
                Some("role arn:aws:iam::111122223333:role/team/reader and account 444455556666"),
            ),
        ] {
            let found = foreign(&recipe(&secrets), role, caller);
            assert_eq!(found.as_deref(), expected, "{secrets:?} {role:?} {caller}");
        }
    }

    #[test]
    fn names_alone_need_no_look_at_the_caller() {
        let arn = "arn:aws:secretsmanager:us-east-1:111122223333:secret:a";
        assert!(!is_needed(&recipe(&["a", "b"]), None));
        assert!(is_needed(&recipe(&["a", arn]), None));
        assert!(is_needed(&recipe(&["a"]), Some(ROLE)));
    }
}
