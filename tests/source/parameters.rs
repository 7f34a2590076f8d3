//! Parameters: what is shared and batched, which name means which, and whole paths.

use std::sync::Arc;

use keyferry::{
    api::Reason,
    core::{EntryAsk, Finding, PrefixAsk, Store, VersionSelector, parameter, parse_parameter},
    source::{Freshness, Hub, Listed, Operation, Outcome, SourceEvent, Standing},
};
use keyferry_testkit::aws::{Fault, QuotaGroup};

use crate::{
    following::{Followers, LONG, at},
    kit::*,
};

fn ask(text: &str) -> EntryAsk {
    parse_parameter(text).unwrap()
}

fn path(path: &str) -> PrefixAsk {
    PrefixAsk {
        store: Store::Parameters,
        prefix: path.into(),
        tags: Default::default(),
    }
}

fn gets(bed: &Bed) -> u64 {
    bed.aws.count("GetParameters")
}

fn pages(bed: &Bed) -> u64 {
    bed.aws.count("GetParametersByPath")
}

async fn list(hub: &Arc<Hub>, under: &str) -> Result<Arc<Vec<Listed>>, Finding> {
    hub.list(&path(under), Freshness::Fresh).await
}

#[tokio::test]
async fn parameters_come_in_batches_of_ten_whoever_asks() {
    for (parameters, calls) in [(1, 1), (10, 1), (11, 2), (200, 20)] {
        let bed = Bed::start().await;
        let names: Vec<String> = (0..parameters).map(|n| format!("/estate/p{n}")).collect();
        for name in &names {
            let value = format!("value of {name}");
            bed.region().put_parameter(name, &value).unwrap();
        }
        let hub = bed.hub().await;
        // Each is asked for by two.
        let asks: Vec<EntryAsk> = names.iter().chain(&names).map(|n| ask(n)).collect();
        let reads = read_all(&hub, &asks).await;
        for (name, read) in names.iter().chain(&names).zip(&reads) {
            assert_eq!(text(read), format!("value of {name}"));
        }
        assert_eq!(gets(&bed), calls, "{parameters} parameters");
        assert_eq!(bed.calls(), (0, 0, 0), "Secrets Manager is not asked");
    }
}

#[tokio::test]
async fn secrets_and_parameters_are_read_side_by_side() {
    let bed = Bed::start().await;
    for name in ["/estate/a", "/estate/b"] {
        bed.region().create(name, "of a secret").unwrap();
        bed.region().put_parameter(name, "of a parameter").unwrap();
    }
    let hub = bed.hub().await;
    let asks = [
        name("/estate/a"),
        ask("/estate/a"),
        name("/estate/b"),
        ask("/estate/b"),
    ];
    let reads = read_all(&hub, &asks).await;
    let (secret, parameter) = ("of a secret", "of a parameter");
    let texts: Vec<String> = reads.iter().map(text).collect();
    assert_eq!(texts, [secret, parameter, secret, parameter]);
    assert_eq!((bed.calls(), gets(&bed)), ((0, 1, 0), 1));
}

#[tokio::test]
async fn versions_labels_and_arns_mean_what_they_say() {
    let bed = Bed::start().await;
    let region = bed.region();
    for value in ["one", "two", "three"] {
        region
            .put_secure_parameter("/estate/level", value, None)
            .unwrap();
    }
    region.label_parameter("/estate/level", "blue", 2).unwrap();
    region.put_parameter("plain", "of one level").unwrap();
    let arn = region.parameter_arn("/estate/level").unwrap();
    let hub = bed.hub().await;
    let asks = [
        ask("/estate/level"),
        ask("/estate/level:1"),
        ask("/estate/level:blue"),
        ask(&arn),
        ask(&format!("{arn}:1")),
        ask("plain"),
    ];
    let reads = read_all(&hub, &asks).await;
    let texts: Vec<String> = reads.iter().map(text).collect();
    assert_eq!(
        texts,
        ["three", "one", "two", "three", "one", "of one level"]
    );
    assert_eq!(gets(&bed), 1, "one batch has them all");
    let latest = reads[0].as_ref().unwrap();
    assert_eq!((latest.name.as_str(), &latest.arn), ("/estate/level", &arn));
    assert_eq!(parameter::number(&latest.version_id), Some("3"));
    assert!(latest.created.is_some());
    let decrypted = SourceEvent::Decrypted {
        operation: Operation::GetParameters,
        values: 5,
    };
    assert_eq!(bed.counted(|e| *e == decrypted), 1);
    // A version as it is recorded is found again, and not taken for one of the same number.
    let recorded = |version: &str| EntryAsk {
        version: VersionSelector::Id(version.to_owned()),
        ..ask("/estate/level")
    };
    let again = hub
        .read(&recorded(&latest.version_id), Freshness::Fresh)
        .await;
    assert_eq!(text(&again), "three");
    let other = hub.read(&recorded("3-00000000"), Freshness::Fresh).await;
    assert_eq!(refused(other).reason, Reason::StageMissing);
}

#[tokio::test]
async fn one_made_anew_has_other_versions_of_the_same_numbers() {
    let bed = Bed::start().await;
    let region = bed.region();
    region.put_parameter("/a", "before").unwrap();
    let hub = bed.hub().await;
    let before = hub.read(&ask("/a"), Freshness::Fresh).await.unwrap();
    region.delete_parameter("/a").unwrap();
    bed.aws.advance(std::time::Duration::from_secs(30));
    assert_eq!(region.put_parameter("/a", "after").unwrap(), 1);
    let after = hub.read(&ask("/a"), Freshness::Fresh).await.unwrap();
    let number = |version: &str| parameter::number(version).map(str::to_owned);
    assert_eq!(number(&before.version_id), number(&after.version_id));
    assert_ne!(before.version_id, after.version_id);
}

#[tokio::test]
async fn one_missing_parameter_of_a_batch_is_its_own_affair() {
    let bed = Bed::start().await;
    bed.region().put_parameter("/a", "1").unwrap();
    let hub = bed.hub().await;
    let asks = [ask("/a"), ask("/missing"), ask("/a:7"), ask("/a:blue")];
    let mut reads = read_all(&hub, &asks).await;
    let place = "account 111122223333, region ap-northeast-2";
    for (reason, fact) in [
        (
            Reason::StageMissing,
            format!(
                "Parameter \"/a\" in {place} has no version with label blue, or does not exist."
            ),
        ),
        (
            Reason::StageMissing,
            format!("Parameter \"/a\" in {place} has no version 7, or does not exist."),
        ),
        (
            Reason::SecretNotFound,
            format!("No parameter \"/missing\" in {place}."),
        ),
    ] {
        let finding = refused(reads.pop().unwrap());
        assert_eq!((finding.reason, finding.fact), (reason, fact));
    }
    assert_eq!(text(&reads[0]), "1");
    assert_eq!(gets(&bed), 1);
}

#[tokio::test]
async fn a_denied_parameter_fails_alone_and_leaves_the_batches() {
    let bed = Bed::with(|s| s.reads.reuse = std::time::Duration::ZERO).await;
    let key = format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/k");
    let region = bed.region();
    for name in ["/a", "/b", "/c", "/denied"] {
        region.put_parameter(name, name).unwrap();
    }
    region
        .put_secure_parameter("/locked", "x", Some(&key))
        .unwrap();
    let denied = format!("arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/denied");
    bed.aws.put_role(
        operator_role()
            .allow(&["ssm:GetParameters"], &["*"])
            .deny(&["ssm:GetParameters"], &[&denied]),
    );
    let hub = bed.hub().await;
    let asks = ["/a", "/b", "/c", "/denied", "/locked"].map(ask);
    let mut reads = read_all(&hub, &asks).await;
    let locked = refused(reads.pop().unwrap());
    assert_eq!(locked.reason, Reason::KmsAccessDenied);
    assert_eq!(
        locked.fact,
        "Parameter \"/locked\" is readable, but its KMS key refuses kms:Decrypt to role operator."
    );
    let refusal = refused(reads.pop().unwrap());
    assert_eq!(refusal.reason, Reason::AccessDenied);
    assert_eq!(
        keyferry::source::addressed(refusal, "estate", "etl").to_string(),
        "arn:aws:sts::111122223333:assumed-role/operator/keyferry-prod may not call ssm:GetParameters on parameter \
         \"/denied\" (by an explicit deny). Change that policy. Print the statement with: keyferry iam-policy etl -n \
         estate."
    );
    assert_eq!(
        reads.iter().map(text).collect::<Vec<_>>(),
        ["/a", "/b", "/c"]
    );
    assert_eq!(gets(&bed), 6, "a batch, and each by itself");
    bed.aws.reset_counts();
    let reads = read_all(&hub, &asks).await;
    assert_eq!(reads.iter().filter(|read| read.is_ok()).count(), 3);
    assert_eq!(gets(&bed), 3, "one batch of those that may be read");
}

#[tokio::test]
async fn a_throttled_parameter_store_does_not_slow_secrets_down() {
    let bed = Bed::start().await;
    bed.region().put_parameter("/a", "1").unwrap();
    bed.region().create("a", "1").unwrap();
    let hub = bed.hub().await;
    let fault = bed
        .aws
        .fault(Fault::throttled(Some(600)).on("GetParameters"));
    let finding = refused(hub.read(&ask("/a"), Freshness::Fresh).await);
    assert_eq!(finding.reason, Reason::Throttled);
    assert!(
        finding.fact.contains("AWS throttles ssm:GetParameters"),
        "{finding}"
    );
    fault.clear();
    // Of Parameter Store nothing is asked for as long as it said; Secrets Manager goes on.
    let finding = refused(hub.read(&ask("/a"), Freshness::Fresh).await);
    assert!(
        finding
            .fact
            .contains("share of the account's request quota for ssm:GetParameters"),
        "{finding}"
    );
    assert_eq!(text(&hub.read(&name("a"), Freshness::Fresh).await), "1");
    assert_eq!(gets(&bed), 1);
    let throttled = |e: &SourceEvent| {
        matches!(
            e,
            SourceEvent::Request {
                operation: Operation::GetParameters,
                outcome: Outcome::Throttled,
                ..
            }
        )
    };
    assert!(bed.counted(throttled) > 0);
}

#[tokio::test]
async fn the_published_quota_is_never_passed() {
    let bed = Bed::with(|s| s.quota_share = 0.5).await;
    bed.aws.scale_quotas(Some(1.0));
    bed.aws.set_quota(QuotaGroup::Parameters, 40.0);
    let region = bed.region();
    let names: Vec<String> = (0..300).map(|n| format!("/many/p{n:03}")).collect();
    for name in &names {
        region.put_parameter(name, "x").unwrap();
    }
    let hub = bed.hub().await;
    let asks: Vec<EntryAsk> = names.iter().map(|name| ask(name)).collect();
    let (reads, listed) = tokio::join!(read_all(&hub, &asks), list(&hub, "/many/"));
    assert!(reads.iter().all(Result::is_ok));
    assert_eq!(listed.unwrap().len(), 300);
    let ours = |call: &keyferry_testkit::aws::Call| call.operation.starts_with("GetParameters");
    let peak = bed.aws.peak(ours);
    assert!(peak <= 20, "{peak} calls in a second: half of 40, together");
}

#[tokio::test]
async fn a_path_is_listed_whole_whatever_its_pages() {
    let bed = Bed::start().await;
    let region = bed.region();
    for n in 0..25 {
        region
            .put_parameter(&format!("/estate/config/p{n:02}"), "x")
            .unwrap();
    }
    region.put_parameter("/estate/config/deep/er", "x").unwrap();
    region.put_parameter("/estate/configuration", "x").unwrap();
    region
        .put_secure_parameter("/estate/config/secure", "x", None)
        .unwrap();
    let hub = bed.hub().await;
    let empty = bed
        .aws
        .fault(Fault::empty_page().on("GetParametersByPath").times(1));
    let listed = list(&hub, "/estate/config/").await.unwrap();
    let names: Vec<&str> = listed.iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names.len(), 27, "{names:?}");
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(names.contains(&"/estate/config/deep/er"));
    assert_eq!(pages(&bed), 4, "an empty page and three of ten");
    empty.clear();
    let numbers = listed.iter().map(|member| {
        let version = member.current_version_id.as_deref().unwrap();
        parameter::number(version)
    });
    assert!(numbers.into_iter().all(|number| number == Some("1")));
    let decrypted = |e: &SourceEvent| matches!(e, SourceEvent::Decrypted { .. });
    assert_eq!(bed.counted(decrypted), 0, "a listing decrypts nothing");
    // The version that a listing shows is the one that a read brings.
    let read = hub
        .read(&ask("/estate/config/p00"), Freshness::Fresh)
        .await
        .unwrap();
    let shown = listed
        .iter()
        .find(|member| member.name == read.name)
        .unwrap();
    assert_eq!(shown.current_version_id.as_ref(), Some(&read.version_id));
}

#[tokio::test]
async fn a_listing_that_is_not_finished_is_an_error() {
    let bed = Bed::start().await;
    for n in 0..15 {
        let name = format!("/estate/config/p{n:02}");
        bed.region().put_parameter(&name, "x").unwrap();
    }
    let hub = bed.hub().await;
    for (fault, reason) in [
        (Fault::denied(), Reason::AccessDenied),
        (Fault::cut_body(), Reason::AwsUnavailable),
        // Its token is the one before: it leads nowhere.
        (Fault::empty_page(), Reason::AwsUnavailable),
        (
            Fault::error(400, "InvalidNextToken"),
            Reason::SecretNotFound,
        ),
    ] {
        let fault = fault.on("GetParametersByPath").later_pages();
        let handle = bed.aws.fault(fault);
        let finding = list(&hub, "/estate/config/").await.unwrap_err();
        assert_eq!(finding.reason, reason, "{finding}");
        handle.clear();
    }
    assert_eq!(list(&hub, "/estate/config/").await.unwrap().len(), 15);
    assert_eq!(list(&hub, "/nothing/").await.unwrap().len(), 0);
}

#[tokio::test]
async fn whether_a_member_is_gone_is_asked_by_name() {
    let bed = Bed::start().await;
    bed.region().put_parameter("/a", "1").unwrap();
    let hub = bed.hub().await;
    let none = Default::default();
    let standing = |text: &'static str| {
        let (hub, none) = (hub.clone(), &none);
        async move { hub.standing(&ask(text), none).await }
    };
    assert_eq!(standing("/a").await.unwrap(), Standing::There);
    assert_eq!(standing("/gone").await.unwrap(), Standing::Gone);
    let denied = bed.aws.fault(Fault::denied().on("GetParameters"));
    assert_eq!(
        standing("/a").await.unwrap_err().reason,
        Reason::AccessDenied
    );
    denied.clear();
    assert_eq!(bed.calls(), (0, 0, 0));
}

#[tokio::test]
async fn a_sweep_reads_ten_a_call_and_tells_only_of_what_has_moved() {
    let bed = Bed::start().await;
    let followers = Followers::of(&bed).await;
    let names: Vec<String> = (0..25).map(|n| format!("/estate/p{n:02}")).collect();
    for name in &names {
        bed.region().put_parameter(name, "1").unwrap();
    }
    let asks: Vec<EntryAsk> = names.iter().map(|name| ask(name)).collect();
    let reads = read_all(&followers.hub, &asks).await;
    let known = |n: usize| at(&reads[n].as_ref().unwrap().version_id);
    let entries: Vec<_> = asks.iter().cloned().zip((0..25).map(known)).collect();
    bed.region().put_parameter(&names[7], "2").unwrap();
    bed.aws.reset_counts();
    let told = followers
        .round(|| {
            followers.resume("first", &entries[..10], LONG);
            followers.resume("second", &entries[10..], LONG);
        })
        .await;
    assert_eq!(told, ["first"]);
    assert_eq!(gets(&bed), 3);
    assert_eq!(bed.calls(), (0, 0, 0));
}
