//! May it read that? Every read is judged by the access policies before the call and after it.
//!
//! The one call site of `core::access::check`.

use super::Observed;
use crate::{
    api::Reason,
    cluster::ObjectKey,
    controllers::context::Context,
    core::{
        Entry, Finding, PrefixAsk, Recipe, SecretId, Store,
        access::{self, AccessRequest, Allowed, Asked, Policy},
        reference,
    },
    telemetry::audit,
};

/// Asks the policies; the one place that does.
pub struct Gatekeeper<'a> {
    context: &'a Context,
    observed: &'a Observed,
    policies: Vec<Policy>,
    request: AccessRequest,
}

impl<'a> Gatekeeper<'a> {
    /// Knows the install's policies and, cluster-wide, the objects.
    ///
    /// # Errors
    /// `PolicyUnreadable` before the objects were listed.
    pub fn new(
        context: &'a Context,
        observed: &'a Observed,
        recipe: &Recipe,
    ) -> Result<Self, Finding> {
        let mut policies = context.settings.policies.clone();
        let mut namespace_labels = Default::default();
        if context.settings.cluster_wide {
            let objects = context.views.policies().ok_or_else(policies_unreadable)?;
            policies.extend(objects.iter().map(|object| Policy::from(&**object)));
            let labels = context.views.namespace_labels(&observed.key.namespace);
            namespace_labels = labels.map(|labels| (*labels).clone()).unwrap_or_default();
        }
        let identity = &recipe.identity;
        let region = identity.region.as_deref();
        let region = region.or(context.sources.own_region());
        let request = AccessRequest {
            namespace: observed.key.namespace.clone(),
            namespace_labels,
            asked: Asked::default(),
            account: None,
            caller_account: known_account(context, observed, recipe),
            region: region.unwrap_or_default().to_owned(),
            role_arn: identity.role_arn.clone(),
            service_account: identity.service_account.clone(),
        };
        Ok(Self {
            context,
            observed,
            policies,
            request,
        })
    }

    /// Now that STS has said who calls.
    pub fn with(mut self, account: &str, region: &str) -> Self {
        self.request.caller_account = Some(account.to_owned());
        self.request.region = region.to_owned();
        self
    }

    /// The same in another region, before its STS has said who calls: an account that is not known yet is taken for
    /// the entry's own, and judged again when it is.
    pub fn before_calls_to(&self, region: &str, recipe: &Recipe) -> Result<(), Finding> {
        let own = self
            .observed
            .status
            .identity
            .as_deref()
            .and_then(account_of);
        let known = self.request.caller_account.clone().or(own);
        let ask_as = |account: Option<String>| Self {
            policies: self.policies.clone(),
            request: AccessRequest {
                caller_account: account,
                region: region.to_owned(),
                ..self.request.clone()
            },
            ..*self
        };
        for ask in recipe.asks() {
            let own = || ask.id.account().map(str::to_owned);
            let account = known.clone().or_else(own);
            ask_as(account).entry(&ask.id)?;
        }
        let there = ask_as(known.clone());
        recipe
            .prefixes()
            .iter()
            .try_for_each(|ask| there.prefix(ask))
    }

    /// A request under a role or ServiceAccount must not even reach STS when nothing allows it.
    pub fn before_any_call(&self, recipe: &Recipe) -> Result<(), Finding> {
        if self.request.role_arn.is_none() && self.request.service_account.is_none() {
            return Ok(());
        }
        for ask in recipe.asks() {
            self.entry(&ask.id)?;
        }
        recipe
            .prefixes()
            .iter()
            .try_for_each(|ask| self.prefix(ask))
    }

    /// Whether an entry may be read.
    pub fn entry(&self, id: &SecretId) -> Result<(), Finding> {
        self.check(Asked::of(id), id.account().map(str::to_owned))
    }

    /// Whether everything under a prefix may be listed and read.
    pub fn prefix(&self, ask: &PrefixAsk) -> Result<(), Finding> {
        self.check(Asked::under(ask), None)
    }

    /// What came back is judged like what was asked.
    pub fn answer(&self, entry: &Entry) -> Result<(), Finding> {
        self.check(Asked::answer(entry), account_of(&entry.arn))
    }

    fn check(&self, asked: Asked, account: Option<String>) -> Result<(), Finding> {
        let named = match asked.store() {
            Store::Secrets => asked.first(),
            Store::Parameters => format!("parameter {}", asked.first()),
        };
        let request = AccessRequest {
            asked,
            account,
            ..self.request.clone()
        };
        match access::check(self.context.settings.access, &self.policies, &request) {
            Ok(Allowed::ByPolicy(_) | Allowed::Open) => Ok(()),
            Ok(Allowed::AuditOnly(refused)) => {
                self.audit(Reason::AccessNotAllowed, &named, &refused.to_string());
                Ok(())
            }
            Err(refused) => {
                self.audit(Reason::AccessNotAllowed, &named, &refused.to_string());
                Err(Finding::from(&*refused))
            }
        }
    }

    /// Puts a refusal on the audit trail: once per binding and refusal, not at every pass.
    pub fn audit(&self, reason: Reason, entry: &str, why: &str) {
        let key = &self.observed.key;
        let news = self.context.remember(key, |memory| {
            memory.audited.insert(format!("{entry} {why}"))
        });
        if news {
            audit::read_refused(audit::RefusedRead {
                namespace: &key.namespace,
                binding: &key.name,
                entry,
                reason,
            });
        }
    }
}

fn policies_unreadable() -> Finding {
    Finding::new(
        Reason::PolicyUnreadable,
        "The access policies (SecretAccessPolicy) could not be read: nothing is read from AWS without them.",
        "Check that the CRD is installed and that the operator may list it; we notice at once.",
    )
}

fn account_of(arn: &str) -> Option<String> {
    reference::account_of(arn).map(str::to_owned)
}

/// The account that will call, where it is known before STS is asked: that of the last role.
fn known_account(context: &Context, observed: &Observed, recipe: &Recipe) -> Option<String> {
    if let Some(arn) = &recipe.identity.role_arn {
        return account_of(arn);
    }
    let name = recipe.identity.service_account.as_ref()?;
    let row = context
        .views
        .service_account(&ObjectKey::new(&observed.key.namespace, name))?;
    account_of(row.role_arn.as_ref()?)
}
