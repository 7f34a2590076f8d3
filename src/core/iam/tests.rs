#![allow(clippy::unwrap_used)]
use serde_json::{Value, json};

use super::*;
use crate::core::{ParseSettings, parse};

const ACCOUNT: &str = "111122223333";
const REGION: &str = "ap-northeast-2";

fn recipe(spec: Value) -> Recipe {
    let spec = serde_json::from_value(spec).unwrap();
    parse("estate", "one", &spec, &ParseSettings::default()).unwrap()
}

fn facts() -> Facts {
    Facts {
        account: Some(ACCOUNT.into()),
        region: Some(REGION.into()),
        ..Facts::default()
    }
}

fn asker<'a>(recipe: &'a Recipe, known_as: Option<&'a str>) -> Asker<'a> {
    Asker {
        namespace: "estate",
        name: "one",
        recipe,
        known_as,
        seen_in: None,
    }
}

/// The statements of each identity.
fn written(specs: &[Value], facts: &Facts) -> Value {
    let recipes: Vec<Recipe> = specs.iter().cloned().map(recipe).collect();
    let askers: Vec<Asker<'_>> = recipes.iter().map(|r| asker(r, None)).collect();
    let all = policies(&askers, facts).unwrap();
    all.iter()
        .map(|(who, policy)| (who.to_string(), json!(policy.statements)))
        .collect()
}

/// Actions and resources of each statement of the operator.
fn lines(specs: &[Value], facts: &Facts) -> Vec<String> {
    let all = written(specs, facts);
    let words = |field: &Value| {
        let words = field.as_array().unwrap().iter().map(|w| {
            let word = w.as_str().unwrap();
            let start = format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:");
            word.replace("secretsmanager:", "")
                .replace(&start.replace("secretsmanager:", ""), "")
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let statements = all["operator"].as_array().unwrap().iter();
    statements
        .map(|s| format!("{}: {}", words(&s["Action"]), words(&s["Resource"])))
        .collect()
}

const READ: &str = "GetSecretValue DescribeSecret: ";
const DECRYPT: &str = "kms:Decrypt: arn:aws:kms:ap-northeast-2:111122223333:key/*";

#[test]
fn each_reference_has_exactly_its_arns() {
    let arn =
        |resource: &str| format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{resource}");
    for (from, expected) in [
        (
            json!({"secret": "estate/rds/password"}),
            "estate/rds/password-??????",
        ),
        // A name is a name, also where it looks like more.
        (
            json!({"secret": "estate/jwt-secret"}),
            "estate/jwt-secret-??????",
        ),
        (
            json!({"secret": arn("ecomind/database")}),
            "ecomind/database-??????",
        ),
        // Complete, or the name of one that is not.
        (
            json!({"secret": arn("estate/db-AbCdEf")}),
            "estate/db-AbCdEf estate/db-AbCdEf-??????",
        ),
        (
            json!({"secret": format!("{}:password::", arn("ecomind/database"))}),
            "ecomind/database-??????",
        ),
    ] {
        let specs = [json!({"data": [{"key": "A", "from": from}]})];
        assert_eq!(
            lines(&specs, &facts()),
            [format!("{READ}{expected}"), DECRYPT.into()]
        );
    }
    let optional = json!({"data": [{"key": "A", "from": {"secret": "a"}, "optional": true}]});
    assert_eq!(
        lines(&[optional], &facts()),
        [format!("{READ}a a-??????"), DECRYPT.into()]
    );
    let group = json!({"dataFrom": [{"prefix": "gaara-store/production/"}, {"secret": "gaara-store/production/x"}, {"secret": "other"}]});
    assert_eq!(
        lines(&[group], &facts()),
        [
            format!("{READ}gaara-store/production/* other-??????"),
            "BatchGetSecretValue ListSecrets: *".into(),
            DECRYPT.into()
        ]
    );
}

#[test]
fn only_what_the_sweep_needs() {
    let many = |count: usize, interval: &str| {
        let data: Vec<Value> = (0..count)
            .map(|n| json!({"key": format!("K{n}"), "from": {"secret": format!("e{n:02}")}}))
            .collect();
        json!({"data": data, "refreshInterval": interval})
    };
    use SweepMode::{Auto, Batch, Describe, List};
    for (look, count, interval, expected) in [
        (Auto, 1, "5m", None),
        (Auto, 20, "5m", Some("BatchGetSecretValue: *")),
        (Auto, 21, "5m", Some("BatchGetSecretValue ListSecrets: *")),
        (Auto, 21, "299s", Some("BatchGetSecretValue: *")),
        (List, 1, "1m", Some("ListSecrets: *")),
        (List, 2, "1m", Some("BatchGetSecretValue ListSecrets: *")),
        (Describe, 1, "5m", None),
        (Describe, 30, "5m", Some("BatchGetSecretValue: *")),
        (Batch, 30, "5m", Some("BatchGetSecretValue: *")),
    ] {
        let facts = Facts { look, ..facts() };
        let lines = lines(&[many(count, interval)], &facts);
        let broad = lines.iter().find(|line| line.ends_with(": *"));
        assert_eq!(
            broad.map(String::as_str),
            expected,
            "{look:?} {count} {interval}"
        );
    }
    // A pinned version is read, and nothing else.
    let id = "4c1e5d7a-0000-4000-8000-000000000001";
    let pinned = json!({"data": [{"key": "A", "from": {"secret": "a", "versionId": id}}, {"key": "B", "from": {"secret": "b", "versionStage": "BLUE"}}]});
    assert_eq!(
        lines(std::slice::from_ref(&pinned), &facts()),
        [
            format!("{READ}b-??????"),
            "GetSecretValue: a-??????".into(),
            DECRYPT.into()
        ]
    );
    // What another binding follows needs no second mention.
    let both = [
        pinned,
        json!({"data": [{"key": "A", "from": {"secret": "a"}}]}),
    ];
    assert_eq!(
        lines(&both, &facts()),
        [format!("{READ}a-?????? b-??????"), DECRYPT.into()]
    );
}

#[test]
fn regions_roles_and_keys() {
    let spec = json!({
        "source": {"region": "cn-north-1", "failoverRegions": ["cn-northwest-1"]},
        "data": [{"key": "A", "from": {"secret": "a"}}],
    });
    let key = "arn:aws-cn:kms:cn-north-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let one = Facts {
        keys: Some(vec![key.parse().unwrap()]),
        ..facts()
    };
    let statements = &written(&[spec], &one)["operator"];
    assert_eq!(
        statements[0]["Resource"],
        json!([
            "arn:aws-cn:secretsmanager:cn-north-1:111122223333:secret:a-??????",
            "arn:aws-cn:secretsmanager:cn-northwest-1:111122223333:secret:a-??????",
        ])
    );
    assert_eq!(
        statements[1],
        json!({
            "Sid": "Decrypt", "Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": [key],
            "Condition": {"StringEquals": {"kms:ViaService": [
                "secretsmanager.cn-north-1.amazonaws.com.cn", "secretsmanager.cn-northwest-1.amazonaws.com.cn"]}},
        })
    );

    let role = "arn:aws:iam::444455556666:role/reader";
    let data = json!([{"key": "A", "from": {"secret": "a"}}]);
    let specs = [
        json!({"source": {"roleArn": role}, "data": data}),
        json!({"source": {"serviceAccountName": "backend"}, "data": data}),
    ];
    let all = written(
        &specs,
        &Facts {
            keys: Some(Vec::new()),
            ..facts()
        },
    );
    let resource = |account: &str| {
        json!([format!(
            "arn:aws:secretsmanager:{REGION}:{account}:secret:a-??????"
        )])
    };
    assert_eq!(
        all["operator"],
        json!([{"Sid": "Assume", "Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": [role]}])
    );
    // Names are looked up in the role's own account.
    assert_eq!(all[role][0]["Resource"], resource("444455556666"));
    assert_eq!(all["estate/backend"][0]["Resource"], resource(ACCOUNT));
    // No customer managed key: nothing about keys.
    assert_eq!(all[role].as_array().unwrap().len(), 1);
}

#[test]
fn the_account_is_said_seen_or_read_from_arns() {
    let named = recipe(json!({"data": [{"key": "A", "from": {"secret": "a"}}]}));
    let arn = "arn:aws:secretsmanager:ap-northeast-2:777788889999:secret:b-AbCdEf";
    let mixed = recipe(
        json!({"data": [{"key": "A", "from": {"secret": "a"}}, {"key": "B", "from": {"secret": arn}}]}),
    );
    let seen = "arn:aws:sts::222233334444:assumed-role/op/keyferry";
    let unsaid = Facts {
        account: None,
        ..facts()
    };
    let resources = |askers: &[Asker<'_>], facts: &Facts| {
        policies(askers, facts)
            .map(|all| json!(all[&Identity::Operator].statements[0])["Resource"].clone())
    };
    let of = |account: &str, name: &str| {
        format!("arn:aws:secretsmanager:{REGION}:{account}:secret:{name}-??????")
    };
    assert_eq!(
        resources(&[asker(&named, Some(seen))], &unsaid).unwrap(),
        json!([of("222233334444", "a")])
    );
    // One binding's status tells of the others that read as the same.
    assert_eq!(
        resources(&[asker(&named, None), asker(&named, Some(seen))], &unsaid).unwrap(),
        json!([of("222233334444", "a")])
    );
    assert_eq!(
        resources(&[asker(&named, Some(seen))], &facts()).unwrap(),
        json!([of(ACCOUNT, "a")])
    );
    assert_eq!(
        resources(&[asker(&mixed, None)], &unsaid).unwrap()[0],
        json!(of("777788889999", "a"))
    );
    let why = resources(&[asker(&named, None)], &unsaid)
        .unwrap_err()
        .to_string();
    assert_eq!(
        why,
        "the account of binding estate/one is not known: name the account that reads with --account"
    );
    let nowhere = Facts {
        region: None,
        ..facts()
    };
    let why = resources(&[asker(&named, None)], &nowhere)
        .unwrap_err()
        .to_string();
    assert_eq!(
        why,
        "the region of binding estate/one is not known: set source.region, or name the operator's with --region"
    );
}

#[test]
fn keys_are_named_by_their_arn() {
    let good = "arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab";
    assert_eq!(good.parse::<KeyArn>().unwrap().as_str(), good);
    for (text, why) in [
        ("alias/estate", KeyArnError::Alias),
        (
            "arn:aws:kms:us-east-1:111122223333:alias/estate",
            KeyArnError::Alias,
        ),
        ("1234abcd", KeyArnError::Shape),
        (
            "arn:aws:kms:us-east-1:111122223333:key/*",
            KeyArnError::Shape,
        ),
        (
            "arn:aws:s3:us-east-1:111122223333:key/1",
            KeyArnError::Shape,
        ),
    ] {
        assert_eq!(text.parse::<KeyArn>(), Err(why), "{text}");
    }
}

#[test]
fn trust_is_for_one_service_account() {
    let subject: Subject = "keyferry/keyferry".parse().unwrap();
    let issuer = "oidc.eks.cn-north-1.amazonaws.com.cn/id/0123ABCD";
    let arn = format!("arn:aws-cn:iam::{ACCOUNT}:oidc-provider/{issuer}");
    let expected = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Federated": arn}, "Action": ["sts:AssumeRoleWithWebIdentity"],
        "Condition": {"StringEquals": {
            format!("{issuer}:aud"): ["sts.amazonaws.com"],
            format!("{issuer}:sub"): ["system:serviceaccount:keyferry:keyferry"],
        }},
    }]});
    for provider in [format!("https://{issuer}/"), issuer.to_owned(), arn.clone()] {
        assert_eq!(
            json!(irsa(&provider, Some(ACCOUNT), &subject).unwrap()),
            expected
        );
    }
    assert_eq!(irsa(issuer, None, &subject), Err(TrustError::Account));
    assert_eq!(json!(irsa(&arn, None, &subject).unwrap()), expected);
    for bad in [
        "",
        "nothing",
        "arn:aws:iam::1:oidc-provider/a.b",
        "https://a.b/ c",
    ] {
        assert_eq!(
            irsa(bad, Some(ACCOUNT), &subject),
            Err(TrustError::Provider),
            "{bad}"
        );
    }
    assert_eq!(
        json!(pod_identity(&subject)),
        json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"}, "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {"StringEquals": {
                "aws:RequestTag/kubernetes-namespace": ["keyferry"], "aws:RequestTag/kubernetes-service-account": ["keyferry"]}},
        }]})
    );
    let role = json!(assume_role(
        "arn:aws:iam::1:role/op",
        &BTreeSet::from(["x1".to_owned()])
    ));
    assert_eq!(
        role["Statement"][0]["Condition"],
        json!({"StringEquals": {"sts:ExternalId": ["x1"]}})
    );
    for bad in ["keyferry", "a/b/c", "A/b", "/b"] {
        assert_eq!(bad.parse::<Subject>(), Err(TrustError::Subject), "{bad}");
    }
}

#[test]
fn size_is_counted_as_iam_does() {
    let recipe = recipe(json!({"data": [{"key": "A", "from": {"secret": "a"}}]}));
    let all = policies(&[asker(&recipe, None)], &facts()).unwrap();
    let policy = &all[&Identity::Operator];
    let pretty = serde_json::to_string_pretty(policy).unwrap();
    assert_eq!(
        policy.chars(),
        pretty.split_whitespace().map(str::len).sum::<usize>()
    );
    assert!(policy.chars() < MANAGED_POLICY_CHARS);
}

#[test]
fn the_region_is_written_seen_or_said() {
    let data = json!([{"key": "A", "from": {"secret": "a"}}]);
    let plain = recipe(json!({"data": data}));
    let failing = recipe(json!({"source": {"failoverRegions": ["eu-west-1"]}, "data": data}));
    let written = recipe(json!({"source": {"region": "us-east-1"}, "data": data}));
    for (recipe, expected) in [
        (&plain, "eu-west-1"),
        (&failing, REGION),
        (&written, "us-east-1"),
    ] {
        let asker = Asker {
            seen_in: Some("eu-west-1"),
            ..asker(recipe, None)
        };
        let all = policies(&[asker], &facts()).unwrap();
        let first = json!(all[&Identity::Operator].statements[0]);
        let resources = first["Resource"].to_string();
        assert!(resources.contains(&format!(":{expected}:")), "{resources}");
    }
}

#[test]
fn parameters_have_exactly_their_arns_and_paths_are_listed() {
    let spec = json!({
        "data": [
            {"key": "A", "from": {"secret": "estate/a"}},
            {"key": "B", "from": {"parameter": "/estate/config/log-level"}},
            {"key": "C", "from": {"parameter": "/estate/config/log-level:3"}, "optional": true},
            {"key": "D", "from": {"parameter": "plain:blue"}},
            {"key": "E", "from": {"parameter": format!("arn:aws:ssm:{REGION}:444455556666:parameter/theirs")}},
            {"key": "F", "from": {"parameter": "/estate/flags/one"}},
        ],
        "dataFrom": [{"parameterPath": "/estate/flags"}],
    });
    let of = |account: &str, name: &str| format!("arn:aws:ssm:{REGION}:{account}:parameter/{name}");
    let own = |name: &str| of(ACCOUNT, name);
    let statements = written(&[spec], &facts())["operator"].clone();
    let named = |sid: &str| {
        let mut all = statements.as_array().unwrap().iter();
        all.find(|s| s["Sid"] == sid).unwrap().clone()
    };
    let read = named("ReadParameters");
    assert_eq!(read["Action"], json!(["ssm:GetParameters"]));
    let resources = [
        own("estate/config/log-level"),
        own("estate/flags/*"),
        own("plain"),
        of("444455556666", "theirs"),
    ];
    assert_eq!(read["Resource"], json!(resources));
    let list = named("ListPaths");
    assert_eq!(list["Action"], json!(["ssm:GetParametersByPath"]));
    assert_eq!(list["Resource"], json!([own("estate/flags/*")]));
    let via = [
        format!("secretsmanager.{REGION}.amazonaws.com"),
        format!("ssm.{REGION}.amazonaws.com"),
    ];
    let decrypt = named("Decrypt");
    assert_eq!(
        decrypt["Condition"]["StringEquals"]["kms:ViaService"],
        json!(via)
    );
    // One secret alone is no batch, and none of this asks Secrets Manager to list.
    assert!(
        statements
            .as_array()
            .unwrap()
            .iter()
            .all(|s| s["Sid"] != "Find")
    );
}

#[test]
fn without_parameters_nothing_is_allowed_of_parameter_store() {
    let only = |from: Value| {
        let spec = json!({"data": [{"key": "A", "from": from}]});
        written(&[spec], &facts()).to_string()
    };
    assert!(!only(json!({"secret": "a"})).contains("ssm"));
    assert!(!only(json!({"parameter": "/a"})).contains("secretsmanager"));
}
