//! `keyferry iam-policy`: the least rights in AWS with which bindings are read.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    io::Write,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{ArgGroup, Args, ValueEnum};

use super::{
    Problems,
    bindings::{FileArgs, load},
    cluster::ClusterArgs,
    duration,
    manifests::Filenames,
};
use crate::{
    cluster::{BindingObject, BindingRow, ObjectKey},
    core::{
        ParseSettings, Recipe, SweepMode,
        iam::{self, Asker, Facts, Identity, KeyArn, MANAGED_POLICY_CHARS, Policy, Subject},
        parse,
        reference::{is_account, is_region},
    },
};

/// Arguments of `keyferry iam-policy`.
#[derive(Args, Clone, Debug)]
#[command(
    group = ArgGroup::new("of").required(true),
    after_help = "Examples:
  keyferry iam-policy backend -n estate
  keyferry iam-policy -f deploy/ --account 111122223333 --region us-east-1
  keyferry iam-policy --trust irsa --account 111122223333 \\
    --oidc-provider https://oidc.eks.us-east-1.amazonaws.com/id/0123456789ABCDEF

Exits with 1 when account or region of a reference is not known."
)]
pub struct IamPolicyArgs {
    /// Binding in the cluster
    #[arg(group = "of")]
    name: Option<String>,

    /// File, folder (with everything in it) or - for the standard input; may be repeated
    #[arg(
        short = 'f',
        long = "filename",
        group = "of",
        value_name = "FILE|DIR|-"
    )]
    filenames: Vec<PathBuf>,

    /// Every binding of the cluster
    #[arg(short = 'A', long, group = "of")]
    all_namespaces: bool,

    /// Who may become the role, instead of what it may do
    #[arg(long, group = "of", value_enum)]
    trust: Option<Trust>,

    #[command(flatten)]
    cluster: ClusterArgs,

    /// Longest time for all calls to the cluster
    #[arg(long, default_value = "20s", value_parser = duration::patience)]
    timeout: Duration,

    /// How the install looks for changes
    #[arg(long, value_name = "auto|list|describe|batch", default_value = "auto")]
    sweep: SweepMode,

    /// Account that reads [default: the one that the operator was seen in, else of the references' ARNs]
    #[arg(long, value_parser = account)]
    account: Option<String>,

    /// The operator's region, for bindings that name none
    #[arg(long, env = "AWS_REGION", value_parser = region)]
    region: Option<String>,

    /// ARN of the key that encrypts the entries, or none for aws/secretsmanager; may be repeated
    /// [default: any key, through Secrets Manager only]
    #[arg(long = "kms-key", value_name = "ARN|none")]
    kms_keys: Vec<String>,

    /// Whose policy, where several identities read: operator, a role's ARN, or NAMESPACE/SERVICEACCOUNT
    #[arg(long, value_name = "IDENTITY")]
    role: Option<String>,

    /// Issuer of the cluster's tokens, or the ARN of its provider in IAM (with --trust irsa)
    #[arg(long, value_name = "URL|ARN", required_if_eq("trust", "irsa"))]
    oidc_provider: Option<String>,

    /// ServiceAccount that becomes the role (with --trust irsa and pod-identity)
    #[arg(
        long,
        value_name = "NAMESPACE/NAME",
        default_value = "keyferry/keyferry"
    )]
    service_account: Subject,

    /// ARN of the role that becomes this one (with --trust role)
    #[arg(long, value_name = "ARN", required_if_eq("trust", "role"))]
    principal: Option<String>,

    /// External id that must be given (with --trust role)
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
}

/// How a role is become.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// IAM roles for service accounts
    Irsa,
    /// EKS Pod Identity
    PodIdentity,
    /// From another role, for bindings with source.roleArn
    Role,
}

fn account(text: &str) -> Result<String, String> {
    let good = is_account(text);
    good.then(|| text.to_owned())
        .ok_or_else(|| "an account has twelve digits".to_owned())
}

fn region(text: &str) -> Result<String, String> {
    let good = is_region(text);
    good.then(|| text.to_owned())
        .ok_or_else(|| "a region is called as us-east-1 is".to_owned())
}

/// A binding from wherever it comes.
struct Found {
    namespace: String,
    name: String,
    recipe: Recipe,
    known_as: Option<String>,
    seen_in: Option<String>,
}

/// Prints the policy.
///
/// # Errors
/// A line for each thing that is missing; or `out` takes no more.
pub async fn run(
    args: &IamPolicyArgs,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<ExitCode, Box<dyn Error>> {
    if let Some(trust) = args.trust {
        print(out, err, &trusting(args, trust)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let facts = facts(args)?;
    let found = found(args).await?;
    let mut policies = policies(&found, &facts)?;
    if let Some(wanted) = &args.role {
        let of = policies.keys().find(|who| who.to_string() == *wanted);
        let Some(of) = of.cloned() else {
            let there = names(&policies);
            return Err(
                Problems::one(format!("nothing is read as {wanted}; there is {there}")).into(),
            );
        };
        policies.retain(|who, _| *who == of);
    }
    match policies.len() {
        1 => {
            for policy in policies.values() {
                print(out, err, policy)?;
            }
        }
        _ => {
            let there = names(&policies);
            for (who, policy) in &policies {
                warn_of_size(err, Some(who), policy)?;
            }
            let by_name: BTreeMap<String, &Policy> = policies
                .iter()
                .map(|(who, p)| (who.to_string(), p))
                .collect();
            writeln!(out, "{}", serde_json::to_string_pretty(&by_name)?)?;
            let count = policies.len();
            writeln!(
                err,
                "warning: {count} policies, one for each identity that reads ({there}); choose one with --role"
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(
    out: &mut impl Write,
    err: &mut impl Write,
    policy: &Policy,
) -> Result<(), Box<dyn Error>> {
    warn_of_size(err, None, policy)?;
    writeln!(out, "{}", serde_json::to_string_pretty(policy)?)?;
    Ok(())
}

fn warn_of_size(
    err: &mut impl Write,
    who: Option<&Identity>,
    policy: &Policy,
) -> std::io::Result<()> {
    let chars = policy.chars();
    if chars <= MANAGED_POLICY_CHARS {
        return Ok(());
    }
    let of = who.map(|who| format!(" of {who}")).unwrap_or_default();
    writeln!(
        err,
        "warning: the policy{of} has {chars} characters, a managed policy holds {MANAGED_POLICY_CHARS}: read by prefix, or attach one policy for each namespace"
    )
}

fn names(policies: &BTreeMap<Identity, Policy>) -> String {
    let names: Vec<String> = policies.keys().map(ToString::to_string).collect();
    names.join(", ")
}

fn trusting(args: &IamPolicyArgs, trust: Trust) -> Result<Policy, Problems> {
    let external_id: BTreeSet<String> = args.external_id.iter().cloned().collect();
    match trust {
        Trust::PodIdentity => Ok(iam::pod_identity(&args.service_account)),
        Trust::Role => {
            let principal = args.principal.clone().unwrap_or_default();
            Ok(iam::assume_role(&principal, &external_id))
        }
        Trust::Irsa => {
            let provider = args.oidc_provider.as_deref().unwrap_or_default();
            let policy = iam::irsa(provider, args.account.as_deref(), &args.service_account);
            policy.map_err(|why| Problems::one(format!("--oidc-provider: {why}")))
        }
    }
}

fn facts(args: &IamPolicyArgs) -> Result<Facts, Problems> {
    let named = args.kms_keys.iter().filter(|key| *key != "none");
    let mut keys: Vec<KeyArn> = Vec::new();
    for key in named {
        keys.push(
            key.parse()
                .map_err(|why| Problems::one(format!("--kms-key {key}: {why}")))?,
        );
    }
    Ok(Facts {
        account: args.account.clone(),
        region: args.region.clone(),
        look: args.sweep,
        keys: (!args.kms_keys.is_empty()).then_some(keys),
    })
}

fn policies(found: &[Found], facts: &Facts) -> Result<BTreeMap<Identity, Policy>, Problems> {
    let askers: Vec<Asker<'_>> = found
        .iter()
        .map(|it| Asker {
            namespace: &it.namespace,
            name: &it.name,
            recipe: &it.recipe,
            known_as: it.known_as.as_deref(),
            seen_in: it.seen_in.as_deref(),
        })
        .collect();
    iam::policies(&askers, facts).map_err(Problems::one)
}

async fn found(args: &IamPolicyArgs) -> Result<Vec<Found>, Problems> {
    let found = match args.filenames.is_empty() {
        true => in_cluster(args).await?,
        false => in_files(args)?,
    };
    match found.is_empty() {
        true => Err(Problems::one("there is no ExternalSecretBinding")),
        false => Ok(found),
    }
}

fn in_files(args: &IamPolicyArgs) -> Result<Vec<Found>, Problems> {
    let bindings = load(&FileArgs {
        files: Filenames {
            filenames: args.filenames.clone(),
        },
        namespace: args.cluster.namespace.clone(),
    })?;
    let found = bindings.into_iter().map(|it| Found {
        namespace: it.namespace,
        name: it.name,
        recipe: it.recipe,
        known_as: None,
        seen_in: None,
    });
    Ok(found.collect())
}

async fn in_cluster(args: &IamPolicyArgs) -> Result<Vec<Found>, Problems> {
    let cluster = args
        .cluster
        .connect(args.timeout)
        .await
        .map_err(Problems::one)?;
    let objects = match &args.name {
        Some(name) => {
            let key = ObjectKey::new(cluster.namespace(), name);
            cluster.binding(&key).await.map(|one| vec![one])
        }
        None => cluster.bindings(None).await,
    };
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for object in objects.map_err(Problems::one)? {
        match read(object) {
            Ok(one) => found.push(one),
            Err(line) => problems.push(line),
        }
    }
    match problems.is_empty() {
        true => Ok(found),
        false => Err(Problems(problems)),
    }
}

fn read(object: BindingObject) -> Result<Found, String> {
    let key = ObjectKey::of(&object.metadata);
    let row = BindingRow::new(object);
    let wrong = |why: String| format!("ExternalSecretBinding {key}: {why}");
    let spec = row.spec().map_err(wrong)?;
    let recipe = parse(&key.namespace, &key.name, &spec, &ParseSettings::default());
    let status = row.status();
    Ok(Found {
        recipe: recipe.map_err(|finding| wrong(finding.to_string()))?,
        known_as: status.identity,
        seen_in: status.sources.into_iter().next().map(|one| one.region),
        namespace: key.namespace,
        name: key.name,
    })
}
