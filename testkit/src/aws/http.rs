//! The listener's one handler: log, faults, quota, credentials, operation, reply. All services
//! and the Pod Identity agent answer on the same address.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use super::calls::{Outcome, Service};
use super::error::AwsError;
use super::events::{self, ApiCall};
use super::faults::{Effect, FaultCall};
use super::iam::{CredentialProblem, Principal};
use super::reply::{Reply, plain, throttled};
use super::request::Incoming;
use super::{Shared, World, parameter_store, pod_identity, secrets_manager, sqs, sts};

/// Larger than any legal request: an SQS message of 1 MiB, escaped.
const MAX_BODY: usize = 3 * 1024 * 1024;

pub(crate) async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let incoming = Incoming::new(&parts, body, shared.clock.now());
    let (mut open, effects) = OpenCall::begin(&shared, &incoming);
    for effect in &effects {
        match effect {
            Effect::Delay(by) => tokio::time::sleep(*by).await,
            Effect::Hang(released) => {
                // An error means that the holder let go, which is what is waited for.
                let _ = released.clone().changed().await;
            }
            _ => {}
        }
    }
    let reply = answer(&shared, &incoming, open.seq, &effects).await;
    let cut = effects.iter().any(|e| matches!(e, Effect::CutBody));
    open.finish(if cut {
        Outcome::Broken
    } else {
        reply.outcome.clone()
    });
    reply.render(cut)
}

/// A call in the log without an outcome yet; dropped without one, the client has gone.
struct OpenCall {
    shared: Arc<Shared>,
    seq: u64,
    done: bool,
}

impl OpenCall {
    fn begin(shared: &Arc<Shared>, incoming: &Incoming) -> (Self, Vec<Effect>) {
        let mut call = incoming.to_call();
        let mut world = shared.lock();
        if let Some(principal) = world.iam.peek(&call.access_key_id) {
            call.account.clone_from(&principal.account);
            call.principal.clone_from(&principal.arn);
            if call.session_name.is_empty() {
                call.session_name.clone_from(&principal.session_name);
            }
        }
        let side = FaultCall {
            operation: &call.operation,
            account: &call.account,
            region: &call.region,
            principal: &call.principal,
            is_later_page: incoming.is_later_page(),
        };
        let effects = world.faults.for_call(&side, &call.ids);
        let seq = world.log.begin(call);
        drop(world);
        shared.note_change();
        let open = Self {
            shared: shared.clone(),
            seq,
            done: false,
        };
        (open, effects)
    }

    fn finish(&mut self, outcome: Outcome) {
        self.done = true;
        if let Some(call) = self.shared.lock().log.get_mut(self.seq) {
            call.outcome = outcome;
        }
        self.shared.note_change();
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        if !self.done {
            self.finish(Outcome::Abandoned);
        }
    }
}

async fn answer(shared: &Shared, incoming: &Incoming, seq: u64, effects: &[Effect]) -> Reply {
    if let Some(reply) = effects.iter().find_map(|effect| wrong(incoming, effect)) {
        return reply;
    }
    for effect in effects {
        if let Effect::Meanwhile(meanwhile) = effect {
            meanwhile.happen();
        }
    }
    let empty_page = effects.iter().any(|e| matches!(e, Effect::EmptyPage));
    match run(shared, incoming, seq, empty_page).await {
        Ok(body) => Reply::success(incoming.service, body),
        Err(error) => Reply::refusal(incoming, &error, None),
    }
}

/// The answer of a fault that leaves nothing to do.
fn wrong(incoming: &Incoming, effect: &Effect) -> Option<Reply> {
    Some(match effect {
        Effect::Error(error) => Reply::refusal(incoming, error, None),
        Effect::Throttle { retry_after } => {
            Reply::refusal(incoming, &throttled(incoming.service), *retry_after)
        }
        Effect::NotJson { status } => Reply::not_json(*status),
        _ => return None,
    })
}

async fn run(
    shared: &Shared,
    incoming: &Incoming,
    seq: u64,
    empty_page: bool,
) -> Result<String, AwsError> {
    let now = shared.clock.now();
    match incoming.service {
        Service::PodIdentity => pod_identity::credentials(&mut shared.lock(), incoming, now),
        Service::Sts if incoming.operation == "AssumeRoleWithWebIdentity" => {
            sts::with_web_identity(&mut shared.lock(), &incoming.form, now)
        }
        Service::Sts => {
            let mut world = shared.lock();
            let caller = admit(&mut world, incoming, now)?;
            sts::signed(
                &mut world,
                &caller,
                &incoming.operation,
                &incoming.form,
                now,
            )
        }
        Service::SecretsManager => secret(shared, incoming, seq, empty_page, now),
        Service::Ssm => parameter(shared, incoming, empty_page, now),
        Service::Sqs => queue(shared, incoming, seq).await,
    }
}

fn secret(
    shared: &Shared,
    incoming: &Incoming,
    seq: u64,
    empty_page: bool,
    now: Timestamp,
) -> Result<String, AwsError> {
    let mut world = shared.lock();
    let caller = admit(&mut world, incoming, now)?;
    let mut scope = secrets_manager::Scope {
        world: &mut world,
        caller: &caller,
        region: incoming.region(),
        now,
        seq,
        empty_page,
    };
    let reply = secrets_manager::handle(&mut scope, &incoming.operation, &incoming.body);
    if events::is_told(&incoming.operation) {
        let call = ApiCall {
            operation: &incoming.operation,
            principal: &caller,
            region: incoming.region(),
            // A body that is no JSON was refused and has nothing to repeat.
            request: serde_json::from_slice(&incoming.body).unwrap_or_default(),
        };
        let arn = reply.as_ref().map(|reply| {
            let arn = reply.get("ARN").and_then(Value::as_str);
            arn.unwrap_or_default()
        });
        events::announce(&mut world, &call, arn, now);
        drop(world);
        shared.note_queues();
    }
    Ok(reply?.to_string())
}

fn parameter(
    shared: &Shared,
    incoming: &Incoming,
    empty_page: bool,
    now: Timestamp,
) -> Result<String, AwsError> {
    let mut world = shared.lock();
    let caller = admit(&mut world, incoming, now)?;
    let mut scope = parameter_store::Scope {
        world: &mut world,
        caller: &caller,
        region: incoming.region(),
        empty_page,
    };
    let reply = parameter_store::handle(&mut scope, &incoming.operation, &incoming.body)?;
    Ok(reply.to_string())
}

/// One SQS call; a long poll looks again whenever a queue or the clock changes.
async fn queue(shared: &Shared, incoming: &Incoming, seq: u64) -> Result<String, AwsError> {
    let caller = admit(&mut shared.lock(), incoming, shared.clock.now())?;
    let mut changes = shared.queue_changes();
    loop {
        // Marked before looking: a message that comes in between is a change again.
        changes.mark_unchanged();
        let now = shared.clock.now();
        let step = {
            let mut world = shared.lock();
            let mut scope = sqs::Scope {
                world: &mut world,
                caller: &caller,
                region: incoming.region(),
                now,
                started: incoming.arrived,
                seq,
            };
            sqs::handle(&mut scope, &incoming.operation, &incoming.body)?
        };
        match step {
            sqs::Step::Done(reply) => {
                shared.note_queues();
                return Ok(reply.to_string());
            }
            sqs::Step::Wait(until) => wait(shared, until, &mut changes).await,
        }
    }
}

/// Until the fake's clock shows this time or something changes.
async fn wait(shared: &Shared, until: Timestamp, changes: &mut watch::Receiver<u64>) {
    let left = until.duration_since(shared.clock.now()).unsigned_abs();
    // Whichever comes first: both mean to look again.
    let _ = tokio::time::timeout(left, changes.changed()).await;
}

/// Who calls, if the credentials are good and the quota is not used up.
fn admit(
    world: &mut World,
    incoming: &Incoming,
    now: Timestamp,
) -> Result<Arc<Principal>, AwsError> {
    let caller = authenticate(world, incoming, now)?;
    let (account, region) = (&caller.account, incoming.region());
    match world.quotas.take(account, region, &incoming.operation, now) {
        true => Ok(caller),
        false => Err(throttled(incoming.service)),
    }
}

/// Checks the header's shape, the key, the session token and the expiry; words a refusal as the
/// asked service does.
fn authenticate(
    world: &World,
    incoming: &Incoming,
    now: jiff::Timestamp,
) -> Result<Arc<Principal>, AwsError> {
    let sts = incoming.service == Service::Sts;
    let (name, status) = match incoming.service {
        Service::Sts => ("sts", 403),
        Service::Sqs => ("sqs", 403),
        Service::Ssm => ("ssm", 400),
        _ => ("secretsmanager", 400),
    };
    let fail = |code: &'static str, text: &str| Err(AwsError::with_status(status, code, text));
    let signature = match &incoming.signature {
        None => {
            return fail(
                "MissingAuthenticationTokenException",
                "Missing Authentication Token",
            );
        }
        Some(Err(_)) => {
            return fail(
                "IncompleteSignatureException",
                "Authorization header is not a whole AWS Signature Version 4 header.",
            );
        }
        Some(Ok(signature)) => signature,
    };
    if signature.service != name {
        return fail(
            "InvalidSignatureException",
            &format!("Credential should be scoped to correct service: '{name}'."),
        );
    }
    let token = incoming.token.as_deref();
    let invalid = "The security token included in the request is invalid.";
    let expired = "The security token included in the request is expired";
    match world.iam.authenticate(&signature.access_key_id, token, now) {
        Ok(principal) => Ok(principal),
        Err(CredentialProblem::Unknown) if sts => fail("InvalidClientTokenId", invalid),
        Err(CredentialProblem::Unknown) => fail("UnrecognizedClientException", invalid),
        Err(CredentialProblem::Expired) if sts => fail("ExpiredToken", expired),
        Err(CredentialProblem::Expired) => fail("ExpiredTokenException", expired),
    }
}
