//! Credentials of one identity: got once, shared, refreshed shortly before they expire, dropped when AWS
//! refuses them. The SDK's own identity cache is not used: it forgets who we became and why we could not.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use aws_credential_types::{
    Credentials as Keys,
    provider::{ProvideCredentials, error::CredentialsError, future},
};
use futures::future::BoxFuture;
use parking_lot::RwLock;
use tokio::sync::{Mutex, OnceCell};

use super::identity::Caller;
use crate::{api::Reason, core::Finding};

/// Refreshed this long before expiry, or in the last quarter of shorter lives.
const MARGIN: Duration = Duration::from_secs(120);

/// Gets new credentials. Called by one task at a time.
pub(super) trait Origin: Send + Sync {
    fn obtain(&self) -> BoxFuture<'_, Result<Session, Finding>>;
    /// Asks AWS whose credentials these are, where the way they were got did not tell.
    fn whose(&self) -> BoxFuture<'_, Result<Caller, Finding>>;
}

/// One set of credentials and what is known of them.
pub(super) struct Session {
    keys: Keys,
    caller: OnceCell<Caller>,
    obtained: SystemTime,
}

impl Session {
    pub fn new(keys: Keys, caller: Option<Caller>) -> Self {
        Self {
            keys,
            caller: OnceCell::new_with(caller),
            obtained: SystemTime::now(),
        }
    }
}

/// When credentials have to be renewed, and when they can no longer be used.
fn is_due(obtained: SystemTime, expiry: Option<SystemTime>, now: SystemTime) -> bool {
    let Some(expiry) = expiry else { return false };
    let life = expiry.duration_since(obtained).unwrap_or_default();
    now + MARGIN.min(life / 4) >= expiry
}

/// The credentials of one key.
pub(super) struct Credentials {
    origin: Box<dyn Origin>,
    held: Held,
    /// The last failure: held while somebody obtains, so that one call serves all who wait.
    failed: Mutex<Option<(Instant, Finding)>>,
    failure_hold: Duration,
    /// How long getting credentials may take in all, tokens and retries included.
    patience: Duration,
}

impl Credentials {
    pub fn new(
        origin: impl FnOnce(Held) -> Box<dyn Origin>,
        failure_hold: Duration,
        patience: Duration,
    ) -> Self {
        let held = Held::default();
        Self {
            origin: origin(held.clone()),
            held,
            failed: Mutex::new(None),
            failure_hold,
            patience,
        }
    }

    /// Signs with whatever [`Self::session`] got last.
    pub fn signer(&self) -> Held {
        self.held.clone()
    }

    /// Credentials that are good now; got from STS only when there are none or they are about to expire.
    pub async fn session(&self) -> Result<Arc<Session>, Finding> {
        if let Some(session) = self.held.fresh() {
            return Ok(session);
        }
        // While somebody refreshes credentials that still work, the others go on with them.
        let mut failed = match self.held.usable() {
            None => self.failed.lock().await,
            Some(session) => match self.failed.try_lock() {
                Ok(failed) => failed,
                Err(_) => return Ok(session),
            },
        };
        if let Some(session) = self.held.fresh() {
            return Ok(session);
        }
        if let Some((at, finding)) = failed
            .as_ref()
            .filter(|(at, _)| at.elapsed() < self.failure_hold)
        {
            tracing::trace!(target: "keyferry::source", age = ?at.elapsed(), "identity failure still held");
            return self.held.usable().ok_or_else(|| finding.clone());
        }
        let obtained = tokio::time::timeout(self.patience, self.origin.obtain()).await;
        match obtained.unwrap_or_else(|_| Err(late())) {
            Ok(session) => {
                *failed = None;
                Ok(self.held.put(session))
            }
            Err(finding) => {
                *failed = Some((Instant::now(), finding.clone()));
                // A refresh that fails shortly before expiry does not stop reads that still can succeed.
                self.held.usable().ok_or(finding)
            }
        }
    }

    /// AWS does not accept these: the next [`Self::session`] gets new ones.
    pub fn refuse(&self, session: &Arc<Session>) {
        self.held.drop_if(session);
    }

    /// Who these credentials are. Known from the reply that gave them, else asked once per lifetime.
    pub async fn caller(&self) -> Result<Caller, Finding> {
        let session = self.session().await?;
        session
            .caller
            .get_or_try_init(|| self.origin.whose())
            .await
            .cloned()
    }

    /// The account, as far as it is known without a call.
    pub fn known_account(&self) -> Option<String> {
        let session = self.held.current()?;
        let by_caller = session.caller.get().map(|c| c.account.clone());
        by_caller.or_else(|| session.keys.account_id().map(|id| id.as_str().to_owned()))
    }
}

fn late() -> Finding {
    let mut finding = Finding::new(
        Reason::AwsUnavailable,
        "AWS credentials did not come in time.",
        "If it lasts, check the network path to STS and to the API server.",
    );
    finding.outage = true;
    finding
}

/// The session in use, shared with the clients that sign with it.
#[derive(Clone, Default)]
pub(super) struct Held(Arc<RwLock<Option<Arc<Session>>>>);

impl Held {
    fn current(&self) -> Option<Arc<Session>> {
        self.0.read().clone()
    }

    fn fresh(&self) -> Option<Arc<Session>> {
        self.current()
            .filter(|s| !is_due(s.obtained, s.keys.expiry(), SystemTime::now()))
    }

    fn usable(&self) -> Option<Arc<Session>> {
        self.current()
            .filter(|s| s.keys.expiry().is_none_or(|end| SystemTime::now() < end))
    }

    fn put(&self, session: Session) -> Arc<Session> {
        let session = Arc::new(session);
        *self.0.write() = Some(session.clone());
        session
    }

    fn drop_if(&self, session: &Arc<Session>) {
        let mut held = self.0.write();
        if held.as_ref().is_some_and(|h| Arc::ptr_eq(h, session)) {
            *held = None;
        }
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Held")
    }
}

impl ProvideCredentials for Held {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let keys = self.current().map(|session| session.keys.clone());
        future::ProvideCredentials::ready(
            keys.ok_or_else(|| CredentialsError::not_loaded("no session")),
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn refresh_falls_due_before_expiry() {
        let start = SystemTime::UNIX_EPOCH;
        let at = |s: u64| start + Duration::from_secs(s);
        for (life, now, due) in [
            (Some(3600), 0, false),
            (Some(3600), 3479, false),
            (Some(3600), 3480, true),
            (Some(3600), 4000, true),
            (Some(40), 29, false),
            (Some(40), 30, true),
            (Some(0), 0, true),
            (None, 1_000_000, false),
        ] {
            assert_eq!(
                is_due(start, life.map(at), at(now)),
                due,
                "life {life:?}, now {now}"
            );
        }
    }
}
