//! ListSecrets, DescribeSecret and ListSecretVersionIds.

use aws_sdk_secretsmanager::types::{Filter, SortOrderType};
use keyferry_testkit::aws::{CURRENT, PREVIOUS, Region, SecretValue};

use crate::kit::*;

async fn names(sm: &Sm, filters: &[(&str, &[&str])]) -> Vec<String> {
    let filter = |(key, values): &(&str, &[&str])| {
        let values = values.iter().map(|v| (*v).to_owned()).collect();
        Filter::builder()
            .key((*key).into())
            .set_values(Some(values))
            .build()
    };
    let filters = filters.iter().map(filter).collect();
    let call = sm.list_secrets().set_filters(Some(filters));
    let page = call.send().await.unwrap();
    page.secret_list()
        .iter()
        .filter_map(|s| s.name().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn lists_come_in_pages_of_a_hundred() {
    let aws = start().await;
    let sm = client(&aws);
    let region = here(&aws);
    for n in 0..250 {
        region.create(&format!("s{n:03}"), "v").unwrap();
    }
    let mut seen = Vec::new();
    let mut pages = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let page = sm
            .list_secrets()
            .set_next_token(token)
            .send()
            .await
            .unwrap();
        pages.push(page.secret_list().len());
        seen.extend(
            page.secret_list()
                .iter()
                .map(|s| s.name().unwrap().to_owned()),
        );
        token = page.next_token().map(str::to_owned);
        if token.is_none() {
            break;
        }
        // Pages do not shift when something before them goes.
        let _ = region.force_delete("s000");
    }
    assert_eq!(pages, [100, 100, 50]);
    assert_eq!(
        seen,
        (0..250).map(|n| format!("s{n:03}")).collect::<Vec<_>>()
    );
    let newest = sm
        .list_secrets()
        .sort_order(SortOrderType::Desc)
        .max_results(1);
    let newest = newest.send().await.unwrap();
    assert_eq!(newest.secret_list()[0].name(), Some("s249"));
    assert_eq!(
        code(sm.list_secrets().max_results(101).send().await),
        "ValidationException"
    );
    let foreign = sm
        .list_secrets()
        .set_next_token(newest.next_token().map(str::to_owned));
    assert_eq!(code(foreign.send().await), "InvalidNextTokenException");
    let bad = sm.list_secrets().next_token("100").send().await;
    assert_eq!(code(bad), "InvalidNextTokenException");
}

#[tokio::test]
async fn pages_that_count_entries_shift_when_entries_come_or_go() {
    let aws = start().await;
    let sm = client(&aws);
    let region = here(&aws);
    for name in ["a", "b", "c", "d", "e"] {
        region.create(name, "v").unwrap();
    }
    region.shift_pages(2);
    let pages = |order: SortOrderType, between: fn(&Region)| {
        let (sm, region) = (&sm, &region);
        async move {
            let (mut seen, mut token) = (String::new(), None::<String>);
            for number in 0.. {
                let call = sm.list_secrets().sort_order(order.clone());
                let page = call.set_next_token(token).send().await.unwrap();
                let names = page.secret_list().iter().filter_map(|s| s.name());
                seen.extend(names.chain(["|"]));
                token = page.next_token().map(str::to_owned);
                if token.is_none() {
                    break;
                }
                if number == 0 {
                    between(region);
                }
            }
            seen
        }
    };
    let asc = || SortOrderType::Asc;
    assert_eq!(pages(asc(), |_| {}).await, "ab|cd|e|");
    let gone: fn(&Region) = |region| region.delete("a", 7).unwrap();
    assert_eq!(pages(asc(), gone).await, "ab|de|", "c is nowhere");
    let back: fn(&Region) = |region| region.restore("a").unwrap();
    assert_eq!(pages(asc(), back).await, "bc|cd|e|", "c comes twice");
    let new: fn(&Region) = |region| drop(region.create("f", "v").unwrap());
    assert_eq!(pages(SortOrderType::Desc, new).await, "ed|dc|ba|");
}

#[tokio::test]
async fn lists_are_filtered() {
    let aws = start().await;
    let sm = client(&aws);
    let region = here(&aws);
    for name in ["prod/db", "prod/api", "Prod/x", "dev/db"] {
        region.create(name, "v").unwrap();
    }
    region.tag("prod/db", "team", "payments").unwrap();
    region.tag("dev/db", "team", "search").unwrap();
    assert_eq!(
        names(&sm, &[("name", &["prod/"])]).await,
        ["prod/db", "prod/api"]
    );
    assert_eq!(names(&sm, &[("name", &["prod/", "dev"])]).await.len(), 3);
    assert_eq!(
        names(&sm, &[("name", &["!prod/"])]).await,
        ["Prod/x", "dev/db"]
    );
    assert_eq!(
        names(&sm, &[("tag-key", &["te"])]).await,
        ["prod/db", "dev/db"]
    );
    assert_eq!(names(&sm, &[("tag-value", &["pay"])]).await, ["prod/db"]);
    let both: [(&str, &[&str]); 2] = [("tag-key", &["team"]), ("name", &["dev"])];
    assert_eq!(names(&sm, &both).await, ["dev/db"]);
    let bad = Filter::builder().key("colour".into()).values("x").build();
    let bad = sm.list_secrets().filters(bad).send().await;
    assert_eq!(code(bad), "InvalidParameterException");
}

#[tokio::test]
async fn lists_show_labelled_versions_and_hide_deleted_secrets() {
    let aws = start().await;
    let sm = client(&aws);
    let region = here(&aws);
    region.create("a", "1").unwrap();
    let second = region.put("a", "2").unwrap();
    let third = region.put("a", "3").unwrap();
    let page = sm.list_secrets().send().await.unwrap();
    let stages = page.secret_list()[0].secret_versions_to_stages().unwrap();
    assert_eq!(stages.len(), 2);
    assert_eq!(stages[&second], [PREVIOUS]);
    assert_eq!(stages[&third], [CURRENT]);
    region.delete("a", 7).unwrap();
    assert!(names(&sm, &[]).await.is_empty());
    let all = sm
        .list_secrets()
        .include_planned_deletion(true)
        .send()
        .await
        .unwrap();
    assert!(all.secret_list()[0].deleted_date().is_some());
}

#[tokio::test]
async fn lists_lag_while_held() {
    let aws = start().await;
    let sm = client(&aws);
    let region = here(&aws);
    region.create("a", "1").unwrap();
    let first = region.current_version("a").unwrap();
    region.hold_lists();
    let second = region.put("a", "2").unwrap();
    region.create("b", "1").unwrap();
    let versions = || async {
        let page = sm.list_secrets().send().await.unwrap();
        let current = |s: &aws_sdk_secretsmanager::types::SecretListEntry| {
            let stages = s.secret_versions_to_stages().unwrap();
            stages
                .iter()
                .find(|(_, l)| l.iter().any(|l| l == CURRENT))
                .unwrap()
                .0
                .clone()
        };
        page.secret_list().iter().map(current).collect::<Vec<_>>()
    };
    assert_eq!(versions().await, [first]);
    let described = sm.describe_secret().secret_id("a").send().await.unwrap();
    assert!(
        described
            .version_ids_to_stages()
            .unwrap()
            .contains_key(&second)
    );
    region.release_lists();
    assert_eq!(versions().await[0], second);
    assert_eq!(versions().await.len(), 2);
}

#[tokio::test]
async fn describe_and_version_ids_tell_the_versions() {
    let aws = start().await;
    let sm = client(&aws);
    let region = here(&aws);
    let arn = region.create("a", "1").unwrap();
    let first = region.current_version("a").unwrap();
    region.put("a", "2").unwrap();
    let pending = "p".repeat(36);
    let value = SecretValue::text("3");
    region
        .put_with_version("a", &pending, value, Some(&["AWSPENDING", "GREEN"]))
        .unwrap();
    region.put("a", "4").unwrap();
    region.tag("a", "k", "v").unwrap();
    let described = sm.describe_secret().secret_id(&arn).send().await.unwrap();
    let stages = described.version_ids_to_stages().unwrap();
    assert_eq!(stages.len(), 3);
    assert_eq!(stages[&pending], ["AWSPENDING", "GREEN"]);
    assert_eq!(described.tags()[0].value(), Some("v"));
    assert!(described.last_accessed_date().is_none());
    let count = |all: bool| {
        let call = sm
            .list_secret_version_ids()
            .secret_id("a")
            .include_deprecated(all);
        async { call.send().await.unwrap().versions().len() }
    };
    assert_eq!((count(false).await, count(true).await), (3, 4));
    let old = sm.get_secret_value().secret_id("a").version_id(first);
    let old = old.send().await.unwrap();
    assert_eq!(old.secret_string(), Some("1"));
    assert!(old.version_stages().is_empty());
    let none = sm.describe_secret().secret_id("none").send().await;
    assert_eq!(code(none), "ResourceNotFoundException");
}
