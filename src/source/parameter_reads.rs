//! Parameters as a hub reads them: gathered into batches of ten, or one by one where a batch does not tell.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use super::{
    bucket::Lane,
    failure::Failure,
    gather::Gather,
    hub::{Hub, ReadResult},
    metrics::{Operation, Outcome, SourceEvent},
    parameter_batch::{ParameterAnswer, ParameterAnswers, ParameterPlan, find, not_found, wire},
    reading::Reading,
    state::State,
};
use crate::core::{Entry, EntryAsk};
use futures::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};

pub(super) type ParameterRun = Shared<BoxFuture<'static, Arc<ParameterAnswers>>>;
pub(super) type WeakParameterRun = WeakShared<BoxFuture<'static, Arc<ParameterAnswers>>>;

impl Hub {
    /// A read that begins now, and what tells when it is on its way.
    pub(super) fn read_parameter(
        self: &Arc<Self>,
        state: &mut State,
        ask: &EntryAsk,
        reading: &Reading,
    ) -> (BoxFuture<'static, ReadResult>, Arc<AtomicBool>) {
        let lane = reading.lane;
        if state.suspects.contains(&ask.id) {
            let sent = Arc::new(AtomicBool::new(false));
            let read = self
                .clone()
                .parameter_singly(ask.clone(), sent.clone(), lane);
            return (read.boxed(), sent);
        }
        let (run, sent) = self.join_parameters(state, ask, reading);
        let read = self.clone().parameter_of(ask.clone(), run, lane);
        (read.boxed(), sent)
    }

    /// Puts an ask into the batch that gathers, or opens one.
    fn join_parameters(
        self: &Arc<Self>,
        state: &mut State,
        ask: &EntryAsk,
        reading: &Reading,
    ) -> (ParameterRun, Arc<AtomicBool>) {
        let add = |plan: &mut ParameterPlan| (plan.add(ask), plan.is_full());
        if let Some((gather, weak)) = &state.parameters
            && let Some(run) = weak.upgrade()
            && gather.add(reading, add)
        {
            return (run, gather.sent());
        }
        let gather = Arc::new(Gather::default());
        gather.add(reading, add);
        let sent = gather.sent();
        let run = self.clone().run_parameters(gather.clone()).boxed().shared();
        state.parameters = run.downgrade().map(|weak| (gather, weak));
        (run, sent)
    }

    /// Waits for more asks, then for a place, then asks AWS.
    async fn run_parameters(
        self: Arc<Self>,
        gather: Arc<Gather<ParameterPlan>>,
    ) -> Arc<ParameterAnswers> {
        let last = self.lock().last_partial_parameters;
        let wait = self.settings.wait(last, Instant::now());
        gather.filled(wait).await;
        let permit = self.places(gather.lane()).acquire().await;
        let plan = {
            let mut state = self.lock();
            state.close_parameters(&gather);
            let plan = gather.take();
            if !plan.is_full() {
                state.last_partial_parameters = Some(Instant::now());
            }
            plan
        };
        let answers = self.ask_parameters(&plan, gather.lane()).await;
        drop(permit);
        Arc::new(answers)
    }

    async fn ask_parameters(&self, plan: &ParameterPlan, lane: Lane) -> ParameterAnswers {
        for _ in plan.wires() {
            self.metrics.record(SourceEvent::ReadMade);
        }
        match self.parameters.get(plan.wires(), lane).await {
            Ok(reply) => {
                let own = self.calls.credentials.known_account();
                plan.settle(&reply, own.as_deref())
            }
            Err(failure) => plan.all(&self.parameters_failed(plan, failure)),
        }
    }

    /// What a batch that failed as a whole means for its members: a name that is denied, or whose key is, or that
    /// AWS finds malformed, fails all of them.
    fn parameters_failed(&self, plan: &ParameterPlan, failure: Failure) -> ParameterAnswer {
        if matches!(failure, Failure::Timeout | Failure::Unreadable(_)) {
            // One member may have spoilt it for all; the next time each is read by itself.
            let ids = plan.asks().map(|ask| ask.id.clone());
            self.lock().suspects.extend(ids);
        }
        match failure.outcome() {
            Outcome::Denied | Outcome::NotFound | Outcome::Refused
                if plan.wires().len() > 1 && matches!(failure, Failure::Refused(_)) =>
            {
                ParameterAnswer::Singly
            }
            _ => ParameterAnswer::Failed(failure),
        }
    }

    async fn parameter_of(
        self: Arc<Self>,
        ask: EntryAsk,
        run: ParameterRun,
        lane: Lane,
    ) -> ReadResult {
        let answer = run.await.get(&ask).cloned();
        match answer {
            Some(ParameterAnswer::Value(entry)) => Ok(entry),
            Some(ParameterAnswer::Failed(failure)) => Err(self
                .explain(&failure, Operation::GetParameters, Some(&ask))
                .await),
            Some(ParameterAnswer::Singly) | None => {
                self.parameter_singly(ask, Arc::default(), lane).await
            }
        }
    }

    async fn parameter_singly(
        self: Arc<Self>,
        ask: EntryAsk,
        sent: Arc<AtomicBool>,
        lane: Lane,
    ) -> ReadResult {
        let places = match self.lock().suspects.contains(&ask.id) {
            true => &self.suspect_permits,
            false => self.places(lane),
        };
        let permit = places.acquire().await;
        sent.store(true, Relaxed);
        let result = self.get_parameter(&ask, lane).await;
        drop(permit);
        match result {
            Ok(entry) => Ok(entry),
            Err(failure) => Err(self
                .explain(&failure, Operation::GetParameters, Some(&ask))
                .await),
        }
    }

    /// One parameter by itself.
    pub(super) async fn get_parameter(
        &self,
        ask: &EntryAsk,
        lane: Lane,
    ) -> Result<Arc<Entry>, Failure> {
        self.metrics.record(SourceEvent::ReadMade);
        let wire = wire(ask);
        let reply = self
            .parameters
            .get(std::slice::from_ref(&wire), lane)
            .await?;
        let own = self.calls.credentials.known_account();
        match find(ask, &reply, own.as_deref()) {
            Some(entry) => Ok(entry),
            // Found, but another version of that number: the one that was asked for is gone.
            None if !reply.found.is_empty() || reply.invalid.contains(&wire) => Err(not_found()),
            None => Err(Failure::Unreadable(200)),
        }
    }
}
