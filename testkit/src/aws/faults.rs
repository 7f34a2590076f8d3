//! Things that go wrong on purpose: per operation, per entry, for some calls or until cleared.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::error::AwsError;
use super::policy::glob;
use super::store::SecretRef;

/// Which calls go wrong, how, and how often.
///
/// Without further calls a fault hits every call of every operation until it is cleared.
#[derive(Debug, Clone)]
pub struct Fault {
    operation: Option<String>,
    entry: Option<String>,
    account: Option<String>,
    region: Option<String>,
    principal: Option<String>,
    left: Option<u32>,
    skip: u32,
    whole_call: bool,
    later_pages: bool,
    effect: Effect,
}

/// What happens to a call that is hit.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    Error(AwsError),
    Throttle {
        retry_after: Option<u32>,
    },
    Delay(Duration),
    /// Waits until the sender is gone.
    Hang(watch::Receiver<()>),
    CutBody,
    NotJson {
        status: u16,
    },
    OmitEntry,
    EmptyPage,
    Meanwhile(Meanwhile),
}

/// What somebody else does just before a call takes effect.
#[derive(Clone)]
pub(crate) struct Meanwhile(Arc<dyn Fn() + Send + Sync>);

impl Meanwhile {
    pub fn happen(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meanwhile")
    }
}

impl Fault {
    fn new(effect: Effect) -> Self {
        Self {
            operation: None,
            entry: None,
            account: None,
            region: None,
            principal: None,
            left: None,
            skip: 0,
            whole_call: false,
            later_pages: false,
            effect,
        }
    }

    /// Answers with an AWS error, such as `Fault::error(500, "InternalServiceError")`.
    pub fn error(status: u16, code: &str) -> Self {
        let text = "The fake was told to answer like this.";
        Self::new(Effect::Error(AwsError::with_status(
            status,
            code.to_owned(),
            text,
        )))
    }

    /// Answers AccessDeniedException.
    pub fn denied() -> Self {
        Self::error(400, "AccessDeniedException")
    }

    /// Answers ThrottlingException, with a `Retry-After` header in seconds if given.
    pub fn throttled(retry_after: Option<u32>) -> Self {
        Self::new(Effect::Throttle { retry_after })
    }

    /// Answers rightly, but later.
    pub fn delayed(by: Duration) -> Self {
        Self::new(Effect::Delay(by))
    }

    /// Breaks the connection in the middle of a right answer.
    pub fn cut_body() -> Self {
        Self::new(Effect::CutBody)
    }

    /// Answers with an HTML page, as proxies do.
    pub fn not_json(status: u16) -> Self {
        Self::new(Effect::NotJson { status })
    }

    /// Leaves the entry out of a batch answer: neither value nor error. Needs [`Fault::entry`].
    pub fn omitted() -> Self {
        Self::new(Effect::OmitEntry)
    }

    /// ListSecrets or a filtered batch answers an empty page with a NextToken.
    pub fn empty_page() -> Self {
        Self::new(Effect::EmptyPage)
    }

    /// Answers rightly, but somebody else comes first: `act` runs just before the call takes effect.
    pub fn meanwhile(act: impl Fn() + Send + Sync + 'static) -> Self {
        Self::new(Effect::Meanwhile(Meanwhile(Arc::new(act))))
    }

    /// Never answers until the returned sender is dropped; then answers rightly.
    pub(crate) fn hang() -> (Self, watch::Sender<()>) {
        let (sender, receiver) = watch::channel(());
        (Self::new(Effect::Hang(receiver)), sender)
    }

    /// Only calls of this operation. A batch member counts as a call of its
    /// own about its entry too (`GetSecretValue`, `DeleteMessage`).
    #[must_use]
    pub fn on(mut self, operation: &str) -> Self {
        self.operation = Some(operation.to_owned());
        self
    }

    /// Only calls that ask for this entry, by secret name; for SQS by queue name or message id.
    ///
    /// In a batch an error hits the member, the rest of the answer stays; everything that cannot
    /// be done to one member (delay, hang, cut) hits the call.
    #[must_use]
    pub fn entry(mut self, name: &str) -> Self {
        self.entry = Some(name.to_owned());
        self
    }

    /// An error of one entry fails the whole batch, as a VPC endpoint policy does.
    #[must_use]
    pub fn whole_call(mut self) -> Self {
        self.whole_call = true;
        self
    }

    /// Only pages that a NextToken asks for: what came before them was good.
    #[must_use]
    pub fn later_pages(mut self) -> Self {
        self.later_pages = true;
        self
    }

    /// Only callers of this account.
    #[must_use]
    pub fn account(mut self, account: &str) -> Self {
        self.account = Some(account.to_owned());
        self
    }

    /// Only calls to this region.
    #[must_use]
    pub fn region(mut self, region: &str) -> Self {
        self.region = Some(region.to_owned());
        self
    }

    /// Only callers whose ARN fits this glob.
    #[must_use]
    pub fn principal(mut self, pattern: &str) -> Self {
        self.principal = Some(pattern.to_owned());
        self
    }

    /// Only the next `times` calls.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.left = Some(times);
        self
    }

    /// Lets the first `calls` matching calls through.
    #[must_use]
    pub fn after(mut self, calls: u32) -> Self {
        self.skip = calls;
        self
    }

    fn fits(&self, call: &FaultCall<'_>, operation: &str) -> bool {
        let same = |wanted: &Option<String>, have: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == have)
        };
        (call.is_later_page || !self.later_pages)
            && same(&self.operation, operation)
            && same(&self.account, call.account)
            && same(&self.region, call.region)
            && self
                .principal
                .as_ref()
                .is_none_or(|pattern| glob(pattern, call.principal))
    }

    /// Whether it is done to one member of a batch instead of the call.
    fn is_for_member(&self) -> bool {
        let can = matches!(
            self.effect,
            Effect::Error(_) | Effect::Throttle { .. } | Effect::OmitEntry
        );
        can && self.entry.is_some() && !self.whole_call
    }

    /// Counts one hit; false when this one is let through.
    fn spend(&mut self) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if let Some(left) = &mut self.left {
            if *left == 0 {
                return false;
            }
            *left -= 1;
        }
        true
    }
}

/// The sides of a call that faults look at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FaultCall<'a> {
    pub operation: &'a str,
    pub account: &'a str,
    pub region: &'a str,
    pub principal: &'a str,
    /// It asks by a NextToken.
    pub is_later_page: bool,
}

/// What a batch does to each of its members; `None` for operations that are no batch.
pub(crate) fn member_operation(operation: &str) -> Option<&'static str> {
    Some(match operation {
        "BatchGetSecretValue" => "GetSecretValue",
        "DeleteMessageBatch" => "DeleteMessage",
        "ChangeMessageVisibilityBatch" => "ChangeMessageVisibility",
        _ => return None,
    })
}

/// All faults in force, in the order they were set.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    next: u64,
    all: Vec<(u64, Fault)>,
}

impl Faults {
    pub fn add(&mut self, fault: Fault) -> u64 {
        self.next += 1;
        self.all.push((self.next, fault));
        self.next
    }

    pub fn clear(&mut self, id: u64) {
        self.all.retain(|(at, _)| *at != id);
    }

    pub fn clear_all(&mut self) {
        self.all.clear();
    }

    /// What hits the call as a whole; counts it.
    pub fn for_call(&mut self, call: &FaultCall<'_>, ids: &[String]) -> Vec<Effect> {
        let hits = |fault: &Fault| {
            let single = member_operation(call.operation);
            let member = single.is_some() && fault.is_for_member();
            let entry = fault.entry.as_deref();
            let asked = entry.is_none_or(|name| ids.iter().any(|id| means(id, name)));
            let mut fits = fault.fits(call, call.operation);
            if let Some(single) = single
                && entry.is_some()
            {
                fits |= fault.fits(call, single);
            }
            !member && asked && fits
        };
        self.take(hits)
    }

    /// What hits one member of a batch; counts it.
    pub fn for_member(&mut self, call: &FaultCall<'_>, id: &str) -> Option<Effect> {
        if self.all.is_empty() {
            return None;
        }
        let single = member_operation(call.operation).unwrap_or(call.operation);
        let hits = |fault: &Fault| {
            fault.is_for_member()
                && fault.entry.as_deref().is_some_and(|name| means(id, name))
                && (fault.fits(call, call.operation) || fault.fits(call, single))
        };
        self.take(hits).into_iter().next()
    }

    fn take(&mut self, hits: impl Fn(&Fault) -> bool) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (_, fault) in &mut self.all {
            if hits(fault) && fault.spend() {
                effects.push(fault.effect.clone());
            }
        }
        effects
    }
}

/// Whether a `SecretId` is about the secret of this name.
fn means(id: &str, name: &str) -> bool {
    id == name || SecretRef::parse(id).is_ok_and(|r| r.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: &str = "BatchGetSecretValue";

    fn call(operation: &str) -> FaultCall<'_> {
        FaultCall {
            operation,
            account: "1",
            region: "us-east-1",
            principal: "arn:aws:sts::1:assumed-role/a/s",
            is_later_page: false,
        }
    }

    #[test]
    fn an_entry_fault_hits_the_member_and_not_the_batch() {
        let mut faults = Faults::default();
        faults.add(Fault::denied().entry("a").times(2));
        let ids = ["a".to_owned(), "b".to_owned()];
        assert!(faults.for_call(&call(BATCH), &ids).is_empty());
        assert!(faults.for_member(&call(BATCH), "b").is_none());
        assert!(faults.for_member(&call(BATCH), "a").is_some());
        assert_eq!(faults.for_call(&call("GetSecretValue"), &ids[..1]).len(), 1);
        assert!(faults.for_member(&call(BATCH), "a").is_none(), "spent");
    }

    #[test]
    fn whole_call_faults_hit_the_batch() {
        let mut faults = Faults::default();
        faults.add(Fault::denied().entry("a").whole_call());
        let ids = ["a".to_owned()];
        assert_eq!(faults.for_call(&call(BATCH), &ids).len(), 1);
        assert!(faults.for_member(&call(BATCH), "a").is_none());
        assert!(faults.for_call(&call(BATCH), &["b".to_owned()]).is_empty());
    }

    #[test]
    fn faults_are_narrowed_skipped_and_cleared() {
        let mut faults = Faults::default();
        let list = call("ListSecrets");
        let id = faults.add(Fault::throttled(None).on("ListSecrets").after(1).times(1));
        faults.add(Fault::denied().account("2"));
        faults.add(Fault::denied().region("eu-west-1"));
        faults.add(Fault::denied().principal("*/b/*"));
        let mut hits = |call: &FaultCall<'_>| faults.for_call(call, &[]).len();
        assert_eq!(hits(&call("GetSecretValue")), 0);
        assert_eq!([hits(&list), hits(&list), hits(&list)], [0, 1, 0]);
        faults.clear(id);
        faults.add(Fault::cut_body());
        faults.clear_all();
        assert!(faults.for_call(&list, &[]).is_empty());
    }
}
