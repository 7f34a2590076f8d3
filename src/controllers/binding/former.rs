//! Secrets that a binding wrote before its target was renamed.

use super::{Observed, Stop};
use crate::{
    api::binding::DeletionPolicy,
    cluster::{ObjectKey, upkeep},
    controllers::{context::Context, enrol},
    core::{Recipe, ownership::Claim, recipe::TargetRecipe},
};

/// What became of them.
#[derive(Debug, Default)]
pub struct Former {
    /// What a person should know about them.
    pub notes: Vec<String>,
    /// One is still in use, and is to be looked at again.
    pub in_use: bool,
}

/// Secrets that the binding wrote under another name: with a rollout they go once nobody uses them,
/// without one they stay and belong to nobody. Keys that it merged into another Secret leave it, as they do when
/// the binding is deleted.
pub async fn leave(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
) -> Result<Former, Stop> {
    let mut left = Former::default();
    for former in context.views.secrets_of(&observed.key) {
        if former.name == recipe.target.name {
            continue;
        }
        let target = target_at(recipe, &former);
        let claim = Claim {
            target: &target,
            ..observed.claim(recipe)
        };
        let (namespace, name) = (&former.namespace, &former.name);
        if recipe.rollout.is_none() {
            upkeep::release(&context.secrets, &claim).await?;
            left.notes.push(format!("The former Secret {name} stays and belongs to nobody: kubectl delete secret {name} -n {namespace}."));
        } else if enrol::in_use(context, &former)
            .await
            .map_err(|error| Stop::of(namespace, error))?
        {
            left.in_use = true;
            left.notes.push(format!(
                "The former Secret {name} goes once nothing uses it."
            ));
        } else {
            upkeep::delete(&context.secrets, &claim).await?;
            tracing::info!(binding = %observed.key, secret = %former, "a Secret of a former name was deleted");
        }
    }
    if recipe.target.deletion == DeletionPolicy::Delete {
        take_out_merged(context, observed, recipe).await?;
    }
    Ok(left)
}

async fn take_out_merged(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
) -> Result<(), Stop> {
    for former in context.views.merged_by(&observed.key) {
        if former.name == recipe.target.name {
            continue;
        }
        let target = target_at(recipe, &former);
        let claim = Claim {
            target: &target,
            ..observed.claim(recipe)
        };
        upkeep::merge_remove(&context.secrets, &claim).await?;
        tracing::info!(binding = %observed.key, secret = %former, "the keys were taken out of a Secret of a former name");
    }
    Ok(())
}

/// The target under its former name.
fn target_at(recipe: &Recipe, former: &ObjectKey) -> TargetRecipe {
    let mut target = recipe.target.clone();
    target.name.clone_from(&former.name);
    target
}
