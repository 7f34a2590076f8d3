//! What is shared, what is batched, and which id means which entry.

use std::time::{Duration, Instant};

use keyferry::{
    api::Reason,
    core::{EntryAsk, EntryValue, VersionSelector},
    source::{Freshness, Operation, SourceEvent},
};
use keyferry_testkit::aws::{Fault, Role};

use crate::kit::*;

#[tokio::test]
async fn fifty_asks_for_one_entry_are_one_read() {
    let bed = Bed::start().await;
    bed.region().create("estate/db", "value-of-db").unwrap();
    let hub = bed.hub().await;
    let reads = read_all(&hub, &vec![name("estate/db"); 50]).await;
    assert!(reads.iter().all(|read| text(read) == "value-of-db"));
    assert_eq!(bed.calls(), (1, 0, 0));
    assert_eq!(bed.counted(|e| *e == SourceEvent::ReadAsked), 50);
    assert_eq!(bed.counted(|e| *e == SourceEvent::ReadMade), 1);
    assert_eq!(bed.counted(|e| *e == SourceEvent::ReadReused), 49);
}

#[tokio::test]
async fn current_values_come_in_batches_of_twenty() {
    for (entries, singles, batches) in [(20, 0, 1), (21, 1, 1), (400, 0, 20)] {
        let bed = Bed::start().await;
        let names: Vec<String> = (0..entries).map(|n| format!("estate/e{n}")).collect();
        for name in &names {
            bed.region()
                .create(name, &format!("value of {name}"))
                .unwrap();
        }
        let hub = bed.hub().await;
        // Each is asked for by two.
        let asks: Vec<EntryAsk> = names.iter().chain(&names).map(|n| name(n)).collect();
        let reads = read_all(&hub, &asks).await;
        for (ask, read) in names.iter().chain(&names).zip(&reads) {
            assert_eq!(text(read), format!("value of {ask}"));
        }
        assert_eq!(bed.calls(), (singles, batches, 0), "{entries} entries");
    }
}

#[tokio::test]
async fn one_missing_entry_of_a_batch_is_its_own_affair() {
    let bed = Bed::start().await;
    bed.region().create("a", "1").unwrap();
    bed.region().create("gone", "2").unwrap();
    bed.region().delete("gone", 7).unwrap();
    let hub = bed.hub().await;
    let mut reads = read_all(&hub, &[name("a"), name("missing"), name("gone")]).await;
    assert_eq!(refused(reads.remove(2)).reason, Reason::MarkedForDeletion);
    let missing = refused(reads.remove(1));
    assert_eq!(missing.reason, Reason::SecretNotFound);
    assert_eq!(
        missing.fact,
        "No secret \"missing\" in account 111122223333, region ap-northeast-2."
    );
    assert_eq!(text(&reads[0]), "1");
    assert_eq!(bed.calls(), (0, 1, 0));
}

#[tokio::test]
async fn the_name_and_the_arn_of_one_entry_are_asked_once_in_a_batch() {
    let bed = Bed::start().await;
    let full = bed.region().create("estate/db", "db").unwrap();
    bed.region().create("estate/other", "other").unwrap();
    let hub = bed.hub().await;
    let asks = [
        name("estate/db"),
        arn(&full),
        own_arn("estate/db"),
        name("estate/other"),
    ];
    let reads = read_all(&hub, &asks).await;
    let texts: Vec<String> = reads.iter().map(text).collect();
    assert_eq!(texts, ["db", "db", "db", "other"]);
    assert_eq!(bed.calls(), (0, 1, 0));
    assert_eq!(bed.aws.calls().pop().unwrap().ids.len(), 2);
}

#[tokio::test]
async fn a_partial_arn_whose_name_ends_like_a_suffix_is_found_by_name() {
    let bed = Bed::with(|s| s.reads.reuse = std::time::Duration::ZERO).await;
    let region = bed.region();
    region.create("path/jwt-secret", "right").unwrap();
    // What a reader that strips suffixes would return.
    region
        .create_with_suffix("path/jwt", "AbCdEf", "wrong")
        .unwrap();
    let hub = bed.hub().await;
    let ask = own_arn("path/jwt-secret");
    assert_eq!(text(&hub.read(&ask, Freshness::Reuse).await), "right");
    assert_eq!(
        bed.calls(),
        (2, 0, 0),
        "the literal, then the whole as a name"
    );
    assert_eq!(text(&hub.read(&ask, Freshness::Reuse).await), "right");
    assert_eq!(bed.calls(), (3, 0, 0), "learned");

    // In a batch beside the entry it could be mistaken for.
    bed.aws.reset_counts();
    let reads = read_all(
        &hub,
        &[
            name("path/jwt"),
            ask.clone(),
            arn(&region.arn("path/jwt").unwrap()),
        ],
    )
    .await;
    assert_eq!(
        reads.iter().map(text).collect::<Vec<_>>(),
        ["wrong", "right", "wrong"]
    );

    // Recreated under a complete ARN of that text: the literal is right again.
    region.force_delete("path/jwt-secret").unwrap();
    region.force_delete("path/jwt").unwrap();
    region
        .create_with_suffix("path/jwt", "secret", "literal")
        .unwrap();
    assert_eq!(text(&hub.read(&ask, Freshness::Fresh).await), "literal");
}

#[tokio::test]
async fn a_partial_arn_that_iam_denies_as_it_stands_is_tried_by_name() {
    let bed = Bed::start().await;
    bed.region().create("path/jwt-secret", "right").unwrap();
    let allowed =
        format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:path/jwt-secret-??????");
    bed.aws
        .put_role(operator_role().allow(&["secretsmanager:GetSecretValue"], &[&allowed]));
    let hub = bed.hub().await;
    assert_eq!(
        text(
            &hub.read(&own_arn("path/jwt-secret"), Freshness::Reuse)
                .await
        ),
        "right"
    );
}

#[tokio::test]
async fn another_accounts_entry_of_the_same_name_is_another_entry() {
    let bed = Bed::start().await;
    bed.region().create("db", "ours").unwrap();
    let theirs = bed.aws.account(OTHER).region(REGION);
    let full = theirs.create("db", "theirs").unwrap();
    theirs
        .kms_key("db", &format!("arn:aws:kms:{REGION}:{OTHER}:key/k"))
        .unwrap();
    theirs.allow_principal("db", OPERATOR).unwrap();
    let hub = bed.hub().await;
    let reads = read_all(&hub, &[name("db"), arn(&full)]).await;
    assert_eq!(
        reads.iter().map(text).collect::<Vec<_>>(),
        ["ours", "theirs"]
    );
}

#[tokio::test]
async fn an_id_in_neither_list_is_read_by_itself() {
    let bed = Bed::start().await;
    for entry in ["a", "b"] {
        bed.region().create(entry, entry).unwrap();
    }
    let hub = bed.hub().await;
    bed.aws
        .fault(Fault::omitted().on("BatchGetSecretValue").entry("b"));
    let reads = read_all(&hub, &[name("a"), name("b")]).await;
    assert_eq!(reads.iter().map(text).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(bed.calls(), (1, 1, 0));
}

#[tokio::test]
async fn where_batches_are_denied_single_reads_take_over_for_a_while() {
    let bed = Bed::with(|s| s.reads.reuse = std::time::Duration::ZERO).await;
    bed.aws
        .put_role(operator_role().allow(&["secretsmanager:GetSecretValue"], &["*"]));
    let asks = ["a", "b", "c"].map(|entry| {
        bed.region().create(entry, entry).unwrap();
        name(entry)
    });
    let hub = bed.hub().await;
    for _ in 0..3 {
        let reads = read_all(&hub, &asks).await;
        assert_eq!(reads.iter().map(text).collect::<Vec<_>>(), ["a", "b", "c"]);
    }
    assert_eq!(bed.calls(), (9, 1, 0));
    assert_eq!(
        bed.counted(|e| *e == SourceEvent::WayDenied(Operation::BatchGetSecretValue)),
        1
    );
}

#[tokio::test]
async fn a_member_that_spoils_its_batch_does_not_end_batches() {
    let bed = Bed::with(|s| s.reads.reuse = std::time::Duration::ZERO).await;
    let asks = ["a", "b", "c"].map(|entry| {
        bed.region().create(entry, entry).unwrap();
        name(entry)
    });
    let hub = bed.hub().await;
    let spoilt = bed.aws.fault(Fault::denied().entry("b").whole_call());
    let mut reads = read_all(&hub, &asks).await;
    assert_eq!(refused(reads.remove(1)).reason, Reason::AccessDenied);
    assert_eq!(reads.iter().map(text).collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(bed.calls(), (3, 1, 0));
    spoilt.clear();
    assert!(read_all(&hub, &asks).await.iter().all(Result::is_ok));
    assert_eq!(bed.calls(), (3, 2, 0), "the next batch is tried again");
    assert_eq!(
        bed.counted(|e| *e == SourceEvent::WayDenied(Operation::BatchGetSecretValue)),
        0
    );
}

#[tokio::test]
async fn a_value_is_reused_for_a_moment_and_not_when_a_fresh_one_is_asked() {
    let bed = Bed::start().await;
    bed.region().create("a", "old").unwrap();
    let hub = bed.hub().await;
    assert_eq!(text(&hub.read(&name("a"), Freshness::Reuse).await), "old");
    bed.region().put("a", "new").unwrap();
    assert_eq!(text(&hub.read(&name("a"), Freshness::Reuse).await), "old");
    assert_eq!(bed.calls(), (1, 0, 0));
    assert_eq!(text(&hub.read(&name("a"), Freshness::Fresh).await), "new");
    assert_eq!(text(&hub.read(&name("a"), Freshness::Reuse).await), "new");
    assert_eq!(bed.calls(), (2, 0, 0));
    assert_eq!(bed.counted(|e| *e == SourceEvent::ReadReused), 2);
}

#[tokio::test]
async fn a_value_from_before_a_refresh_does_not_answer_it_and_a_failure_that_stands_does() {
    let bed = Bed::start().await;
    bed.region().create("a", "old").unwrap();
    let hub = bed.hub().await;
    assert_eq!(text(&hub.read(&name("a"), Freshness::Reuse).await), "old");
    let asked = Instant::now();
    bed.region().put("a", "new").unwrap();
    let fault = bed.aws.fault(Fault::error(500, "InternalServiceError"));
    refused(hub.read(&name("a"), Freshness::Since(asked)).await);
    fault.clear();
    let calls = bed.calls();
    refused(hub.read(&name("a"), Freshness::ReuseSince(asked)).await);
    assert_eq!(bed.calls(), calls, "the failure stands");
    let again = async || hub.read(&name("a"), Freshness::ReuseSince(asked)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(text(&again().await), "new");
    let calls = bed.calls();
    assert_eq!(text(&again().await), "new");
    assert_eq!(bed.calls(), calls, "a value read since then will do");
}

#[tokio::test]
async fn a_fresh_ask_does_not_join_a_read_that_is_already_sent() {
    let bed = Bed::start().await;
    bed.region().create("a", "1").unwrap();
    let hub = bed.hub().await;
    let hang = bed.aws.hang(|fault| fault.on("GetSecretValue").times(1));
    let early = {
        let hub = hub.clone();
        tokio::spawn(async move { hub.read(&name("a"), Freshness::Reuse).await })
    };
    bed.aws
        .wait_for(|log| log.count("GetSecretValue") == 1)
        .await
        .unwrap();
    let joined = {
        let hub = hub.clone();
        tokio::spawn(async move { hub.read(&name("a"), Freshness::Reuse).await })
    };
    assert_eq!(text(&hub.read(&name("a"), Freshness::Fresh).await), "1");
    assert_eq!(bed.calls(), (2, 0, 0));
    hang.release();
    assert_eq!(
        (text(&early.await.unwrap()), text(&joined.await.unwrap())),
        ("1".into(), "1".into())
    );
    assert_eq!(bed.calls(), (2, 0, 0));
}

#[tokio::test]
async fn callers_that_go_away_break_nobody_else() {
    let bed = Bed::start().await;
    for entry in ["a", "b"] {
        bed.region().create(entry, entry).unwrap();
    }
    let hub = bed.hub().await;
    let hang = bed.aws.hang(|fault| fault.on("BatchGetSecretValue"));
    let spawn = |entry: &'static str| {
        let hub = hub.clone();
        tokio::spawn(async move { hub.read(&name(entry), Freshness::Reuse).await })
    };
    let (first, second, other) = (spawn("a"), spawn("a"), spawn("b"));
    bed.aws
        .wait_for(|log| log.count("BatchGetSecretValue") == 1)
        .await
        .unwrap();
    first.abort();
    other.abort();
    assert!(first.await.is_err() && other.await.is_err());
    hang.release();
    assert_eq!(text(&second.await.unwrap()), "a");
    // What nobody waits for any more left nothing behind.
    assert_eq!(text(&hub.read(&name("b"), Freshness::Fresh).await), "b");
    assert_eq!(bed.calls(), (1, 1, 0));
}

#[tokio::test]
async fn reads_that_nobody_waits_for_give_their_place_back() {
    let bed = Bed::with(|s| s.reads.parallel = 1).await;
    for entry in ["a", "b"] {
        bed.region().create(entry, entry).unwrap();
    }
    let hub = bed.hub().await;
    let hang = bed.aws.hang(|fault| fault.entry("a"));
    let stuck = {
        let hub = hub.clone();
        tokio::spawn(async move { hub.read(&name("a"), Freshness::Reuse).await })
    };
    bed.aws
        .wait_for(|log| log.count("GetSecretValue") == 1)
        .await
        .unwrap();
    stuck.abort();
    assert!(stuck.await.is_err());
    assert_eq!(text(&hub.read(&name("b"), Freshness::Reuse).await), "b");
    drop(hang);
}

#[tokio::test]
async fn versions_and_bytes_are_as_stored() {
    let bed = Bed::start().await;
    let region = bed.region();
    let bytes: Vec<u8> = (0..=255).chain([0, 10]).collect();
    region.create_binary("bin", &bytes).unwrap();
    region.create("text", "first\n").unwrap();
    let first = region.current_version("text").unwrap();
    region.put("text", "second\n\n").unwrap();
    region.create_empty("empty").unwrap();
    let hub = bed.hub().await;

    let binary = hub.read(&name("bin"), Freshness::Reuse).await.unwrap();
    assert!(matches!(&binary.value, EntryValue::Binary(value) if value.expose() == bytes));
    assert!(binary.created.is_some());
    assert_eq!(
        (binary.name.as_str(), &binary.arn),
        ("bin", &region.arn("bin").unwrap())
    );

    let at = |version| EntryAsk {
        version,
        ..name("text")
    };
    let previous = VersionSelector::Stage("AWSPREVIOUS".into());
    for (version, wanted) in [
        (VersionSelector::Current, "second\n\n"),
        (previous, "first\n"),
        (VersionSelector::Id(first.clone()), "first\n"),
    ] {
        let read = hub.read(&at(version.clone()), Freshness::Reuse).await;
        assert_eq!(text(&read), wanted, "{version:?}");
        assert_eq!(
            read.unwrap().version_id == first,
            version != VersionSelector::Current
        );
    }
    for ask in [at(VersionSelector::Stage("blue".into())), name("empty")] {
        assert_eq!(
            refused(hub.read(&ask, Freshness::Reuse).await).reason,
            Reason::StageMissing,
            "{ask:?}"
        );
    }
}

#[tokio::test]
async fn a_denied_entry_names_identity_action_entry_and_cure() {
    let bed = Bed::start().await;
    bed.region().create("pay/stripe", "x").unwrap();
    bed.aws
        .put_role(Role::new(OPERATOR).trust_service_account("keyferry", "keyferry"));
    let hub = bed.hub().await;
    let finding = refused(hub.read(&name("pay/stripe"), Freshness::Reuse).await);
    assert_eq!(finding.reason, Reason::AccessDenied);
    assert_eq!(
        keyferry::source::addressed(finding, "estate", "etl").to_string(),
        "arn:aws:sts::111122223333:assumed-role/operator/keyferry-prod may not call secretsmanager:GetSecretValue \
         on \"pay/stripe\". Print the statement with: keyferry iam-policy etl -n estate."
    );
}
