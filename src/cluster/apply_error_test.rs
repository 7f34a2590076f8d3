#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    api::binding::{CreationPolicy, DeletionPolicy},
    core::recipe::TargetRecipe,
};

fn target() -> TargetRecipe {
    TargetRecipe {
        name: "s".into(),
        type_: "Opaque".into(),
        labels: Default::default(),
        annotations: Default::default(),
        creation: CreationPolicy::Owner,
        deletion: DeletionPolicy::Delete,
    }
}

fn told(error: ClusterError) -> ApplyError {
    let target = target();
    explain(
        &Claim {
            namespace: "ns",
            binding: "b",
            binding_uid: "u",
            target: &target,
        },
        error,
    )
}

#[test]
fn what_a_person_can_act_on_becomes_a_finding_with_a_cure() {
    let invalid = |cause: &str| ClusterError::Invalid {
        causes: vec![cause.to_owned()],
    };
    let forbidden = ClusterError::Forbidden {
        verb: "update",
        resource: "secrets",
        why: "RBAC: no role grants it".into(),
    };
    let table = [
        (forbidden, Reason::OperatorForbidden, Class::Denied),
        (ClusterError::TooLarge, Reason::TooLarge, Class::Invalid),
        (
            invalid("data (FieldValueTooLong)"),
            Reason::TooLarge,
            Class::Invalid,
        ),
        (
            invalid("data[tls.crt] (FieldValueRequired)"),
            Reason::RequiredMissing,
            Class::Invalid,
        ),
        (
            invalid("data[a b] (FieldValueInvalid)"),
            Reason::InvalidKey,
            Class::Invalid,
        ),
    ];
    for (error, reason, class) in table {
        let told = told(error);
        assert_eq!(told.class(), class);
        let ApplyError::Finding(finding) = told else {
            panic!("no finding")
        };
        assert_eq!(finding.reason, reason);
        assert!(!finding.cure.is_empty());
    }
}

#[test]
fn a_missing_right_reads_as_a_sentence() {
    let error = ClusterError::Forbidden {
        verb: "update",
        resource: "secrets",
        why: "RBAC: no role grants it".into(),
    };
    assert_eq!(
        told(error).to_string(),
        "The operator may not update secrets in namespace ns: RBAC: no role grants it. Grant its ServiceAccount update on secrets there."
    );
}

#[test]
fn trouble_that_passes_stays_out_of_the_status() {
    for error in [
        ClusterError::Timeout,
        ClusterError::Unavailable("x"),
        ClusterError::Conflict,
        ClusterError::Throttled(None),
    ] {
        assert_eq!(told(error.clone()), ApplyError::Cluster(error));
    }
}

#[test]
fn a_held_label_is_a_conflict_about_the_secret_and_a_held_key_is_not() {
    let target = target();
    let claim = Claim {
        namespace: "ns",
        binding: "b",
        binding_uid: "u",
        target: &target,
    };
    let field = |field: &str| {
        vec![FieldConflict {
            field: field.into(),
            manager: "helm".into(),
        }]
    };
    assert_eq!(
        keys_of(&claim, field(".data.a.b")).unwrap(),
        Taken::from([("a.b".to_owned(), "helm".to_owned())])
    );
    let refused = keys_of(&claim, field(".metadata.labels.team")).unwrap_err();
    assert_eq!(refused.reason, Reason::TargetConflict);
    assert!(
        refused
            .fact
            .contains(".metadata.labels.team of Secret ns/s is managed by \"helm\"")
    );
}
