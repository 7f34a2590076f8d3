//! One candidate and the program that tries it: their Secret and their Job.

use std::time::Duration;

use super::{
    Observed, Stop, abandon, later,
    record::{clear, cleared, looked_at, write_down},
};
use crate::{
    api::{
        Reason,
        binding::CreationPolicy,
        preflight::{PreflightOutcome as Outcome, PreflightStatus},
    },
    cluster::ClusterError,
    controllers::{
        binding::{fetch::Read, versions},
        context::Context,
    },
    core::{
        Finding, Recipe, Rendered, ownership,
        preflight::{self, JobPlan},
        recipe::PreflightRecipe,
        secret_type::TYPE_OPAQUE,
    },
    telemetry::audit,
};

/// A candidate that has to be tried.
pub(super) struct Trial<'a> {
    pub(super) context: &'a Context,
    pub(super) observed: &'a Observed,
    pub(super) recipe: &'a Recipe,
    pub(super) program: &'a PreflightRecipe,
    pub(super) read: &'a Read,
    pub(super) rendered: &'a Rendered,
}

impl Trial<'_> {
    /// Starts the program, unless the Secret holds these very bytes.
    pub(super) async fn start(&self, mut record: PreflightStatus) -> Result<(), Stop> {
        let Self {
            context,
            observed,
            program,
            ..
        } = *self;
        if self.is_live().await? {
            return abandon(context, observed).await;
        }
        clear(context, observed).await?;
        write_down(context, observed, program, &record).await?;
        let made = self.make(&record).await;
        let Err(error) = made else {
            looked_at(context, observed, &record.job);
            return Err(later(Duration::ZERO));
        };
        let Some(finding) = explained(observed, &error) else {
            return Err(match error {
                ClusterError::NamespaceTerminating => Stop::Terminating,
                error => Stop::Cluster(error),
            });
        };
        (record.outcome, record.reason) = (Outcome::Unavailable, "NotMade".to_owned());
        write_down(context, observed, program, &record).await?;
        clear(context, observed).await?;
        cleared(context, observed, &record.job);
        Err(Stop::Failed(finding))
    }

    /// True when the Secret holds these very bytes, whatever they are called.
    async fn is_live(&self) -> Result<bool, Stop> {
        let Self {
            context,
            observed,
            recipe,
            rendered,
            ..
        } = *self;
        let (namespace, name) = (&observed.key.namespace, &recipe.target.name);
        let found = context.secrets.get(namespace, name).await;
        let Some(live) = found.map_err(Stop::Cluster)? else {
            return Ok(false);
        };
        let mut ours = rendered.data.iter();
        Ok(match recipe.target.creation {
            CreationPolicy::Owner => live.data == rendered.data,
            CreationPolicy::Adopt | CreationPolicy::Merge => {
                ours.all(|(key, value)| live.data.get(key) == Some(value))
            }
        })
    }

    async fn make(&self, record: &PreflightStatus) -> Result<(), ClusterError> {
        let Self {
            context,
            observed,
            recipe,
            program,
            read,
            rendered,
        } = *self;
        let (namespace, binding) = (&observed.key.namespace, &observed.key.name);
        let secret = preflight::candidate_name(&recipe.target.name);
        let meta = ownership::part(&observed.claim(recipe), secret.clone());
        let _place = context.writes.acquire().await;
        let created = context
            .secrets
            .create(namespace, &meta, TYPE_OPAQUE, &rendered.data);
        created.await?;
        context.metrics.kubernetes_write("secrets", "create");
        audit::secret_written(audit::SecretWrite {
            namespace,
            binding,
            secret: &secret,
            op: "create",
            revision: &record.candidate,
            sources: &versions::as_shown(context, read),
        });
        let job = preflight::job(&JobPlan {
            name: &record.job,
            namespace,
            binding,
            binding_uid: &observed.uid,
            secret: &secret,
            recipe: program,
        });
        match context.jobs.create(namespace, &job).await {
            Ok(()) => context.metrics.kubernetes_write("jobs", "create"),
            Err(ClusterError::AlreadyExists) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// What a person can act on.
fn explained(observed: &Observed, error: &ClusterError) -> Option<Finding> {
    let namespace = &observed.key.namespace;
    match error {
        ClusterError::Forbidden {
            verb,
            resource,
            why,
        } if why.starts_with("RBAC") => Some(Finding::new(
            Reason::OperatorForbidden,
            format!("The operator may not {verb} {resource} in namespace {namespace}: {why}."),
            format!(
                "Grant its ServiceAccount {verb} on {resource} there (chart value allowPreflight)."
            ),
        )),
        ClusterError::Forbidden { .. } | ClusterError::Invalid { .. } | ClusterError::TooLarge => {
            Some(preflight::not_made(&error.to_string(), namespace))
        }
        // Ours were cleared away just before.
        ClusterError::AlreadyExists => Some(preflight::not_made(
            "the name of the candidate's Secret is taken by somebody else's",
            namespace,
        )),
        _ => None,
    }
}
