//! Single requests and their answers.

use keyferry::{
    cluster::ClusterError,
    cluster::apply::ApplyError,
    cluster::apply::Seen,
    cluster::upkeep::{delete, release, rewrite_stale_owner},
};

use crate::bed::{Bed, binding, bytes, done, target};

#[tokio::test]
async fn a_stale_owner_uid_is_rewritten_without_reading_bytes_and_only_where_it_is_ours() {
    let bed = Bed::new("stale-owner").await;
    let made = done(
        bed.write(
            binding("b"),
            &target("s"),
            &bytes(&[("A", b"1")]),
            Seen::Absent,
        )
        .await,
    );
    let wanted = target("s");
    let mut restored = bed.claim(binding("b"), &wanted);
    restored.binding_uid = "uid-after-restore";
    assert!(rewrite_stale_owner(&bed.secrets, &restored).await.unwrap());
    let meta = bed.live("s").await.head.meta;
    assert_eq!(meta.owner_references.unwrap()[0].uid, "uid-after-restore");
    assert_eq!(meta.uid, Some(made.uid));
    assert!(
        !rewrite_stale_owner(&bed.secrets, &restored).await.unwrap(),
        "once is enough"
    );
    assert!(
        !rewrite_stale_owner(&bed.secrets, &bed.claim(binding("other"), &wanted))
            .await
            .unwrap()
    );
    assert!(
        !rewrite_stale_owner(&bed.secrets, &bed.claim(binding("b"), &target("none")))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn replies_to_writes_hold_no_data() {
    let bed = Bed::new("replies").await;
    for (method, reply) in bed.raw_replies().await {
        let text = reply.to_string();
        assert!(
            reply.get("data").is_none() && !text.contains("aHVudGVyMg"),
            "{method}: {text}"
        );
        assert_eq!(reply["kind"], "PartialObjectMetadata", "{method}");
    }
}

#[tokio::test]
async fn a_delete_hits_exactly_the_secret_that_was_read() {
    let bed = Bed::new("delete").await;
    done(
        bed.write(
            binding("b"),
            &target("s"),
            &bytes(&[("A", b"1")]),
            Seen::Absent,
        )
        .await,
    );
    let stale = bed.live("s").await.head.meta;
    bed.kubectl(&["label", "secret", "s", "between=1"]).await;
    assert_eq!(
        bed.secrets.delete("delete", &stale).await,
        Err(ClusterError::Conflict)
    );
    let fresh = bed.live("s").await.head.meta;
    assert_eq!(bed.secrets.delete("delete", &fresh).await, Ok(true));
    assert_eq!(bed.secrets.delete("delete", &fresh).await, Ok(false));
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_is_transient() {
    let secrets = crate::bed::silent_server().await;
    let error = secrets.get("ns", "s").await.unwrap_err();
    assert_eq!(error, ClusterError::Timeout);
    assert_eq!(
        ApplyError::from(error).class(),
        keyferry::core::Class::Transient
    );
}

#[tokio::test]
async fn a_released_secret_keeps_its_bytes_and_is_nobodys() {
    let bed = Bed::new("release").await;
    let wanted = target("s");
    let data = bytes(&[("A", b"1")]);
    done(bed.write(binding("b"), &wanted, &data, Seen::Absent).await);
    bed.kubectl(&["label", "secret", "s", "theirs=1"]).await;
    assert!(
        !release(&bed.secrets, &bed.claim(binding("a"), &wanted))
            .await
            .unwrap()
    );
    assert!(
        release(&bed.secrets, &bed.claim(binding("b"), &wanted))
            .await
            .unwrap()
    );
    assert!(
        !release(&bed.secrets, &bed.claim(binding("b"), &wanted))
            .await
            .unwrap()
    );
    let live = bed.live("s").await;
    assert_eq!(live.data, data);
    assert_eq!(live.head.meta.owner_references, None);
    assert_eq!(
        live.head.meta.annotations.unwrap_or_default(),
        Default::default()
    );
    assert_eq!(
        live.head
            .meta
            .labels
            .unwrap()
            .into_keys()
            .collect::<Vec<_>>(),
        ["theirs"]
    );
    assert!(
        !delete(&bed.secrets, &bed.claim(binding("b"), &wanted))
            .await
            .unwrap()
    );
    assert!(
        bed.secrets.get("release", "s").await.unwrap().is_some(),
        "no longer ours to delete"
    );
}

#[tokio::test]
async fn only_our_own_secret_is_deleted() {
    let bed = Bed::new("delete-ours").await;
    let wanted = target("s");
    done(
        bed.write(binding("b"), &wanted, &bytes(&[("A", b"1")]), Seen::Absent)
            .await,
    );
    assert!(
        !delete(&bed.secrets, &bed.claim(binding("a"), &wanted))
            .await
            .unwrap()
    );
    assert!(
        delete(&bed.secrets, &bed.claim(binding("b"), &wanted))
            .await
            .unwrap()
    );
    assert!(bed.secrets.get("delete-ours", "s").await.unwrap().is_none());
    assert!(
        !delete(&bed.secrets, &bed.claim(binding("b"), &wanted))
            .await
            .unwrap()
    );
}
