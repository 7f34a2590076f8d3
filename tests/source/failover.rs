//! What calls for another region, and how its replicas are read.

use keyferry::{
    api::Reason,
    core::failover::{as_of, ask_in},
    source::{Freshness, IdentityAsk, Sources},
};
use keyferry_testkit::aws::Fault;

use crate::kit::*;

const TOKYO: &str = "ap-northeast-1";
const WEB: &str = "AssumeRoleWithWebIdentity";

fn in_tokyo(ask: IdentityAsk) -> IdentityAsk {
    IdentityAsk {
        region: Some(TOKYO.into()),
        sts_region: Some(TOKYO.into()),
        ..ask
    }
}

#[tokio::test]
async fn a_replica_is_read_by_name_partial_and_full_arn_and_looks_like_its_primary() {
    let bed = Bed::start().await;
    let arn_here = bed.region().create("eu/db", "1").unwrap();
    bed.region().replicate("eu/db", TOKYO).unwrap();
    let here = bed.hub().await;
    let there = bed.sources.hub(&in_tokyo(operator())).await.unwrap();
    for ask in [name("eu/db"), own_arn("eu/db"), arn(&arn_here)] {
        let own = here.read(&ask, Freshness::Anew).await.unwrap();
        let replica = there.read(&ask_in(TOKYO, &ask), Freshness::Anew).await;
        assert_eq!(text(&replica), "1", "{ask:?}");
        let replica = replica.unwrap();
        assert_ne!(replica.arn, own.arn);
        let as_own = as_of(REGION, &replica);
        let of = |entry: &keyferry::core::Entry| {
            (
                entry.arn.clone(),
                entry.name.clone(),
                entry.version_id.clone(),
                entry.created,
            )
        };
        assert_eq!(of(&as_own), of(&own), "{ask:?}");
    }
    let finding = refused(there.read(&arn(&arn_here), Freshness::Anew).await);
    assert_eq!(
        finding.reason,
        Reason::SecretNotFound,
        "the fake knows regions apart"
    );
}

#[tokio::test]
async fn the_other_regions_sts_is_asked_once_and_shared() {
    let bed = Bed::start().await;
    let role = "arn:aws:iam::111122223333:role/reader";
    let reader = keyferry_testkit::aws::Role::new(role)
        .trust_principal(OPERATOR)
        .allow_session_tag("keyferry-namespace", "*")
        .allow(&["*"], &["*"]);
    bed.aws.put_role(reader);
    bed.region().create("a", "1").unwrap();
    bed.region().create("b", "2").unwrap();
    bed.region().replicate("a", TOKYO).unwrap();
    bed.region().replicate("b", TOKYO).unwrap();
    let ask = IdentityAsk {
        role_arn: Some(role.into()),
        ..operator()
    };
    let down = Fault::error(500, "InternalFailure").region(REGION);
    bed.aws.fault(down);
    let here = bed.sources.hub(&ask).await.unwrap();
    let finding = here.caller().await.unwrap_err();
    assert!(finding.outage, "{finding}");
    bed.aws.reset_counts();
    for entry in ["a", "b"] {
        let there = bed.sources.hub(&in_tokyo(ask.clone())).await.unwrap();
        there.caller().await.unwrap();
        let read = there.read(&name(entry), Freshness::Anew).await;
        read.unwrap();
    }
    let calls = bed.aws.calls();
    let signed = calls.iter().filter(|call| call.operation != WEB);
    assert!(signed.clone().all(|call| call.region == TOKYO));
    assert_eq!(bed.aws.count("AssumeRole"), 1);
    assert_eq!(
        bed.aws.count(WEB),
        1,
        "the base's session is that region's, too"
    );
}

#[tokio::test]
async fn an_outage_is_silence_or_a_fault_of_the_region_and_no_answer_is_one() {
    let answers = [
        (Fault::error(500, "InternalServiceError"), true),
        (Fault::error(503, "ServiceUnavailable"), true),
        (Fault::cut_body(), true),
        (Fault::not_json(502), true),
        (Fault::not_json(403), false),
        (Fault::denied(), false),
        (Fault::error(400, "ResourceNotFoundException"), false),
        (Fault::error(400, "InvalidRequestException"), false),
        (Fault::error(400, "InvalidParameterException"), false),
        (Fault::error(400, "DecryptionFailure"), false),
        (Fault::error(400, "ExpiredTokenException"), false),
        (Fault::throttled(None), false),
    ];
    for (fault, outage) in answers {
        let bed = Bed::impatient().await;
        bed.region().create("a", "1").unwrap();
        let hub = bed.hub().await;
        let which = format!("{fault:?}");
        bed.aws.fault(fault);
        let finding = refused(hub.read(&name("a"), Freshness::Anew).await);
        assert_eq!(finding.outage, outage, "{which}: {finding}");
    }
}

#[tokio::test]
async fn a_region_that_hangs_or_refuses_connections_is_out() {
    let bed = Bed::impatient().await;
    let hub = bed.hub().await;
    let hang = bed.aws.hang(|fault| fault.region(REGION));
    let finding = refused(hub.read(&name("a"), Freshness::Anew).await);
    assert!(finding.outage, "{finding}");
    drop(hang);

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let mut settings = settings(&bed.aws, bed.token_file.clone());
    settings.secrets_manager_endpoint = Some(nobody);
    let sources = Sources::new(settings, Default::default(), bed.issuer.requester());
    let hub = sources.await.unwrap().hub(&operator()).await.unwrap();
    let finding = refused(hub.read(&name("a"), Freshness::Anew).await);
    assert!(finding.outage, "{finding}");
}
