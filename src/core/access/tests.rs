#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

const OWN: &str = "111122223333";
const OTHER: &str = "444455556666";

fn request(namespace: &str, name: &str) -> AccessRequest {
    AccessRequest {
        namespace: namespace.to_owned(),
        asked: Asked::name(name),
        caller_account: Some(OWN.to_owned()),
        region: "ap-northeast-2".to_owned(),
        ..AccessRequest::default()
    }
}

fn policy(name: &str, change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy {
        name: name.to_owned(),
        namespaces: vec!["estate".to_owned()],
        secrets: vec!["estate/*".to_owned()],
        ..Policy::default()
    };
    change(&mut policy);
    policy
}

fn words(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn enforce(policies: &[Policy], request: &AccessRequest) -> Result<Allowed, Box<Refused>> {
    check(AccessMode::Enforce, policies, request)
}

fn refused_part(policies: &[Policy], request: &AccessRequest) -> Option<Part> {
    enforce(policies, request).err().map(|refused| refused.part)
}

#[test]
fn the_built_in_policy_lets_a_namespace_read_under_its_own_name() {
    let policies = [Policy::built_in()];
    let cases = [
        ("estate", "estate/rds/password", true),
        ("estate", "estate", false),
        ("estate", "estates/rds", false),
        ("estate", "pay/stripe", false),
        ("pay", "pay/stripe", true),
        ("est", "estate/rds/password", false),
    ];
    for (namespace, name, wanted) in cases {
        let answer = enforce(&policies, &request(namespace, name));
        assert_eq!(answer.is_ok(), wanted, "{namespace} {name}");
    }
}

#[test]
fn parameters_are_allowed_by_name_and_never_by_the_globs_of_secrets() {
    let policies = [
        Policy::built_in(),
        policy("all secrets", |p| p.secrets = words(&["*"])),
        policy("config", |p| {
            p.secrets.clear();
            p.parameters = words(&["/{namespace}/config/*", "plain"]);
        }),
    ];
    let parameter = |names: &[&str]| Asked::Parameter(words(names));
    let path = |path: &str| Asked::Path(path.to_owned());
    for (what, wanted) in [
        (parameter(&["/estate/config/log-level"]), true),
        (parameter(&["/estate/secret"]), false),
        (parameter(&["/pay/config/x"]), false),
        (path("/estate/config/"), true),
        (path("/estate/config/sub/"), true),
        (path("/estate/"), false),
        // An ARN of one level: both names must be allowed.
        (parameter(&["plain"]), true),
        (parameter(&["plain", "/plain"]), false),
        (parameter(&[]), false),
        // Nothing that allows parameters allows secrets.
        (Asked::name("/estate/config/log-level"), true),
    ] {
        let asked = AccessRequest {
            asked: what.clone(),
            ..request("estate", "")
        };
        assert_eq!(enforce(&policies, &asked).is_ok(), wanted, "{what:?}");
    }
    let secret = request("estate", "/estate/config/log-level");
    assert!(enforce(&policies[2..], &secret).is_err());
}

#[test]
fn a_refused_parameter_is_called_one() {
    let named = |asked: Asked, policies: &[Policy]| {
        let asked = AccessRequest {
            asked,
            ..request("estate", "")
        };
        enforce(policies, &asked).unwrap_err().to_string()
    };
    let one = || Asked::Parameter(words(&["/estate/config/x"]));
    assert_eq!(
        named(one(), &[Policy::built_in()]),
        "No SecretAccessPolicy lets namespace estate read parameter \"/estate/config/x\" (policy \"default\" allows no parameters)."
    );
    let pay = policy("pay", |p| p.parameters = words(&["/pay/*"]));
    assert_eq!(
        named(Asked::Path("/estate/".into()), &[pay]),
        "No SecretAccessPolicy lets namespace estate read parameter \"/estate/*\" (policy \"pay\" allows /pay/*)."
    );
    let both = named(Asked::Parameter(words(&["a", "/a"])), &[Policy::built_in()]);
    assert!(
        both.ends_with("begins with a slash, so both names must be allowed."),
        "{both}"
    );
}

#[test]
fn without_a_policy_nothing_is_read() {
    assert_eq!(
        refused_part(&[], &request("estate", "estate/a")),
        Some(Part::Entry)
    );
    let nothing = AccessRequest {
        namespace: "estate".to_owned(),
        ..AccessRequest::default()
    };
    assert_eq!(
        refused_part(&[Policy::built_in()], &nothing),
        Some(Part::Entry)
    );
}

#[test]
fn namespaces_are_chosen_by_name_or_by_all_labels() {
    let by_label = policy("l", |p| {
        p.namespaces.clear();
        p.match_labels = [("team", "a"), ("stage", "prod")]
            .map(|(k, v)| (k.into(), v.into()))
            .into();
    });
    let mut asked = request("any", "estate/a");
    let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    };
    for (pairs, wanted) in [
        (vec![], false),
        (vec![("team", "a")], false),
        (vec![("team", "a"), ("stage", "test")], false),
        (vec![("team", "a"), ("stage", "prod"), ("x", "y")], true),
    ] {
        asked.namespace_labels = labels(&pairs);
        assert_eq!(
            enforce(std::slice::from_ref(&by_label), &asked).is_ok(),
            wanted,
            "{pairs:?}"
        );
    }
    let neither = policy("n", |p| p.namespaces.clear());
    assert!(
        enforce(&[neither], &asked).is_err(),
        "an empty selection chooses nobody"
    );
    let every = policy("e", |p| p.namespaces = words(&["*"]));
    assert!(enforce(&[every], &request("x", "estate/a")).is_ok());
    let pattern = policy("p", |p| p.namespaces = words(&["est*"]));
    assert!(
        enforce(&[pattern], &request("estate", "estate/a")).is_err(),
        "names are no globs"
    );
}

#[test]
fn both_readings_of_an_arn_must_be_allowed() {
    assert_eq!(readings("a/db"), words(&["a/db"]));
    assert_eq!(readings("a/jwt-secret"), words(&["a/jwt-secret", "a/jwt"]));
    assert_eq!(readings("a-b-AbCdEf"), words(&["a-b-AbCdEf", "a-b"]));
    assert_eq!(readings("a-Ab_dEf"), words(&["a-Ab_dEf"]));
    assert_eq!(readings("-AbCdEf"), words(&["-AbCdEf"]));
    let arn = |resource: &str| {
        let mut asked = request("estate", "");
        asked.asked = Asked::arn(&SecretArn {
            partition: "aws".to_owned(),
            region: "ap-northeast-2".to_owned(),
            account: OWN.to_owned(),
            resource: resource.to_owned(),
        });
        asked
    };
    let cases: [(&[&str], &str, bool); 6] = [
        (&["estate/*"], "estate/db-AbCdEf", true),
        (&["estate/db"], "estate/db-AbCdEf", false),
        (&["estate/db-??????"], "estate/db-AbCdEf", false),
        (&["estate/db", "estate/db-??????"], "estate/db-AbCdEf", true),
        (&["estate/jwt-secret"], "estate/jwt-secret", false),
        (&["estate/plain"], "estate/plain", true),
    ];
    for (secrets, resource, wanted) in cases {
        let policies = [policy("p", |p| p.secrets = words(secrets))];
        let answer = enforce(&policies, &arn(resource));
        assert_eq!(answer.is_ok(), wanted, "{secrets:?} {resource}");
    }
    let split = [
        policy("bare", |p| p.secrets = words(&["estate/db"])),
        policy("full", |p| p.secrets = words(&["estate/db-*"])),
    ];
    assert!(
        enforce(&split, &arn("estate/db-AbCdEf")).is_err(),
        "one policy must allow both"
    );
}

#[test]
fn a_prefix_needs_a_policy_for_everything_under_it() {
    let of = |prefix: &str| {
        let mut asked = request("estate", "");
        asked.asked = Asked::Prefix(prefix.to_owned());
        asked
    };
    let policies = [policy("p", |p| {
        p.secrets = words(&["estate/*", "shared/*/tls", "one"])
    })];
    for (prefix, wanted) in [
        ("estate/", true),
        ("estate/prod/", true),
        ("estate", false),
        ("e", false),
        ("shared/a/", false),
        ("one", false),
    ] {
        assert_eq!(enforce(&policies, &of(prefix)).is_ok(), wanted, "{prefix}");
    }
    assert!(enforce(&[Policy::built_in()], &of("estate/")).is_ok());
}

#[test]
fn accounts_default_to_the_callers_own() {
    let own_only = policy("own", |_| {});
    let listed = policy("listed", |p| p.accounts = words(&[OTHER]));
    let cases = [
        (&own_only, None, Some(OWN), true),
        (&own_only, None, None, true),
        (&own_only, Some(OWN), Some(OWN), true),
        (&own_only, Some(OTHER), Some(OWN), false),
        (&own_only, Some(OWN), None, false),
        (&listed, Some(OTHER), Some(OWN), true),
        (&listed, Some(OWN), Some(OWN), false),
        (&listed, None, Some(OWN), false),
        (&listed, None, Some(OTHER), true),
        (&listed, None, None, false),
    ];
    for (policy, account, caller, wanted) in cases {
        let mut asked = request("estate", "estate/a");
        asked.account = account.map(str::to_owned);
        asked.caller_account = caller.map(str::to_owned);
        let answer = enforce(std::slice::from_ref(policy), &asked);
        assert_eq!(
            answer.is_ok(),
            wanted,
            "{} {account:?} {caller:?}",
            policy.name
        );
    }
}

#[test]
fn regions_default_to_every_region_roles_and_service_accounts_to_none() {
    let open = policy("open", |_| {});
    let mut asked = request("estate", "estate/a");
    assert!(enforce(std::slice::from_ref(&open), &asked).is_ok());
    let seoul = policy("seoul", |p| p.regions = words(&["ap-northeast-2"]));
    assert!(enforce(std::slice::from_ref(&seoul), &asked).is_ok());
    asked.region = "us-east-1".to_owned();
    assert_eq!(refused_part(&[seoul], &asked), Some(Part::Region));

    let mut asked = request("estate", "estate/a");
    asked.role_arn = Some("arn:aws:iam::444455556666:role/estate-reader".to_owned());
    assert_eq!(
        refused_part(std::slice::from_ref(&open), &asked),
        Some(Part::Role)
    );
    let roles = policy("r", |p| {
        p.role_arns = words(&["arn:aws:iam::*:role/{namespace}-*"])
    });
    assert!(enforce(std::slice::from_ref(&roles), &asked).is_ok());
    asked.service_account = Some("backend".to_owned());
    assert_eq!(refused_part(&[roles], &asked), Some(Part::ServiceAccount));
    asked.role_arn = None;
    assert_eq!(refused_part(&[open], &asked), Some(Part::ServiceAccount));
    let accounts = policy("s", |p| p.service_accounts = words(&["back*"]));
    assert!(enforce(&[accounts], &asked).is_ok());
}

#[test]
fn one_policy_must_allow_every_part() {
    let role = "arn:aws:iam::444455556666:role/x";
    let policies = [
        policy("entry", |_| {}),
        policy("role", |p| {
            p.secrets = words(&["other/*"]);
            p.role_arns = words(&[role]);
        }),
    ];
    let mut asked = request("estate", "estate/a");
    asked.role_arn = Some(role.to_owned());
    assert_eq!(refused_part(&policies, &asked), Some(Part::Role));
}

#[test]
fn modes() {
    let asked = request("estate", "pay/stripe");
    let policies = [Policy::built_in()];
    assert_eq!(AccessMode::default(), AccessMode::Enforce);
    let parsed = ["enforce", "audit", "open"].map(|word| word.parse());
    let modes = [AccessMode::Enforce, AccessMode::Audit, AccessMode::Open];
    assert_eq!(parsed, modes.map(Ok));
    assert!("Enforce".parse::<AccessMode>().is_err());
    assert_eq!(check(AccessMode::Open, &[], &asked), Ok(Allowed::Open));
    let Ok(Allowed::AuditOnly(refused)) = check(AccessMode::Audit, &policies, &asked) else {
        panic!("audit lets it pass and says so");
    };
    assert_eq!(*enforce(&policies, &asked).unwrap_err(), refused);
    let good = request("estate", "estate/a");
    for mode in [AccessMode::Audit, AccessMode::Enforce] {
        let by = Allowed::ByPolicy("default".to_owned());
        assert_eq!(check(mode, &policies, &good), Ok(by));
    }
}

#[test]
fn a_refusal_says_who_what_and_what_is_allowed() {
    let text = |policies: &[Policy], request: &AccessRequest| {
        Finding::from(enforce(policies, request).unwrap_err().as_ref()).to_string()
    };
    assert_eq!(
        text(&[Policy::built_in()], &request("estate", "pay/stripe")),
        "No SecretAccessPolicy lets namespace estate read \"pay/stripe\" (policy \"default\" allows estate/*). A cluster admin can add it; we notice at once."
    );
    assert!(text(&[], &request("estate", "a")).contains("(no policy is about this namespace)"));
    let mut asked = request("estate", "estate/a");
    asked.account = Some(OTHER.to_owned());
    assert!(text(&[policy("p", |_| {})], &asked).contains(
        "read \"estate/a\" in account 444455556666 (policy \"p\" allows the caller's own)"
    ));
    let many = policy("many", |p| p.secrets = words(&["a", "b", "c", "d", "e"]));
    let crowd: Vec<Policy> = (0..5).map(|_| many.clone()).collect();
    let crowded = text(&crowd, &request("estate", "x"));
    assert!(crowded.contains("allows a b c and 2 more") && crowded.contains(", and 2 more)"));
    let mut by_arn = request("estate", "");
    by_arn.asked = Asked::Entry(words(&["estate/jwt-secret", "estate/jwt"]));
    let exact = policy("exact", |p| p.secrets = words(&["estate/jwt-secret"]));
    assert!(text(&[exact], &by_arn).contains(
        "read \"estate/jwt\" (policy \"exact\" allows estate/jwt-secret). An ARN may end"
    ));
}

#[test]
fn an_object_and_the_file_say_the_same() {
    let object: SecretAccessPolicy = serde_yaml::from_str(include_str!(
        "../../../examples/reference/access-policy.yaml"
    ))
    .unwrap();
    let from_object = Policy::from(&object);
    let yaml = r#"
policies:
- name: pay
  namespaces: {names: [pay, pay-staging]}
  secrets: ["{namespace}/*", "shared/tls-*"]
  parameters: ["/pay/*"]
  accounts: ["111122223333", "444455556666"]
  regions: [ap-northeast-2, eu-central-1]
  roleArns: ["arn:aws:iam::444455556666:role/{namespace}-*"]
  serviceAccounts: [backend]
"#;
    let mut from_file = parse_policy_file(yaml).unwrap();
    from_file[0].match_labels = from_object.match_labels.clone();
    assert_eq!(from_file, [from_object]);
    assert_eq!(parse_policy_file("policies: []"), Ok(Vec::new()));
    let bare = "policies: [{name: a, namespaces: {names: [b]}, accounts: [011122223333]}]";
    assert_eq!(
        parse_policy_file(bare).unwrap()[0].accounts,
        ["011122223333"]
    );
}

#[test]
fn a_wrong_file_says_where() {
    let head = "policies:\n- name: a\n  namespaces: {names: [b]}\n";
    let cases = [
        (String::new(), "to allow nothing write `policies: []`"),
        ("policies: 3".to_owned(), "line 1"),
        (format!("{head}  secrts: [x]\n"), "unknown field `secrts`"),
        (format!("{head}  secrts: [x]\n"), "line 4"),
        (
            format!("{head}  secrets: [\"{{ns}}/*\"]\n"),
            "{namespace} is the only name in braces at line 4",
        ),
        (format!("{head}  secrets: [\"\"]\n"), "must be a glob"),
        (
            format!("{head}  accounts: [\"12\"]\n"),
            "twelve digits of an AWS account, in quotes at line 4",
        ),
        (format!("{head}  accounts: [1.11122223333e+11]\n"), "line 4"),
        (
            "policies:\n- name: a\n  namespaces: {matchLabels: {a: b}}\n".to_owned(),
            "unknown field `matchLabels`, expected `names` at line 3",
        ),
        (
            "policies:\n- name: a\n  namespaces: {names: [\"team-*\"]}\n".to_owned(),
            "\"team-*\": must be the name of a namespace, or * for every namespace at line 3",
        ),
        (
            "policies:\n- name: a\n  namespaces: {names: []}\n".to_owned(),
            "policy \"a\": `namespaces.names` is empty",
        ),
        (
            format!("{head}- name: a\n  namespaces: {{names: [c]}}\n"),
            "two policies are named \"a\"",
        ),
        (
            "policies:\n- namespaces: {names: [c]}\n".to_owned(),
            "missing field `name`",
        ),
    ];
    for (yaml, wanted) in cases {
        let message = parse_policy_file(&yaml).unwrap_err();
        assert!(message.contains(wanted), "{yaml}\n{message}");
    }
}
