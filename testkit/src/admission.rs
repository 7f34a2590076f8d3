//! A door in the API server: an admission webhook that holds the write of one Secret until a test
//! lets it go, so that something can happen between two requests of the operator.

use std::{sync::Arc, time::Duration};

use axum::{
    Router, body::Bytes, extract::State, http::header::CONTENT_TYPE, response::IntoResponse,
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::api::{
    admissionregistration::v1::ValidatingWebhookConfiguration, core::v1::Secret,
};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    Error, Result,
    aws::tls::{self, TlsEndpoint},
};

/// How long the API server may take to know the webhook, and a write to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// The door before one Secret. Open until [`Door::close`]; [`Door::remove`] takes it away.
pub struct Door {
    client: Client,
    name: String,
    state: Arc<Shared>,
    _endpoint: TlsEndpoint,
}

struct Shared {
    secret: String,
    closed: watch::Sender<bool>,
    /// Calls of any kind: shows that the API server knows the webhook.
    calls: watch::Sender<usize>,
    /// Writes of the Secret that wait.
    waiting: watch::Sender<usize>,
}

impl Door {
    /// Puts an open door before the Secret and waits until the API server uses it.
    ///
    /// # Errors
    /// When the webhook cannot be served or registered.
    pub async fn before(client: Client, namespace: &str, secret: &str) -> Result<Self> {
        let state = Arc::new(Shared {
            secret: secret.to_owned(),
            closed: watch::Sender::new(false),
            calls: watch::Sender::new(0),
            waiting: watch::Sender::new(0),
        });
        let app = Router::new()
            .route("/", post(review))
            .with_state(Arc::clone(&state));
        let endpoint = tls::serve(app, &[])
            .await
            .map_err(Error::io("serve a webhook"))?;
        let name = format!("door-{namespace}-{secret}");
        let configuration = configuration(&name, namespace, &endpoint)?;
        let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
        api.create(&PostParams::default(), &configuration)
            .await
            .map_err(Error::kube("register a webhook"))?;
        let door = Self {
            client,
            name,
            state,
            _endpoint: endpoint,
        };
        door.until_in_use(namespace).await?;
        Ok(door)
    }

    /// Holds every write of the Secret from now on.
    pub fn close(&self) {
        self.state.closed.send_replace(true);
    }

    /// Waits until a write of the Secret is held.
    ///
    /// # Errors
    /// When none comes.
    pub async fn until_held(&self) -> Result<()> {
        let mut waiting = self.state.waiting.subscribe();
        let held = waiting.wait_for(|waiting| *waiting > 0);
        match tokio::time::timeout(PATIENCE, held).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Error::Other("no write came to the closed door".to_owned())),
        }
    }

    /// Lets what is held go, and whatever comes after.
    pub fn open(&self) {
        self.state.closed.send_replace(false);
    }

    /// Opens the door and takes it away.
    ///
    /// # Errors
    /// When the API server does not let it be removed.
    pub async fn remove(self) -> Result<()> {
        self.open();
        let api: Api<ValidatingWebhookConfiguration> = Api::all(self.client.clone());
        let removed = api.delete(&self.name, &DeleteParams::default()).await;
        removed.map(|_| ()).map_err(Error::kube("remove a webhook"))
    }

    async fn until_in_use(&self, namespace: &str) -> Result<()> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let mut probe = Secret::default();
        probe.metadata.name = Some("door-probe".to_owned());
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while *self.state.calls.borrow() == 0 {
            if tokio::time::Instant::now() > deadline {
                return Err(Error::Other(
                    "the API server does not call the webhook".to_owned(),
                ));
            }
            api.create(&dry, &probe)
                .await
                .map_err(Error::kube("try the webhook"))?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

/// Answers yes; for the Secret of the closed door only once it is open.
async fn review(State(state): State<Arc<Shared>>, body: Bytes) -> impl IntoResponse {
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    state.calls.send_modify(|calls| *calls += 1);
    let request = &review["request"];
    if request["name"].as_str() == Some(&state.secret) {
        state
            .waiting
            .send_modify(|waiting| *waiting += usize::from(*state.closed.borrow()));
        let mut closed = state.closed.subscribe();
        closed.wait_for(|closed| !closed).await.ok();
    }
    let answer = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": request["uid"], "allowed": true},
    });
    ([(CONTENT_TYPE, "application/json")], answer.to_string())
}

fn configuration(
    name: &str,
    namespace: &str,
    endpoint: &TlsEndpoint,
) -> Result<ValidatingWebhookConfiguration> {
    let url = format!("https://127.0.0.1:{}/", endpoint.address().port());
    let configuration = json!({
        "metadata": {"name": name},
        "webhooks": [{
            "name": "door.testkit.keyferry.dev",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "timeoutSeconds": 30,
            "failurePolicy": "Fail",
            "clientConfig": {"url": url, "caBundle": STANDARD.encode(endpoint.ca_pem())},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "resources": ["secrets"],
                "operations": ["CREATE", "UPDATE"],
            }],
        }],
    });
    serde_json::from_value(configuration).map_err(|e| Error::Other(format!("webhook: {e}")))
}
