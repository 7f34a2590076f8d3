//! The finalizer of bindings whose keys lie in a Secret that outlives them.

use std::time::{Duration, Instant};

use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{Observed, Stop};
use crate::{
    api::{
        binding::{CreationPolicy, DeletionPolicy},
        names,
    },
    cluster::{BindingObject, ClusterError, apply_error::ApplyError, upkeep},
    controllers::context::Context,
    core::{Recipe, parse},
};

/// Whether keys of the binding lie in a Secret that outlives it, and are to leave it.
pub fn is_needed(recipe: &Recipe) -> bool {
    let target = &recipe.target;
    target.creation == CreationPolicy::Merge && target.deletion == DeletionPolicy::Delete
}

/// A merged Secret outlives its bindings: the finalizer holds the binding until its keys are out.
pub async fn hold(context: &Context, observed: &Observed, recipe: &Recipe) -> Result<(), Stop> {
    let needed = is_needed(recipe);
    if needed == observed.has_finalizer {
        return Ok(());
    }
    set(context, observed, needed).await.map_err(Stop::Cluster)
}

/// The binding goes: its keys leave a merged Secret, then the finalizer goes. An owned Secret is the
/// garbage collector's, a retained one is let go.
pub async fn clean_up(context: &Context, observed: &Observed) -> Option<Instant> {
    if !observed.has_finalizer {
        return None;
    }
    let ended = async {
        if let Ok(spec) = &observed.spec {
            let (namespace, name) = (&observed.key.namespace, &observed.key.name);
            if let Ok(recipe) = parse(namespace, name, spec, &context.settings.parse) {
                upkeep::merge_remove(&context.secrets, &observed.claim(&recipe)).await?;
            }
        }
        set(context, observed, false)
            .await
            .map_err(ApplyError::from)
    };
    match ended.await {
        Ok(()) => None,
        Err(error) => {
            tracing::warn!(binding = %observed.key, %error, "clean-up not finished, tried again");
            Some(Instant::now() + context.jittered(Duration::from_secs(5)))
        }
    }
}

async fn set(context: &Context, observed: &Observed, wanted: bool) -> Result<(), ClusterError> {
    let api: Api<BindingObject> =
        Api::namespaced(context.statuses.client(), &observed.key.namespace);
    let object = match api.get(&observed.key.name).await {
        Ok(object) => object,
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(_) => return Err(ClusterError::Unavailable("read the binding")),
    };
    let mut finalizers = object.metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|name| name != names::FINALIZER_MERGE);
    if wanted {
        finalizers.push(names::FINALIZER_MERGE.to_owned());
    }
    let patch = json!({"metadata": {
        "resourceVersion": object.metadata.resource_version,
        "finalizers": finalizers,
    }});
    let params = PatchParams {
        field_manager: Some(names::METADATA_FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api
        .patch(&observed.key.name, &params, &Patch::Merge(&patch))
        .await
    {
        Ok(object) => {
            context.views.put_binding(object);
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => Err(ClusterError::Conflict),
        Err(_) => Err(ClusterError::Unavailable("write the finalizer")),
    }
}
