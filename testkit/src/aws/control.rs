//! Steering the fake from a test: identities, faults, quotas, time, and what was called.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::watch;

use super::calls::{Call, CallLog};
use super::faults::Fault;
use super::iam::Role;
use super::policy::Statement;
use super::quota::QuotaGroup;
use super::region::Region;
use super::{FakeAws, Shared};

/// One account of the fake.
#[derive(Clone)]
pub struct Account {
    shared: Arc<Shared>,
    id: String,
}

impl Account {
    /// The account's secrets in one region.
    pub fn region(&self, region: &str) -> Region {
        Region::new(self.shared.clone(), &self.id, region)
    }
}

/// A fault in force. It stays when this is dropped.
#[derive(Clone)]
pub struct FaultHandle {
    shared: Arc<Shared>,
    id: u64,
}

impl FaultHandle {
    /// Ends the fault.
    pub fn clear(&self) {
        self.shared.lock().faults.clear(self.id);
    }
}

/// Calls that hang. Dropping it lets them go on and ends the fault.
#[must_use = "dropping it releases the calls at once"]
pub struct Hang {
    fault: FaultHandle,
    _release: watch::Sender<()>,
}

impl Hang {
    /// Lets the hanging calls go on, and later ones through.
    pub fn release(self) {}
}

impl Drop for Hang {
    fn drop(&mut self) {
        self.fault.clear();
    }
}

/// A wait that was given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the awaited calls did not come within {0:?}")]
pub struct WaitTimeout(pub Duration);

impl FakeAws {
    /// An account, by its twelve digits.
    pub fn account(&self, id: &str) -> Account {
        Account {
            shared: self.shared.clone(),
            id: id.to_owned(),
        }
    }

    /// Trusts tokens of an issuer, as an IAM OIDC provider would; `jwks_json` is what the API
    /// server serves at `/openid/v1/jwks`.
    ///
    /// # Errors
    /// When the key set cannot be read.
    pub fn trust_issuer(&self, issuer: &str, jwks_json: &str) -> Result<(), serde_json::Error> {
        self.shared.lock().issuers.trust(issuer, jwks_json)
    }

    /// Makes a role or replaces it; sessions it has already opened follow the new policy.
    pub fn put_role(&self, role: Role) {
        self.shared.lock().iam.put_role(role);
    }

    /// Removes a role. Its sessions stay but may do nothing.
    pub fn remove_role(&self, arn: &str) {
        self.shared.lock().iam.remove_role(arn);
    }

    /// Static keys of a user who may do everything in its account; returns the user's ARN.
    /// Any secret access key will do: signatures are not recomputed.
    pub fn user(&self, access_key: &str, account: &str) -> String {
        self.user_with(access_key, account, vec![Statement::allow(&["*"], &["*"])])
    }

    /// Static keys of a user with a policy of its own; returns the user's ARN.
    pub fn user_with(&self, access_key: &str, account: &str, policy: Vec<Statement>) -> String {
        self.shared.lock().iam.put_user(access_key, account, policy)
    }

    /// Makes an access key unknown.
    pub fn revoke(&self, access_key: &str) {
        self.shared.lock().iam.revoke(access_key);
    }

    /// Lets Pod Identity give this role to a ServiceAccount.
    pub fn associate(&self, namespace: &str, service_account: &str, role_arn: &str) {
        let key = (namespace.to_owned(), service_account.to_owned());
        let mut world = self.shared.lock();
        world.associations.insert(key, role_arn.to_owned());
    }

    /// Sessions opened from now on live this long, whatever is asked; `None` goes back to AWS's rule.
    pub fn set_session_lifetime(&self, lifetime: Option<Duration>) {
        let lifetime = lifetime.and_then(|l| SignedDuration::try_from(l).ok());
        self.shared.lock().iam.session_lifetime = lifetime;
    }

    /// All role sessions end now, though their clients believe them good.
    pub fn expire_sessions(&self) {
        let now = self.shared.clock.now();
        self.shared.lock().iam.expire_sessions(now);
    }

    /// Moves the fake's clock forward; recovery windows, visibility timeouts and delays of events
    /// that have run out take effect, and long polls that have lasted so long end.
    pub fn advance(&self, by: Duration) {
        self.shared.clock.advance(by);
        let now = self.shared.clock.now();
        self.shared.lock().stores.purge(now);
        self.shared.note_queues();
    }

    /// Multiplies the published quotas; `None` switches throttling off.
    pub fn scale_quotas(&self, scale: Option<f64>) {
        self.shared.lock().quotas.set_scale(scale);
    }

    /// Sets the quota of one group in requests per second, before scaling.
    pub fn set_quota(&self, group: QuotaGroup, per_second: f64) {
        self.shared.lock().quotas.set_rate(group, per_second);
    }

    /// Makes calls go wrong until the fault is cleared or used up.
    pub fn fault(&self, fault: Fault) -> FaultHandle {
        let id = self.shared.lock().faults.add(fault);
        FaultHandle {
            shared: self.shared.clone(),
            id,
        }
    }

    /// Makes calls hang that the closure narrows down, until the handle is dropped.
    pub fn hang(&self, narrow: impl FnOnce(Fault) -> Fault) -> Hang {
        let (fault, release) = Fault::hang();
        Hang {
            fault: self.fault(narrow(fault)),
            _release: release,
        }
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear_all();
    }

    /// All remembered calls, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.lock().log.calls().cloned().collect()
    }

    /// Calls of one operation since the start or the last reset.
    pub fn count(&self, operation: &str) -> u64 {
        self.shared.lock().log.count(operation)
    }

    /// How often an entry of this name was asked for, alone or in a batch, in all accounts and regions.
    pub fn reads_of(&self, name: &str) -> u64 {
        self.shared.lock().log.reads_of(name)
    }

    /// Calls of each operation since the start or the last reset.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.shared.lock().log.counts().clone()
    }

    /// The ids that each remembered call of an operation asked for, oldest first.
    pub fn ids_of(&self, operation: &str) -> Vec<Vec<String>> {
        self.shared.lock().log.ids_of(operation)
    }

    /// The most calls of this kind within any second since the start or the last reset, refused
    /// ones included; narrow it by operation, account, region or outcome.
    pub fn peak(&self, which: impl Fn(&Call) -> bool) -> usize {
        self.shared.lock().log.peak(which)
    }

    /// Forgets all calls, counts and peaks; queues keep their numbers.
    pub fn reset_counts(&self) {
        self.shared.lock().log.reset();
    }

    /// Waits until the log fulfils a condition, which is checked at each change. The condition
    /// looks at the log only: asking the fake or a queue from inside would wait for itself.
    ///
    /// # Errors
    /// After 30 seconds.
    pub async fn wait_for(&self, done: impl Fn(&CallLog) -> bool) -> Result<(), WaitTimeout> {
        let limit = Duration::from_secs(30);
        self.wait_within(limit, done).await
    }

    /// The same with another limit.
    ///
    /// # Errors
    /// After `limit`.
    pub async fn wait_within(
        &self,
        limit: Duration,
        done: impl Fn(&CallLog) -> bool,
    ) -> Result<(), WaitTimeout> {
        let mut changes = self.shared.changes.subscribe();
        let wait = async {
            while !done(&self.shared.lock().log) {
                // The sender lives as long as this fake.
                let _ = changes.changed().await;
            }
        };
        tokio::time::timeout(limit, wait)
            .await
            .map_err(|_| WaitTimeout(limit))
    }
}
