//! Roles, users and sessions: who is calling and what they may do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::Rng;
use rand::distr::{Alphanumeric, SampleString};

use super::error::AwsError;
use super::policy::{AccessRequest, Statement, Verdict, evaluate, glob};
use super::policy_document::UnreadablePolicy;

/// A role with its trust policy and its identity policy.
#[derive(Debug, Clone)]
pub struct Role {
    pub(crate) arn: String,
    pub(crate) subjects: Vec<(String, String)>,
    pub(crate) principals: Vec<String>,
    pub(crate) pod_identity: bool,
    pub(crate) external_id: Option<String>,
    pub(crate) session_tags: Vec<(String, String)>,
    pub(crate) max_session: Duration,
    statements: Vec<Statement>,
}

impl Role {
    /// A role that trusts nobody and may do nothing. `arn` as in `arn:aws:iam::ACCOUNT:role/NAME`.
    pub fn new(arn: &str) -> Self {
        Self {
            arn: arn.to_owned(),
            subjects: Vec::new(),
            principals: Vec::new(),
            pod_identity: false,
            external_id: None,
            session_tags: Vec::new(),
            max_session: Duration::from_secs(12 * 3600),
            statements: Vec::new(),
        }
    }

    /// Trusts tokens of one ServiceAccount with the audience `sts.amazonaws.com`.
    #[must_use]
    pub fn trust_service_account(self, namespace: &str, name: &str) -> Self {
        let subject = format!("system:serviceaccount:{namespace}:{name}");
        self.trust_subject(&subject, "sts.amazonaws.com")
    }

    /// Trusts tokens whose `sub` fits a glob, with one audience.
    #[must_use]
    pub fn trust_subject(mut self, subject: &str, audience: &str) -> Self {
        self.subjects
            .push((subject.to_owned(), audience.to_owned()));
        self
    }

    /// Trusts callers of AssumeRole: a role ARN, a user ARN or `arn:aws:iam::ACCOUNT:root`.
    ///
    /// As in IAM, only a principal of the same account that is named itself needs no Allow for
    /// `sts:AssumeRole` of its own.
    #[must_use]
    pub fn trust_principal(mut self, arn: &str) -> Self {
        self.principals.push(arn.to_owned());
        self
    }

    /// Trusts EKS Pod Identity (`pods.eks.amazonaws.com`).
    #[must_use]
    pub fn trust_pod_identity(mut self) -> Self {
        self.pod_identity = true;
        self
    }

    /// AssumeRole must bring this `ExternalId`.
    #[must_use]
    pub fn external_id(mut self, id: &str) -> Self {
        self.external_id = Some(id.to_owned());
        self
    }

    /// Allows a session tag (`sts:TagSession`): a key and a glob for its value. None by default.
    #[must_use]
    pub fn allow_session_tag(mut self, key: &str, value: &str) -> Self {
        self.session_tags.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Longest session, 12 h by default.
    #[must_use]
    pub fn max_session(mut self, longest: Duration) -> Self {
        self.max_session = longest;
        self
    }

    /// Adds an Allow.
    #[must_use]
    pub fn allow(self, actions: &[&str], resources: &[&str]) -> Self {
        self.statement(Statement::allow(actions, resources))
    }

    /// Adds a Deny.
    #[must_use]
    pub fn deny(self, actions: &[&str], resources: &[&str]) -> Self {
        self.statement(Statement::deny(actions, resources))
    }

    /// Adds a statement with conditions.
    #[must_use]
    pub fn statement(mut self, statement: Statement) -> Self {
        self.statements.push(statement);
        self
    }

    /// Adds the statements of a policy as IAM takes it, a JSON document.
    ///
    /// # Errors
    /// What [`Statement::of_document`] refuses.
    pub fn policy(mut self, document: &str) -> Result<Self, UnreadablePolicy> {
        self.statements.extend(Statement::of_document(document)?);
        Ok(self)
    }

    pub(crate) fn account(&self) -> &str {
        account_of(&self.arn)
    }

    /// The last part of the ARN, without the path.
    pub(crate) fn name(&self) -> &str {
        self.arn.rsplit('/').next().unwrap_or_default()
    }

    pub(crate) fn allows_tag(&self, key: &str, value: &str) -> bool {
        self.session_tags
            .iter()
            .any(|(k, v)| k == key && glob(v, value))
    }
}

/// The account field of an ARN.
pub(crate) fn account_of(arn: &str) -> &str {
    arn.split(':').nth(4).unwrap_or_default()
}

/// Who calls: a user or a role session.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    pub account: String,
    /// `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION` or the user's ARN.
    pub arn: String,
    /// The role's or user's own ARN: policies hang on it.
    pub policy_arn: String,
    pub user_id: String,
    pub session_name: String,
    pub tags: BTreeMap<String, String>,
    pub transitive: BTreeSet<String>,
    pub is_session: bool,
}

impl Principal {
    /// Whether a resource policy names this caller: by session, role, user or whole account.
    pub fn is_named_by(&self, patterns: &[String]) -> bool {
        let root = format!("arn:aws:iam::{}:root", self.account);
        let who = [self.arn.as_str(), &self.policy_arn, &root];
        patterns
            .iter()
            .any(|pattern| who.iter().any(|who| glob(pattern, who)))
    }

    /// The account itself, which a test acts as.
    pub fn root(account: &str) -> Self {
        let arn = format!("arn:aws:iam::{account}:root");
        Self {
            account: account.to_owned(),
            arn: arn.clone(),
            policy_arn: arn,
            user_id: account.to_owned(),
            session_name: String::new(),
            tags: BTreeMap::new(),
            transitive: BTreeSet::new(),
            is_session: false,
        }
    }
}

/// What an access key stands for.
#[derive(Clone)]
pub(crate) struct Credential {
    pub token: Option<String>,
    pub expires: Option<Timestamp>,
    pub principal: Arc<Principal>,
}

/// A new session as STS hands it out.
pub(crate) struct NewSession {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub token: String,
    pub expires: Timestamp,
    pub principal: Arc<Principal>,
}

/// Why credentials are not accepted; each service words it in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CredentialProblem {
    Unknown,
    Expired,
}

/// All roles, users and sessions, over all accounts.
#[derive(Default)]
pub(crate) struct Iam {
    roles: HashMap<String, Role>,
    users: HashMap<String, Vec<Statement>>,
    credentials: HashMap<String, Credential>,
    /// Length of new sessions whatever was asked for; tests make it short.
    pub session_lifetime: Option<SignedDuration>,
}

impl Iam {
    pub fn put_role(&mut self, role: Role) {
        self.roles.insert(role.arn.clone(), role);
    }

    pub fn remove_role(&mut self, arn: &str) {
        self.roles.remove(arn);
    }

    pub fn role(&self, arn: &str) -> Option<&Role> {
        self.roles.get(arn)
    }

    /// A user with static keys; returns its ARN. The fake does not verify signatures, so the
    /// secret key is the client's business alone.
    pub fn put_user(&mut self, access_key: &str, account: &str, policy: Vec<Statement>) -> String {
        let arn = format!("arn:aws:iam::{account}:user/{access_key}");
        self.users.insert(arn.clone(), policy);
        let principal = Principal {
            account: account.to_owned(),
            arn: arn.clone(),
            policy_arn: arn.clone(),
            user_id: access_key.replacen("AKIA", "AIDA", 1),
            session_name: String::new(),
            tags: BTreeMap::new(),
            transitive: BTreeSet::new(),
            is_session: false,
        };
        let credential = Credential {
            token: None,
            expires: None,
            principal: Arc::new(principal),
        };
        self.credentials.insert(access_key.to_owned(), credential);
        arn
    }

    /// Makes an access key unknown.
    pub fn revoke(&mut self, access_key: &str) {
        self.credentials.remove(access_key);
    }

    /// Ends all role sessions now: their next call is answered with ExpiredToken.
    pub fn expire_sessions(&mut self, now: Timestamp) {
        for credential in self.credentials.values_mut() {
            if credential.expires.is_some() {
                credential.expires = Some(now);
            }
        }
    }

    /// Whose key this is, good or not: for the call log.
    pub fn peek(&self, access_key: &str) -> Option<&Arc<Principal>> {
        self.credentials.get(access_key).map(|c| &c.principal)
    }

    /// Accepts an access key with the session token that belongs to it.
    pub fn authenticate(
        &self,
        access_key: &str,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<Principal>, CredentialProblem> {
        let found = self.credentials.get(access_key);
        let credential = found.ok_or(CredentialProblem::Unknown)?;
        if credential.token.as_deref() != token {
            return Err(CredentialProblem::Unknown);
        }
        if credential.expires.is_some_and(|end| end <= now) {
            return Err(CredentialProblem::Expired);
        }
        Ok(credential.principal.clone())
    }

    /// Opens a session of a role.
    pub fn open_session(
        &mut self,
        role: &Role,
        session_name: &str,
        tags: BTreeMap<String, String>,
        transitive: BTreeSet<String>,
        lifetime: SignedDuration,
        now: Timestamp,
    ) -> NewSession {
        let (account, name) = (role.account(), role.name());
        let partition = role.arn.split(':').nth(1).unwrap_or("aws");
        let principal = Arc::new(Principal {
            account: account.to_owned(),
            arn: format!("arn:{partition}:sts::{account}:assumed-role/{name}/{session_name}"),
            policy_arn: role.arn.clone(),
            user_id: format!("{}:{session_name}", role_id(&role.arn)),
            session_name: session_name.to_owned(),
            tags,
            transitive,
            is_session: true,
        });
        let session = NewSession {
            access_key_id: format!("ASIA{}", random_id(16)),
            secret_access_key: random_text(40),
            token: random_text(120),
            expires: now + self.session_lifetime.unwrap_or(lifetime),
            principal: principal.clone(),
        };
        let credential = Credential {
            token: Some(session.token.clone()),
            expires: Some(session.expires),
            principal,
        };
        self.credentials
            .insert(session.access_key_id.clone(), credential);
        session
    }

    /// The identity policy's verdict.
    pub fn verdict(
        &self,
        principal: &Principal,
        action: &str,
        resource: &str,
        resource_tags: &BTreeMap<String, String>,
    ) -> Verdict {
        self.decide(
            principal,
            &AccessRequest {
                action,
                resource,
                principal_tags: &principal.tags,
                resource_tags,
                via_service: None,
            },
        )
    }

    /// The verdict on a use of a KMS key that a service of a region makes for the caller: the action of the key, and
    /// the service (`secretsmanager`, `ssm`).
    pub fn verdict_on_key(
        &self,
        principal: &Principal,
        (action, service): (&str, &str),
        region: &str,
        key: &str,
    ) -> Verdict {
        let service = format!("{service}.{region}.amazonaws.com");
        self.decide(
            principal,
            &AccessRequest {
                action,
                resource: key,
                principal_tags: &principal.tags,
                resource_tags: &BTreeMap::new(),
                via_service: Some(&service),
            },
        )
    }

    fn decide(&self, principal: &Principal, request: &AccessRequest<'_>) -> Verdict {
        let role = self.roles.get(&principal.policy_arn);
        let statements = role
            .map(|r| r.statements.as_slice())
            .or_else(|| self.users.get(&principal.policy_arn).map(Vec::as_slice));
        evaluate(statements.unwrap_or_default(), request)
    }
}

/// AccessDenied as IAM words it, with the reason that a verdict gives.
pub(crate) fn denied(
    principal: &Principal,
    action: &str,
    resource: &str,
    verdict: Verdict,
) -> AwsError {
    let why = match verdict {
        Verdict::Denied => "with an explicit deny in an identity-based policy".to_owned(),
        _ => format!("because no identity-based policy allows the {action} action"),
    };
    AwsError::new(
        "AccessDeniedException",
        format!(
            "User: {} is not authorized to perform: {action} on resource: {resource} {why}",
            principal.arn
        ),
    )
}

/// A stable id for a role, in the shape of AWS's unique ids.
fn role_id(arn: &str) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in arn.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("AROA{hash:016X}A")
}

fn random_id(len: usize) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut rng = rand::rng();
    (0..len)
        .map(|_| char::from(LETTERS[rng.random_range(0..LETTERS.len())]))
        .collect()
}

fn random_text(len: usize) -> String {
    Alphanumeric.sample_string(&mut rand::rng(), len)
}
