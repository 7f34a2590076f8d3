//! What the API server or a rule refuses.

use keyferry::{
    api::Reason, api::binding::CreationPolicy, cluster::apply::Seen, cluster::apply::Written,
};

use crate::bed::{Bed, binding, bytes, done, finding, target};

#[tokio::test]
async fn immutable_and_other_types_are_refused() {
    let bed = Bed::new("immutable").await;
    done(
        bed.write(
            binding("b"),
            &target("s"),
            &bytes(&[("A", b"1")]),
            Seen::Absent,
        )
        .await,
    );
    let mut other_type = target("s");
    other_type.type_ = "kubernetes.io/basic-auth".into();
    let refused = finding(
        bed.write(
            binding("b"),
            &other_type,
            &bytes(&[("username", b"1")]),
            Seen::Unknown,
        )
        .await,
    );
    assert_eq!(refused.reason, Reason::TargetImmutable);
    bed.kubectl(&[
        "patch",
        "secret",
        "s",
        "--type=merge",
        "-p",
        r#"{"immutable":true}"#,
    ])
    .await;
    let refused = finding(
        bed.write(
            binding("b"),
            &target("s"),
            &bytes(&[("A", b"2")]),
            Seen::Unknown,
        )
        .await,
    );
    assert_eq!(refused.reason, Reason::TargetImmutable);
    let mut token = target("t");
    token.type_ = "kubernetes.io/service-account-token".into();
    let refused = finding(
        bed.write(binding("b"), &token, &bytes(&[("A", b"2")]), Seen::Absent)
            .await,
    );
    assert_eq!(refused.reason, Reason::TypeNotAllowed);
}

#[tokio::test]
async fn a_token_secret_is_neither_merged_into_nor_adopted() {
    let bed = Bed::new("token-secret").await;
    bed.kubectl_in(&["apply", "-f", "-"], r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"shared","annotations":{"kubernetes.io/service-account.name":"default","keyferry.dev/merge":"allow"}},"type":"kubernetes.io/service-account-token"}"#).await;
    for creation in [CreationPolicy::Merge, CreationPolicy::Adopt] {
        let mut wanted = target("shared");
        wanted.creation = creation;
        let refused = finding(
            bed.write(binding("b"), &wanted, &bytes(&[("A", b"2")]), Seen::Unknown)
                .await,
        );
        assert_eq!(refused.reason, Reason::TypeNotAllowed);
    }
    assert!(!bed.live("shared").await.data.contains_key("A"));
}

#[tokio::test]
async fn what_the_server_finds_invalid_is_told_by_field_and_never_by_value() {
    let bed = Bed::new("invalid").await;
    let mut tls = target("tls");
    tls.type_ = "kubernetes.io/tls".into();
    let refused = finding(
        bed.write(
            binding("b"),
            &tls,
            &bytes(&[("A", b"hunter2")]),
            Seen::Absent,
        )
        .await,
    );
    assert_eq!(refused.reason, Reason::RequiredMissing);
    assert!(refused.fact.contains("data[tls.crt]"), "{refused}");
    let big = vec![b'x'; (1 << 20) + 1];
    let refused = finding(
        bed.write(
            binding("b"),
            &target("big"),
            &bytes(&[("A", &big)]),
            Seen::Absent,
        )
        .await,
    );
    assert_eq!(refused.reason, Reason::TooLarge);
    let refused = finding(
        bed.write(
            binding("b"),
            &target("key"),
            &bytes(&[("a b", b"hunter2")]),
            Seen::Absent,
        )
        .await,
    );
    assert_eq!(refused.reason, Reason::InvalidKey);
    assert!(!refused.to_string().contains("hunter2"));
}

#[tokio::test]
async fn a_missing_right_names_verb_and_resource() {
    let bed = Bed::new("forbidden").await;
    let reader = bed.as_account("reader", &["get"]).await;
    let nobody = bed.as_account("nobody", &[]).await;
    let data = bytes(&[("A", b"1")]);
    for (secrets, seen, verb) in [
        (&reader, Seen::Absent, "create"),
        (&nobody, Seen::Unknown, "get"),
    ] {
        let refused = finding(
            bed.write_as(secrets, binding("b"), &target("s"), &data, seen)
                .await,
        );
        assert_eq!(refused.reason, Reason::OperatorForbidden);
        assert!(
            refused.fact.starts_with(&format!(
                "The operator may not {verb} secrets in namespace forbidden"
            )),
            "{refused}"
        );
    }
    done(
        bed.write(binding("b"), &target("s"), &data, Seen::Absent)
            .await,
    );
    let refused = finding(
        bed.write_as(
            &reader,
            binding("b"),
            &target("s"),
            &bytes(&[("A", b"2")]),
            Seen::Unknown,
        )
        .await,
    );
    assert!(refused.fact.contains("update secrets"), "{refused}");
}

#[tokio::test]
async fn a_terminating_namespace_is_silence() {
    let bed = Bed::new("terminating").await;
    bed.foreign(
        "held",
        "helm",
        &[],
        serde_json::json!({"finalizers": ["example.com/hold"]}),
    )
    .await;
    bed.kubectl(&["delete", "namespace", "terminating", "--wait=false"])
        .await;
    let answer = bed
        .write(
            binding("b"),
            &target("s"),
            &bytes(&[("A", b"1")]),
            Seen::Absent,
        )
        .await;
    bed.kubectl(&[
        "patch",
        "secret",
        "held",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":null}}"#,
    ])
    .await;
    assert!(
        matches!(answer, Ok(Written::NamespaceTerminating)),
        "{answer:?}"
    );
    let gone = Bed::without_namespace("never-was").await;
    let answer = gone
        .write(
            binding("b"),
            &target("s"),
            &bytes(&[("A", b"1")]),
            Seen::Absent,
        )
        .await;
    assert!(
        matches!(answer, Ok(Written::NamespaceTerminating)),
        "{answer:?}"
    );
}
