//! As whom a binding reads.

use super::Observed;
use crate::{
    api::Reason,
    cluster::ObjectKey,
    controllers::context::Context,
    core::{Finding, Recipe},
    source::{IdentityAsk, ServiceAccountIdentity},
};

/// Who asks, from the recipe and the ServiceAccount as the watch has it.
pub fn identity(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
) -> Result<IdentityAsk, Finding> {
    let wanted = &recipe.identity;
    let service_account = match &wanted.service_account {
        Some(name) => Some(service_account(context, &observed.key.namespace, name)?),
        None => None,
    };
    Ok(IdentityAsk {
        namespace: observed.key.namespace.clone(),
        region: wanted.region.clone(),
        service_account,
        role_arn: wanted.role_arn.clone(),
        sts_region: None,
        external_id: wanted.external_id.clone(),
        session_tags: wanted.session_tags.clone(),
    })
}

fn service_account(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<ServiceAccountIdentity, Finding> {
    if !context.settings.allow_service_accounts {
        return Err(Finding::new(
            Reason::AccessNotAllowed,
            format!(
                "This install does not let bindings read as a ServiceAccount (asked {namespace}/{name})."
            ),
            "A cluster admin can allow it with --allow-service-account-identity; or leave source.serviceAccountName out.",
        ));
    }
    let row = context
        .views
        .service_account(&ObjectKey::new(namespace, name))
        .ok_or_else(|| {
            Finding::new(
                Reason::AssumeRoleFailed,
                format!("ServiceAccount {namespace}/{name} does not exist."),
                "Create it; we notice at once.",
            )
        })?;
    let role_arn = row.role_arn.clone().ok_or_else(|| {
        Finding::new(
            Reason::AssumeRoleFailed,
            format!(
                "ServiceAccount {namespace}/{name} has no annotation {}.",
                crate::api::names::ANNOTATION_ROLE_ARN
            ),
            "Add it; we notice at once.",
        )
    })?;
    Ok(ServiceAccountIdentity {
        name: name.to_owned(),
        uid: row.uid.clone(),
        role_arn,
    })
}
