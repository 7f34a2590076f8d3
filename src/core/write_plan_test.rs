#![allow(clippy::unwrap_used, clippy::expect_used)]
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::{
    api::binding::DeletionPolicy,
    core::{
        InstallKey,
        recipe::TargetRecipe,
        schedule::{self, Attempts},
        sources::SourceVersion,
    },
};

fn data(pairs: &[(&str, &str)]) -> Data {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), SecretValue::from((*v).to_owned())))
        .collect()
}

/// When everything here happens, unless said otherwise.
const START: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(START + second).unwrap()
}

fn plan_for(
    creation: CreationPolicy,
    wanted: &[(&str, &str)],
    found: Option<&LiveSecret>,
    repairs: &Repairs,
    taken: &Taken,
) -> Result<Plan, Finding> {
    plan_at(at(0), creation, wanted, found, repairs, taken)
}

fn plan_at(
    now: Timestamp,
    creation: CreationPolicy,
    wanted: &[(&str, &str)],
    found: Option<&LiveSecret>,
    repairs: &Repairs,
    taken: &Taken,
) -> Result<Plan, Finding> {
    let target = TargetRecipe {
        name: "s".into(),
        type_: "Opaque".into(),
        labels: Default::default(),
        annotations: Default::default(),
        creation,
        deletion: DeletionPolicy::Retain,
    };
    let claim = Claim {
        namespace: "ns",
        binding: "me",
        binding_uid: "uid",
        target: &target,
    };
    let read = [SourceVersion {
        arn: "arn:aws:x:y:1:secret:z",
        selector: "",
        version_id: "v",
        created: None,
    }];
    let (key, data) = (InstallKey::new([1; 32]), data(wanted));
    let wanted = Wanted {
        claim,
        key: &key,
        data: &data,
        read: &read,
        back: None,
        forgive: false,
        inherited: &[],
        outcome: crate::core::annotations::RevisionOutcome::Written,
        existed: false,
        now,
    };
    plan(&wanted, found, &|_| false, repairs, taken)
}

fn plan_of(creation: CreationPolicy, wanted: &[(&str, &str)], found: Option<&LiveSecret>) -> Plan {
    plan_for(creation, wanted, found, &Repairs::default(), &Taken::new()).unwrap()
}

/// The Secret as it is once `step` was carried out over `before`.
fn after(step: &Step, before: Option<&LiveSecret>) -> LiveSecret {
    let mut live = before.cloned().unwrap_or_default();
    live.head.type_ = "Opaque".into();
    match step {
        Step::Create(meta, data) | Step::Replace(meta, data) => {
            live.head.meta = meta.over(&live.head.meta);
            live.data = data.clone();
        }
        other => panic!("not carried out here: {other:?}"),
    }
    live
}

fn foreign(pairs: &[(&str, &str)], meta: serde_json::Value) -> LiveSecret {
    let head = SecretHead {
        meta: serde_json::from_value(meta).unwrap(),
        type_: "Opaque".into(),
        immutable: false,
    };
    LiveSecret {
        head,
        data: data(pairs),
    }
}

#[test]
fn what_was_written_needs_nothing() {
    for creation in [CreationPolicy::Owner, CreationPolicy::Adopt] {
        let made = plan_of(creation, &[("A", "1")], None);
        assert_eq!((made.change, &made.live_revision), (Change::Write, &None));
        let live = after(&made.step, None);
        let again = plan_of(creation, &[("A", "1")], Some(&live));
        assert_eq!((again.step, again.change), (Step::Nothing, Change::Nothing));
        assert_eq!(again.revision, made.revision);
    }
}

#[test]
fn owner_makes_the_map_exactly_its_own() {
    let mut live = after(
        &plan_of(CreationPolicy::Owner, &[("A", "1")], None).step,
        None,
    );
    live.data.extend(data(&[("more", "x")]));
    let plan = plan_of(CreationPolicy::Owner, &[("A", "1")], Some(&live));
    assert_eq!(plan.change, Change::Repair);
    assert!(matches!(&plan.step, Step::Replace(_, all) if *all == data(&[("A", "1")])));
}

#[test]
fn keys_that_new_bytes_lack_are_named_and_those_of_others_are_not() {
    let both = [("A", "1"), ("B", "2")];
    let live = after(&plan_of(CreationPolicy::Owner, &both, None).step, None);
    let fewer = plan_of(CreationPolicy::Owner, &[("A", "1")], Some(&live));
    assert_eq!(fewer.left, ["B"]);
    let same = plan_of(CreationPolicy::Owner, &both, Some(&live));
    assert!(same.left.is_empty());
    let mut edited = live.clone();
    edited.data.extend(data(&[("theirs", "x")]));
    let repaired = plan_of(CreationPolicy::Owner, &both, Some(&edited));
    assert!(repaired.left.is_empty());
}

#[test]
fn adopt_touches_only_recorded_keys() {
    let found = foreign(&[("A", "old"), ("theirs", "x")], json!({}));
    let first = plan_of(
        CreationPolicy::Adopt,
        &[("A", "1"), ("B", "2")],
        Some(&found),
    );
    assert_eq!((first.change, first.unknown_keys), (Change::Write, 1));
    let live = after(&first.step, Some(&found));
    assert_eq!(live.data, data(&[("A", "1"), ("B", "2"), ("theirs", "x")]));
    let fewer = plan_of(CreationPolicy::Adopt, &[("A", "1")], Some(&live));
    let live = after(&fewer.step, Some(&live));
    assert_eq!(live.data, data(&[("A", "1"), ("theirs", "x")]));
    let mut edited = live.clone();
    edited.data.extend(data(&[("theirs", "y")]));
    assert_eq!(
        plan_of(CreationPolicy::Adopt, &[("A", "1")], Some(&edited)).step,
        Step::Nothing
    );
    edited.data.extend(data(&[("A", "y")]));
    assert_eq!(
        plan_of(CreationPolicy::Adopt, &[("A", "1")], Some(&edited)).change,
        Change::Repair
    );
}

#[test]
fn adopting_equal_bytes_is_metadata_only_and_a_lost_record_removes_nothing() {
    let found = foreign(&[("A", "1"), ("theirs", "x")], json!({}));
    let plan = plan_of(CreationPolicy::Adopt, &[("A", "1")], Some(&found));
    assert_eq!(plan.change, Change::MetadataOnly);
    let made = plan_of(CreationPolicy::Adopt, &[("A", "1"), ("B", "2")], None);
    let mut live = after(&made.step, None);
    live.head
        .meta
        .annotations
        .as_mut()
        .unwrap()
        .remove("keyferry.dev/keys");
    let plan = plan_of(CreationPolicy::Adopt, &[("A", "2")], Some(&live));
    assert!(matches!(&plan.step, Step::Replace(_, all) if *all == data(&[("A", "2"), ("B", "2")])));
}

#[test]
fn merge_leaves_keys_of_others_and_plans_its_own() {
    let managed = json!([{"manager": "helm", "fieldsV1": {"f:data": {"f:K": {}, "f:same": {}}}}]);
    let found = foreign(
        &[("K", "theirs"), ("same", "1")],
        json!({"annotations": {"keyferry.dev/merge": "allow"}, "managedFields": managed}),
    );
    let plan = plan_of(
        CreationPolicy::Merge,
        &[("K", "1"), ("same", "1"), ("new", "1")],
        Some(&found),
    );
    assert!(
        matches!(&plan.step, Step::Apply(_, ours) if *ours == data(&[("same", "1"), ("new", "1")]))
    );
    let conflict = plan.conflict.unwrap();
    assert_eq!(conflict.reason, Reason::KeyConflict);
    assert_eq!(
        conflict.fact,
        "Key K of Secret ns/s is managed by \"helm\"."
    );
}

#[test]
fn a_refused_key_is_left_only_while_its_bytes_differ() {
    let found = foreign(
        &[("K", "theirs")],
        json!({"annotations": {"keyferry.dev/merge": "allow"}}),
    );
    let taken = Taken::from([("K".to_owned(), "x".to_owned())]);
    let ask = |value| {
        plan_for(
            CreationPolicy::Merge,
            &[("K", value)],
            Some(&found),
            &Repairs::default(),
            &taken,
        )
        .unwrap()
    };
    assert!(ask("1").conflict.is_some());
    assert!(ask("theirs").conflict.is_none());
}

#[test]
fn repairs_pause_and_other_writes_go_on() {
    let made = plan_of(CreationPolicy::Owner, &[("A", "1")], None);
    let live = after(&made.step, None);
    let mut edited = live.clone();
    edited.data = data(&[("A", "x")]);
    let mut repairs = Repairs::default();
    (0..Repairs::MOST).for_each(|_| repairs.record(at(0)));
    let ask = |value, found| {
        plan_for(
            CreationPolicy::Owner,
            &[("A", value)],
            Some(found),
            &repairs,
            &Taken::new(),
        )
    };
    let finding = ask("1", &edited).unwrap_err();
    assert_eq!(finding.reason, Reason::Fought);
    assert!(finding.retry_after.is_some());
    assert_eq!(ask("2", &live).unwrap().change, Change::Write);
}

/// The passes after `Fought` as the retry table plans them, with the jitter at either end: the first
/// after the window puts the bytes right, whatever the opponent left there.
#[test]
fn a_fight_ends_by_itself_when_its_window_has_passed() {
    let made = plan_of(CreationPolicy::Owner, &[("A", "1")], None);
    let live = after(&made.step, None);
    let mut edited = live.clone();
    edited.data = data(&[("A", "x")]);
    for unit in [0.0, 0.5, 1.0] {
        let mut repairs = Repairs::default();
        for second in [0, 5, 9] {
            repairs.record(at(second));
        }
        let (mut now, mut attempts) = (Duration::from_secs(10), Attempts::default());
        let ended = (0..5).find_map(|_| {
            let moment = at(i64::try_from(now.as_secs()).unwrap());
            let planned = plan_at(
                moment,
                CreationPolicy::Owner,
                &[("A", "1")],
                Some(&edited),
                &repairs,
                &Taken::new(),
            );
            let finding = match planned {
                Ok(plan) => return Some(plan),
                Err(finding) => finding,
            };
            assert_eq!(finding.reason, Reason::Fought);
            let class = schedule::class(finding.reason);
            let day = Duration::from_secs(24 * 3600);
            let wait =
                schedule::retry_delay(class, attempts.failed(class), day, finding.retry_after);
            now += schedule::jittered(wait, unit);
            None
        });
        let plan = ended.expect("a pass that repairs");
        assert_eq!(plan.change, Change::Repair);
        assert!(matches!(&plan.step, Step::Replace(_, ours) if *ours == data(&[("A", "1")])));
        let window = Duration::try_from(Repairs::WINDOW).unwrap();
        assert!(now >= window, "not before");
        assert!(now <= window.mul_f64(1.2), "and not much later: {now:?}");
    }
}

#[test]
fn a_recorded_key_that_others_hold_now_is_let_go_without_a_change_of_bytes() {
    let managed =
        |keys: serde_json::Value| json!([{"manager": "keyferry/me", "fieldsV1": {"f:data": keys}}]);
    let annotations = json!({"keyferry.dev/merge": "allow", "keys.keyferry.dev/me": "A,K"});
    let found = |keys| {
        let meta = json!({"annotations": annotations, "managedFields": managed(keys)});
        foreign(&[("A", "1"), ("K", "theirs")], meta)
    };
    let change =
        |found: &LiveSecret| plan_of(CreationPolicy::Merge, &[("A", "1")], Some(found)).change;
    assert_eq!(change(&found(json!({"f:A": {}}))), Change::MetadataOnly);
    let both = found(json!({"f:A": {}, "f:K": {}}));
    assert_eq!(change(&both), Change::Write, "still ours: it goes");
}

#[test]
fn a_key_held_together_with_others_is_for_the_server_to_refuse() {
    let managed = json!([
        {"manager": "keyferry/me", "fieldsV1": {"f:data": {"f:K": {}}}},
        {"manager": "helm", "fieldsV1": {"f:data": {"f:K": {}}}}]);
    let meta = json!({"annotations": {"keyferry.dev/merge": "allow"}, "managedFields": managed});
    let plan = plan_of(
        CreationPolicy::Merge,
        &[("K", "2")],
        Some(&foreign(&[("K", "1")], meta)),
    );
    assert!(matches!(&plan.step, Step::Apply(_, ours) if *ours == data(&[("K", "2")])));
}
