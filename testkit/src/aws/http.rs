//! The listener's one handler: log, faults, quota, credentials, operation, reply. Both services
//! and the Pod Identity agent answer on the same address.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use futures::stream;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};

use super::calls::{Outcome, Service};
use super::error::AwsError;
use super::faults::{Effect, FaultCall};
use super::iam::{CredentialProblem, Principal};
use super::request::Incoming;
use super::secrets_manager::{self, Scope};
use super::{Shared, World, pod_identity, random_uuid, sts};

/// Larger than any legal request: 20 ids of 2,048 characters, or a value in base64.
const MAX_BODY: usize = 1024 * 1024;

const PROXY_PAGE: &str = "<html><body><h1>Not the service you meant</h1></body></html>";

/// A reply before faults shape it.
struct Reply {
    status: u16,
    content_type: &'static str,
    body: String,
    retry_after: Option<u32>,
    outcome: Outcome,
}

pub(crate) async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let incoming = Incoming::new(&parts, body);
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
    let reply = answer(&shared, &incoming, open.seq, &effects);
    let cut = effects.iter().any(|e| matches!(e, Effect::CutBody));
    open.finish(if cut {
        Outcome::Broken
    } else {
        reply.outcome.clone()
    });
    render(reply, cut)
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

fn answer(shared: &Shared, incoming: &Incoming, seq: u64, effects: &[Effect]) -> Reply {
    for effect in effects {
        match effect {
            Effect::Error(error) => return refuse(incoming.service, error, None),
            Effect::Throttle { retry_after } => {
                return refuse(incoming.service, &throttled(incoming.service), *retry_after);
            }
            Effect::NotJson { status } => {
                return Reply {
                    status: *status,
                    content_type: "text/html",
                    body: PROXY_PAGE.to_owned(),
                    retry_after: None,
                    outcome: Outcome::Broken,
                };
            }
            _ => {}
        }
    }
    let empty_page = effects.iter().any(|e| matches!(e, Effect::EmptyPage));
    let mut world = shared.lock();
    match run(&mut world, shared, incoming, seq, empty_page) {
        Ok(body) => Reply {
            status: 200,
            content_type: content_type(incoming.service),
            body,
            retry_after: None,
            outcome: Outcome::Ok,
        },
        Err(error) => refuse(incoming.service, &error, None),
    }
}

fn run(
    world: &mut World,
    shared: &Shared,
    incoming: &Incoming,
    seq: u64,
    empty_page: bool,
) -> Result<String, AwsError> {
    let now = shared.clock.now();
    match incoming.service {
        Service::PodIdentity => pod_identity::credentials(world, incoming, now),
        Service::Sts if incoming.operation == "AssumeRoleWithWebIdentity" => {
            sts::with_web_identity(world, &incoming.form, now)
        }
        service => {
            let caller = authenticate(world, incoming, now)?;
            let (account, region) = (&caller.account, incoming.region());
            if !world.quotas.take(account, region, &incoming.operation, now) {
                return Err(throttled(service));
            }
            if service == Service::Sts {
                return sts::signed(world, &caller, &incoming.operation, &incoming.form, now);
            }
            let mut scope = Scope {
                world,
                caller: &caller,
                region,
                now,
                seq,
                empty_page,
            };
            let reply = secrets_manager::handle(&mut scope, &incoming.operation, &incoming.body)?;
            Ok(reply.to_string())
        }
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
    let status = if sts { 403 } else { 400 };
    let name = if sts { "sts" } else { "secretsmanager" };
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

/// The refusal of an empty bucket; STS has a code of its own.
pub(crate) fn throttled(service: Service) -> AwsError {
    let code = match service {
        Service::Sts => "Throttling",
        _ => "ThrottlingException",
    };
    AwsError::new(code, "Rate exceeded")
}

fn content_type(service: Service) -> &'static str {
    match service {
        Service::SecretsManager => "application/x-amz-json-1.1",
        Service::Sts => "text/xml",
        Service::PodIdentity => "application/json",
    }
}

fn refuse(service: Service, error: &AwsError, retry_after: Option<u32>) -> Reply {
    let body = match service {
        Service::SecretsManager => serde_json::json!({
            "__type": error.code, "Message": error.message, "message": error.message,
        })
        .to_string(),
        Service::Sts => sts::error_xml(error),
        Service::PodIdentity => serde_json::json!({
            "code": error.code, "message": error.message,
        })
        .to_string(),
    };
    Reply {
        status: error.status,
        content_type: content_type(service),
        body,
        retry_after,
        outcome: Outcome::Failed {
            status: error.status,
            code: error.code.to_string(),
        },
    }
}

fn render(reply: Reply, cut: bool) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut builder = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, reply.content_type)
        .header("x-amzn-RequestId", random_uuid());
    if let Some(seconds) = reply.retry_after {
        builder = builder.header(RETRY_AFTER, seconds);
    }
    let body = if cut {
        builder = builder.header(CONTENT_LENGTH, reply.body.len());
        let half = Bytes::from(reply.body.into_bytes());
        let half = half.slice(..half.len() / 2);
        let broken = std::io::Error::other("cut on purpose");
        Body::from_stream(stream::iter([Ok(half), Err(broken)]))
    } else {
        Body::from(reply.body)
    };
    builder
        .body(body)
        .unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR))
}

fn plain(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
