//! The Security Token Service: form in, XML out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};

use super::World;
use super::error::AwsError;
use super::iam::{NewSession, Principal, Role};
use super::policy::{Verdict, glob};
use super::random_uuid;
use super::request::tags;
use super::tokens::{Claims, TokenProblem};

type Form = BTreeMap<String, String>;

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const AUDIENCE: &str = "sts.amazonaws.com";
/// Longest session of a role that was assumed with another role's session.
const CHAINED_MAX: i64 = 3600;

/// AssumeRoleWithWebIdentity: unsigned, the token says who asks.
pub(crate) fn with_web_identity(
    world: &mut World,
    form: &Form,
    now: Timestamp,
) -> Result<String, AwsError> {
    let role_arn = required(form, "RoleArn")?;
    let name = session_name(form)?;
    let token = required(form, "WebIdentityToken")?;
    let claims = world
        .issuers
        .verify(token, now)
        .map_err(|p| token_problem(p, now))?;
    let role = world.iam.role(role_arn).cloned();
    let role = role.filter(|role| trusts_subject(role, &claims));
    let trusted = claims.aud.contains(AUDIENCE);
    if !trusted {
        return Err(invalid_token("Incorrect token audience"));
    }
    let role = role.ok_or_else(|| {
        AwsError::with_status(
            403,
            "AccessDenied",
            "Not authorized to perform sts:AssumeRoleWithWebIdentity",
        )
    })?;
    let lifetime = duration(form, &role, false)?;
    let (none, no_keys) = (BTreeMap::new(), BTreeSet::new());
    let session = world
        .iam
        .open_session(&role, name, none, no_keys, lifetime, now);
    let mut body = session_xml(&session);
    element(&mut body, "SubjectFromWebIdentityToken", &claims.sub);
    element(&mut body, "Audience", AUDIENCE);
    element(&mut body, "Provider", &claims.iss);
    Ok(envelope("AssumeRoleWithWebIdentity", &body))
}

/// The signed operations.
pub(crate) fn signed(
    world: &mut World,
    caller: &Principal,
    operation: &str,
    form: &Form,
    now: Timestamp,
) -> Result<String, AwsError> {
    match operation {
        "AssumeRole" => assume_role(world, caller, form, now),
        "GetCallerIdentity" => {
            let mut body = String::new();
            element(&mut body, "Arn", &caller.arn);
            element(&mut body, "UserId", &caller.user_id);
            element(&mut body, "Account", &caller.account);
            Ok(envelope(operation, &body))
        }
        other => Err(AwsError::new(
            "InvalidAction",
            format!("Could not find operation {other} for version 2011-06-15"),
        )),
    }
}

fn assume_role(
    world: &mut World,
    caller: &Principal,
    form: &Form,
    now: Timestamp,
) -> Result<String, AwsError> {
    let role_arn = required(form, "RoleArn")?;
    let name = session_name(form)?;
    let refuse = |action: &str| {
        let who = &caller.arn;
        let text =
            format!("User: {who} is not authorized to perform: {action} on resource: {role_arn}");
        AwsError::with_status(403, "AccessDenied", text)
    };
    let found = world.iam.role(role_arn).cloned();
    let role = found.ok_or_else(|| refuse("sts:AssumeRole"))?;
    let own = world
        .iam
        .verdict(caller, "sts:AssumeRole", role_arn, &BTreeMap::new());
    let known = role
        .external_id
        .as_ref()
        .is_none_or(|id| form.get("ExternalId") == Some(id));
    if !known || !trusts_caller(&role, caller, own) {
        return Err(refuse("sts:AssumeRole"));
    }
    let (tags, transitive) = session_tags(form, caller)?;
    let inherited = |key: &String| caller.transitive.contains(key);
    if tags
        .iter()
        .any(|(k, v)| !inherited(k) && !role.allows_tag(k, v))
    {
        return Err(refuse("sts:TagSession"));
    }
    let lifetime = duration(form, &role, caller.is_session)?;
    let session = world
        .iam
        .open_session(&role, name, tags, transitive, lifetime, now);
    Ok(envelope("AssumeRole", &session_xml(&session)))
}

fn trusts_subject(role: &Role, claims: &Claims) -> bool {
    role.subjects
        .iter()
        .any(|(subject, audience)| glob(subject, &claims.sub) && claims.aud.contains(audience))
}

/// The trust policy and the caller's own policy together.
fn trusts_caller(role: &Role, caller: &Principal, own: Verdict) -> bool {
    let listed = |who: &str| role.principals.iter().any(|p| p == who);
    let named = listed(&caller.policy_arn) || listed(&caller.arn);
    let root = listed(&format!("arn:aws:iam::{}:root", caller.account));
    match own {
        Verdict::Denied => false,
        Verdict::Allowed => named || root,
        Verdict::NotAllowed => named && role.account() == caller.account,
    }
}

/// New tags and the transitive ones of the calling session.
fn session_tags(
    form: &Form,
    caller: &Principal,
) -> Result<(BTreeMap<String, String>, BTreeSet<String>), AwsError> {
    let mut all = tags(form);
    let sound = |(k, v): (&String, &String)| (1..=128).contains(&k.len()) && v.len() <= 256;
    if all.len() > 50 || !all.iter().all(sound) {
        return Err(AwsError::new("ValidationError", "Invalid session tags."));
    }
    if all.keys().any(|key| caller.transitive.contains(key)) {
        return Err(AwsError::new(
            "InvalidParameterValue",
            "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.",
        ));
    }
    let key = |n: usize| form.get(&format!("TransitiveTagKeys.member.{n}")).cloned();
    let mut transitive: BTreeSet<String> = (1..).map_while(key).collect();
    if transitive.iter().any(|key| !all.contains_key(key)) {
        return Err(AwsError::new(
            "InvalidParameterValue",
            "The specified transitive tag key must be included in the requested tags.",
        ));
    }
    for key in &caller.transitive {
        if let Some(value) = caller.tags.get(key) {
            all.insert(key.clone(), value.clone());
            transitive.insert(key.clone());
        }
    }
    Ok((all, transitive))
}

fn duration(form: &Form, role: &Role, chained: bool) -> Result<SignedDuration, AwsError> {
    let invalid = |text: &str| Err(AwsError::new("ValidationError", text));
    let Some(asked) = form.get("DurationSeconds") else {
        return Ok(SignedDuration::from_secs(3600));
    };
    let longest = i64::try_from(role.max_session.as_secs()).unwrap_or(i64::MAX);
    match asked.parse::<i64>() {
        Ok(n) if chained && n > CHAINED_MAX => invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
        ),
        Ok(n) if n > longest => invalid(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        ),
        Ok(n) if n >= 900 => Ok(SignedDuration::from_secs(n)),
        _ => invalid(
            "1 validation error detected: Value at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900",
        ),
    }
}

fn session_name(form: &Form) -> Result<&str, AwsError> {
    let name = required(form, "RoleSessionName")?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
    if (2..=64).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(name);
    }
    Err(AwsError::new(
        "ValidationError",
        format!(
            r"1 validation error detected: Value '{name}' at 'roleSessionName' failed to satisfy constraint: Member must have length between 2 and 64 and satisfy regular expression pattern: [\w+=,.@-]*"
        ),
    ))
}

fn required<'a>(form: &'a Form, field: &str) -> Result<&'a str, AwsError> {
    form.get(field).map(String::as_str).ok_or_else(|| {
        let text = format!("1 validation error detected: Value null at '{field}' failed to satisfy constraint: Member must not be null");
        AwsError::new("ValidationError", text)
    })
}

fn invalid_token(text: impl Into<String>) -> AwsError {
    AwsError::new("InvalidIdentityToken", text)
}

fn token_problem(problem: TokenProblem, now: Timestamp) -> AwsError {
    match problem {
        TokenProblem::Invalid => invalid_token(
            "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
        ),
        TokenProblem::UnknownIssuer(issuer) => invalid_token(format!(
            "No OpenIDConnect provider found in your account for {issuer}"
        )),
        TokenProblem::UnknownKey => invalid_token(
            "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements",
        ),
        TokenProblem::Expired(end) => AwsError::new(
            "ExpiredTokenException",
            format!(
                "Token expired: current date/time {} must be before the expiration date/time {end}",
                now.as_second()
            ),
        ),
    }
}

fn session_xml(session: &NewSession) -> String {
    let mut keys = String::new();
    element(&mut keys, "AccessKeyId", &session.access_key_id);
    element(&mut keys, "SecretAccessKey", &session.secret_access_key);
    element(&mut keys, "SessionToken", &session.token);
    element(&mut keys, "Expiration", &whole_seconds(session.expires));
    let mut user = String::new();
    element(&mut user, "Arn", &session.principal.arn);
    element(&mut user, "AssumedRoleId", &session.principal.user_id);
    format!("<Credentials>{keys}</Credentials><AssumedRoleUser>{user}</AssumedRoleUser>")
}

/// Times as STS writes them: RFC 3339, whole seconds.
pub(crate) fn whole_seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn envelope(operation: &str, result: &str) -> String {
    let id = random_uuid();
    format!(
        r#"<{operation}Response xmlns="{NAMESPACE}"><{operation}Result>{result}</{operation}Result><ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{operation}Response>"#
    )
}

/// An error as STS writes it.
pub(crate) fn error_xml(error: &AwsError) -> String {
    let mut body = String::new();
    let side = if error.status < 500 {
        "Sender"
    } else {
        "Receiver"
    };
    element(&mut body, "Type", side);
    element(&mut body, "Code", &error.code);
    element(&mut body, "Message", &error.message);
    let id = random_uuid();
    format!(
        r#"<ErrorResponse xmlns="{NAMESPACE}"><Error>{body}</Error><RequestId>{id}</RequestId></ErrorResponse>"#
    )
}

fn element(out: &mut String, name: &str, text: &str) {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    // Writing into a String cannot fail.
    let _ = write!(out, "<{name}>{text}</{name}>");
}
