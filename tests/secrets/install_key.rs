//! The install key.

use keyferry::{api::names, cluster::install_key};

use crate::bed::Bed;

#[tokio::test]
async fn a_race_for_the_install_key_ends_with_one_key_for_all() {
    let bed = Bed::new("install-key").await;
    let racers = (0..8).map(|_| install_key::ensure(&bed.secrets, "install-key"));
    let ids: std::collections::BTreeSet<String> = futures::future::join_all(racers)
        .await
        .into_iter()
        .map(|key| key.unwrap().id().to_owned())
        .collect();
    assert_eq!(ids.len(), 1);
    let live = bed.live(names::INSTALL_KEY_SECRET).await;
    assert_eq!(
        live.head.meta.annotations.unwrap()[names::ANNOTATION_HELM_KEEP],
        "keep"
    );
    assert_eq!(live.data[install_key::DATA_KEY].len(), 32);
}

#[tokio::test]
async fn only_not_found_lets_an_install_key_be_made() {
    let bed = Bed::new("no-install-key").await;
    let creator = bed.as_account("creator", &["create"]).await;
    let refused = install_key::ensure(&creator, "no-install-key")
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("may not get secrets"),
        "{refused}"
    );
    assert!(
        bed.secrets
            .get("no-install-key", names::INSTALL_KEY_SECRET)
            .await
            .unwrap()
            .is_none()
    );
    bed.foreign(
        names::INSTALL_KEY_SECRET,
        "x",
        &[("key", "short")],
        serde_json::json!({}),
    )
    .await;
    let malformed = install_key::ensure(&bed.secrets, "no-install-key")
        .await
        .unwrap_err();
    assert!(matches!(
        malformed,
        install_key::InstallKeyError::Malformed { .. }
    ));
    let absent = install_key::ensure(&bed.secrets, "no-such-namespace")
        .await
        .unwrap_err();
    assert!(
        absent.to_string().contains("namespace is terminating"),
        "{absent}"
    );
}
