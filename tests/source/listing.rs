//! Every page or an error.

use keyferry::{api::Reason, core::PrefixAsk, source::Freshness};
use keyferry_testkit::aws::Fault;

use crate::kit::*;

fn prefix(prefix: &str) -> PrefixAsk {
    PrefixAsk {
        store: Default::default(),
        prefix: prefix.into(),
        tags: Default::default(),
    }
}

#[tokio::test]
async fn a_listing_is_complete_sorted_and_without_deleted_entries() {
    let bed = Bed::start().await;
    let region = bed.region();
    for n in (0..205).rev() {
        region.create(&format!("gaara/{n:03}"), "x").unwrap();
    }
    region.create("gaarb", "x").unwrap();
    region.delete("gaara/007", 7).unwrap();
    region.create_empty("gaara/zzz").unwrap();
    let hub = bed.hub().await;
    let ask = prefix("gaara/");
    let (listed, again) = tokio::join!(
        hub.list(&ask, Freshness::Fresh),
        hub.list(&ask, Freshness::Fresh)
    );
    let listed = listed.unwrap();
    assert_eq!(listed, again.unwrap());
    assert_eq!(listed.len(), 205);
    assert!(listed.windows(2).all(|pair| pair[0].name < pair[1].name));
    assert!(
        listed
            .iter()
            .all(|entry| entry.name.starts_with("gaara/") && entry.name != "gaara/007")
    );
    assert_eq!(listed[0].arn, region.arn("gaara/000").unwrap());
    assert_eq!(
        listed[0].current_version_id,
        region.current_version("gaara/000")
    );
    assert_eq!(
        listed[204].current_version_id, None,
        "an entry without a value"
    );
    assert_eq!(bed.calls(), (0, 0, 3), "two asks share the three pages");
}

#[tokio::test]
async fn tags_must_all_match_as_pairs() {
    let bed = Bed::start().await;
    let region = bed.region();
    for (entry, tags) in [
        ("t/both", [("team", "a"), ("tier", "x")]),
        ("t/crossed", [("team", "x"), ("tier", "a")]),
        ("t/one", [("team", "a"), ("other", "x")]),
    ] {
        region.create(entry, "v").unwrap();
        for (key, value) in tags {
            region.tag(entry, key, value).unwrap();
        }
    }
    let hub = bed.hub().await;
    let tags = [
        ("team".to_owned(), "a".to_owned()),
        ("tier".to_owned(), "x".to_owned()),
    ];
    let listed = hub
        .list(
            &PrefixAsk {
                tags: tags.into(),
                ..prefix("t/")
            },
            Freshness::Fresh,
        )
        .await
        .unwrap();
    assert_eq!(
        listed.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(),
        ["t/both"]
    );
}

#[tokio::test]
async fn empty_means_that_aws_finished_an_empty_listing() {
    let bed = Bed::start().await;
    for n in 0..3 {
        bed.region().create(&format!("p/{n}"), "x").unwrap();
    }
    let hub = bed.hub().await;
    assert!(
        hub.list(&prefix("q/"), Freshness::Fresh)
            .await
            .unwrap()
            .is_empty()
    );
    let empty_page = bed.aws.fault(Fault::empty_page().times(1));
    assert_eq!(
        hub.list(&prefix("p/"), Freshness::Fresh)
            .await
            .unwrap()
            .len(),
        3,
        "an empty page is not the end"
    );
    empty_page.clear();
    for fault in [
        Fault::error(500, "InternalServiceError"),
        Fault::cut_body(),
        Fault::empty_page(),
    ] {
        let shown = format!("{fault:?}");
        let set = bed.aws.fault(fault);
        let finding = hub
            .list(&prefix("p/"), Freshness::Fresh)
            .await
            .expect_err(&shown);
        assert_eq!(finding.reason, Reason::AwsUnavailable, "{shown}");
        set.clear();
    }
    bed.aws
        .put_role(operator_role().allow(&["secretsmanager:GetSecretValue"], &["*"]));
    let finding = hub.list(&prefix("p/"), Freshness::Fresh).await.unwrap_err();
    assert_eq!(finding.reason, Reason::AccessDenied);
    assert!(
        finding.fact.contains("secretsmanager:ListSecrets"),
        "{finding}"
    );
}
