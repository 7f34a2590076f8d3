//! One entry by itself: each spelling of its id that may be right, and words for what went wrong.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use super::{
    batch::Answer,
    bucket::Lane,
    errors::{Subject, read_finding},
    failure::Failure,
    hub::{BatchRun, Hub, ReadResult},
    metrics::{Operation, SourceEvent},
    wire::{answers, id_text, looks_complete, parse_arn},
};
use crate::{
    api::Reason,
    core::{Entry, EntryAsk, Finding, PrefixAsk, SecretId, Store},
};

impl Hub {
    pub(super) async fn by_batch(
        self: Arc<Self>,
        ask: EntryAsk,
        run: BatchRun,
        lane: Lane,
    ) -> ReadResult {
        let answer = run.await.get(&ask.id).cloned();
        match answer {
            Some(Answer::Value(entry)) => Ok(entry),
            Some(Answer::Failed(failure, operation)) => {
                Err(self.explain(&failure, operation, Some(&ask)).await)
            }
            Some(Answer::Singly) | None => self.singly(ask, Arc::default(), lane).await,
        }
    }

    /// One entry by GetSecretValue, under each spelling that may be right.
    pub(super) async fn singly(
        self: Arc<Self>,
        ask: EntryAsk,
        sent: Arc<AtomicBool>,
        lane: Lane,
    ) -> ReadResult {
        let places = if self.lock().suspects.contains(&ask.id) {
            &self.suspect_permits
        } else {
            self.places(lane)
        };
        let permit = places.acquire().await;
        sent.store(true, Relaxed);
        let result = self.get(&ask, lane).await;
        drop(permit);
        match result {
            Ok(entry) => Ok(Arc::new(entry)),
            Err(failure) => Err(self
                .explain(&failure, Operation::GetSecretValue, Some(&ask))
                .await),
        }
    }

    async fn get(&self, ask: &EntryAsk, lane: Lane) -> Result<Entry, Failure> {
        let first = self.lock().wire(&ask.id);
        let failure = match self.get_as(&first, ask, lane).await {
            Err(failure) if failure.may_be_misspelt() => failure,
            result => return result,
        };
        let SecretId::Arn(arn) = &ask.id else {
            return Err(failure);
        };
        let literal = id_text(&ask.id);
        if first != literal {
            // It was known as a partial ARN; the entry may have been recreated since.
            self.lock().bare.remove(arn);
            return self.get_as(&literal, ask, lane).await;
        }
        // AWS takes a resource that ends in hyphen and six characters for complete. If it is not, the whole
        // of it is the entry's name; a name means the caller's own account.
        let own = self
            .caller()
            .await
            .is_ok_and(|caller| caller.account == arn.account);
        if !own || !looks_complete(&arn.resource) || arn.region != self.region() {
            return Err(failure);
        }
        let Ok(entry) = self.get_as(&arn.resource, ask, lane).await else {
            return Err(failure);
        };
        self.lock().bare.insert(arn.clone());
        Ok(entry)
    }

    /// Reads under one spelling; a reply about something else is no answer.
    async fn get_as(&self, wire: &str, ask: &EntryAsk, lane: Lane) -> Result<Entry, Failure> {
        self.metrics.record(SourceEvent::ReadMade);
        let entry = self.calls.get(wire, &ask.version, lane).await?;
        let own = self.calls.credentials.known_account();
        let right = parse_arn(&entry.arn)
            .is_some_and(|arn| answers(&ask.id, &arn, &entry.name, own.as_deref()));
        if right {
            Ok(entry)
        } else {
            Err(Failure::Unreadable(200))
        }
    }

    /// Words for a failure. Asks AWS who we are if the words need it and it is not known.
    pub(super) async fn explain(
        &self,
        failure: &Failure,
        operation: Operation,
        ask: Option<&EntryAsk>,
    ) -> Finding {
        self.explained(failure, operation, ask, None).await
    }

    /// The same for a listing.
    pub(super) async fn explain_listing(&self, failure: &Failure, ask: &PrefixAsk) -> Finding {
        let (operation, path) = match ask.store {
            Store::Secrets => (Operation::ListSecrets, None),
            Store::Parameters => (Operation::GetParametersByPath, Some(ask.prefix.as_str())),
        };
        self.explained(failure, operation, None, path).await
    }

    async fn explained(
        &self,
        failure: &Failure,
        operation: Operation,
        ask: Option<&EntryAsk>,
        path: Option<&str>,
    ) -> Finding {
        let caller = match failure.names_the_caller() {
            true => self.caller().await.ok(),
            false => None,
        };
        let subject = Subject {
            operation,
            region: self.region(),
            caller: caller.as_ref(),
            entry: ask.map(|ask| (&ask.id, &ask.version)),
            path,
            patience: self.patience,
        };
        let finding = read_finding(failure, &subject);
        if finding.reason == Reason::AwsUnavailable || finding.reason == Reason::Throttled {
            tracing::warn!(target: "keyferry::source", region = self.region(), operation = operation.as_str(), reason = %finding.reason, "call failed");
        }
        finding
    }
}
