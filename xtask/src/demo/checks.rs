//! What must hold before the demo says it: pure, over what was seen in the cluster.

use std::collections::BTreeMap;

use super::cluster::{Pods, Rolled, Rollout, Status, Written};
use crate::bed::patience::Look;

/// The deployment controller's number of a template that was never changed.
const FIRST: &str = "1";
/// Of one that was changed once.
const SECOND: &str = "2";

/// Every binding there and in sync.
pub(crate) fn all_ready(bindings: &BTreeMap<String, Status>, wanted: usize) -> Look<()> {
    let waiting: Vec<String> = bindings
        .iter()
        .filter(|(_, status)| !(status.is("Ready") && status.is("Synced")))
        .map(|(name, status)| format!("{name}: {}", status.why("Ready")))
        .collect();
    match waiting.is_empty() && bindings.len() == wanted {
        true => Ok(()),
        false => Err(waiting.join("; ")),
    }
}

/// Every Deployment runs its first template.
pub(crate) fn first_pods_run(deployments: &BTreeMap<String, Rolled>) -> Look<()> {
    settled(deployments.iter().map(|(n, d)| (n.as_str(), d)), FIRST)
}

/// These Deployments run their second template: restarted once.
pub(crate) fn restarted_once(deployments: &BTreeMap<String, Rolled>, names: &[String]) -> Look<()> {
    let chosen = deployments.iter().filter(|(name, _)| names.contains(name));
    settled(chosen.map(|(n, d)| (n.as_str(), d)), SECOND)
}

fn settled<'a>(
    deployments: impl Iterator<Item = (&'a str, &'a Rolled)>,
    template: &str,
) -> Look<()> {
    let waiting: Vec<String> = deployments
        .filter(|(_, d)| !d.complete || d.template != template)
        .map(|(name, d)| {
            format!(
                "{name}: {}/{} ready, template {}",
                d.ready, d.wanted, d.template
            )
        })
        .collect();
    match waiting.is_empty() {
        true => Ok(()),
        false => Err(waiting.join("; ")),
    }
}

/// `estate-ai a1f6m0 -> k3v9q2` for every Secret whose revision is another.
pub(crate) fn changed<'a>(
    before: &'a BTreeMap<String, Written>,
    after: &'a BTreeMap<String, Written>,
) -> Vec<(&'a str, &'a Written, &'a Written)> {
    before
        .iter()
        .filter_map(|(name, old)| Some((name.as_str(), old, after.get(name)?)))
        .filter(|(_, old, new)| old.revision != new.revision)
        .collect()
}

/// The Deployments of these bindings carry what their binding wants, says the operator.
pub(crate) fn rolled_out(bindings: &BTreeMap<String, Status>, names: &[&str]) -> Look<()> {
    let unfinished = |r: &&Rollout| r.state != "Healthy" || r.delivered != r.wanted;
    let waiting: Vec<String> = bindings
        .iter()
        .filter(|(name, _)| names.contains(&name.as_str()))
        .filter(|(_, status)| {
            !status.is("RolledOut") || deployments(status).any(|r| unfinished(&r))
        })
        .map(|(name, status)| {
            let open = deployments(status).filter(unfinished);
            let open: Vec<String> = open
                .map(|r| format!(" {} {} {}", r.name, r.state, r.message))
                .collect();
            format!("{name}: {}{}", status.why("RolledOut"), open.concat())
        })
        .collect();
    match waiting.is_empty() {
        true => Ok(()),
        false => Err(waiting.join("; ")),
    }
}

/// The Deployments in a binding's status.
pub(crate) fn deployments(status: &Status) -> impl Iterator<Item = &Rollout> {
    status.rollouts.iter().filter(|r| r.kind == "Deployment")
}

/// Names of Deployments none of whose pods is the one it was.
pub(crate) fn all_new(before: &Pods, after: &Pods, names: &[String]) -> Result<(), String> {
    for name in names {
        let (Some(old), Some(new)) = (before.get(name), after.get(name)) else {
            return Err(format!("{name} has no pods"));
        };
        if let Some(uid) = new.intersection(old).next() {
            return Err(format!("{name} still runs its old pod {uid}"));
        }
    }
    Ok(())
}

/// Fails if a Deployment does not run exactly the pods it ran.
pub(crate) fn same(before: &Pods, after: &Pods, name: &str) -> Result<(), String> {
    match before.contains_key(name) && before.get(name) == after.get(name) {
        true => Ok(()),
        false => Err(format!("{name} does not run the pods that it ran before")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn binding(ready: &str, rollouts: serde_json::Value) -> BTreeMap<String, Status> {
        let condition =
            |kind: &str| json!({"type": kind, "status": ready, "reason": "R", "message": "why"});
        let conditions = ["Ready", "Synced", "RolledOut"].map(condition);
        let status = json!({"conditions": conditions, "rollouts": rollouts});
        let status = serde_json::from_value(status).unwrap_or_default();
        BTreeMap::from([("ai".to_owned(), status)])
    }

    fn deployment(complete: bool, template: &str) -> BTreeMap<String, Rolled> {
        let rolled = Rolled {
            ready: 1,
            wanted: 2,
            complete,
            template: template.into(),
        };
        BTreeMap::from([("ai".to_owned(), rolled)])
    }

    fn pods(uids: &[&str]) -> Pods {
        let uids = uids.iter().map(|uid| (*uid).to_owned()).collect();
        Pods::from([("ai".to_owned(), uids)])
    }

    #[test]
    fn ready_wants_every_binding() {
        assert!(all_ready(&binding("True", json!([])), 1).is_ok());
        assert!(all_ready(&binding("True", json!([])), 2).is_err());
        let why = all_ready(&binding("False", json!([])), 1);
        assert_eq!(why, Err("ai: Ready False, R: why".into()));
        assert!(all_ready(&BTreeMap::from([("ai".into(), Status::default())]), 1).is_err());
    }

    #[test]
    fn a_deployment_restarted_once_runs_its_second_template() {
        let names = ["ai".to_owned()];
        for (complete, template, first, once) in [
            (true, "1", true, false),
            (true, "2", false, true),
            (false, "2", false, false),
            (true, "3", false, false),
        ] {
            let seen = deployment(complete, template);
            assert_eq!(
                first_pods_run(&seen).is_ok(),
                first,
                "{complete} {template}"
            );
            assert_eq!(
                restarted_once(&seen, &names).is_ok(),
                once,
                "{complete} {template}"
            );
        }
    }

    #[test]
    fn rolled_out_wants_every_deployment_healthy_with_what_was_wanted() {
        let row = |kind: &str, state: &str, delivered: &str| json!([{"kind": kind, "name": "ai", "state": state, "delivered": delivered, "wanted": "b"}]);
        for (status, rows, ok) in [
            ("True", row("Deployment", "Healthy", "b"), true),
            ("True", row("Deployment", "Healthy", "a"), false),
            ("True", row("Deployment", "Progressing", "b"), false),
            ("Unknown", row("Deployment", "Healthy", "b"), false),
            ("True", row("CronJob", "NextRun", "a"), true),
        ] {
            let seen = binding(status, rows.clone());
            assert_eq!(rolled_out(&seen, &["ai"]).is_ok(), ok, "{status} {rows}");
            assert!(rolled_out(&seen, &["etl"]).is_ok(), "others do not count");
        }
    }

    #[test]
    fn a_restart_replaces_every_pod_and_none_replaces_no_pod() {
        let names = ["ai".to_owned()];
        for (before, after, new, kept) in [
            (["a", "b"], ["c", "d"], true, false),
            (["a", "b"], ["b", "c"], false, false),
            (["a", "b"], ["b", "a"], false, true),
        ] {
            let (before, after) = (pods(&before), pods(&after));
            assert_eq!(all_new(&before, &after, &names).is_ok(), new);
            assert_eq!(same(&before, &after, "ai").is_ok(), kept);
        }
        assert!(all_new(&Pods::new(), &pods(&["a"]), &names).is_err());
        assert!(same(&Pods::new(), &Pods::new(), "ai").is_err());
    }
}
