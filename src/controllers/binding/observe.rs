//! Observe: the binding as the watch has it, its status, and whether there is anything to do.

use std::{sync::Arc, time::Instant};

use super::follow;
use crate::{
    api::{ExternalSecretBindingSpec, ExternalSecretBindingStatus as Status, Reason},
    cluster::{ObjectKey, SecretRow},
    controllers::context::{Context, Memory},
    core::{Finding, Recipe, ownership::Claim},
    source::addressed,
};

/// A binding at the start of a pass.
#[derive(Debug)]
pub struct Observed {
    /// Its key.
    pub key: ObjectKey,
    /// Its uid.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// It is being deleted.
    pub deleting: bool,
    /// It carries our finalizer.
    pub has_finalizer: bool,
    /// Its spec, or why it cannot be read.
    pub spec: Result<ExternalSecretBindingSpec, Finding>,
    /// Its status.
    pub status: Status,
    /// A refresh that was asked for and not answered yet.
    pub refresh: Option<String>,
    /// A rollback that was asked for and not answered yet.
    pub rollback: Option<String>,
    /// When the refresh that was asked for last, answered or not, was first seen.
    pub refresh_since: Option<Instant>,
    /// The Secret that its status or spec names, as the watch has it.
    pub secret: Option<Arc<SecretRow>>,
    /// Name of that Secret.
    pub target: String,
    /// Whether somebody asked for this pass, beside the clock and the Secret.
    pub asked: bool,
    /// Whether something that it reads is known to have changed at AWS.
    pub moved: bool,
}

impl Observed {
    /// Who wants which Secret.
    pub fn claim<'a>(&'a self, recipe: &'a Recipe) -> Claim<'a> {
        Claim {
            namespace: &self.key.namespace,
            binding: &self.key.name,
            binding_uid: &self.uid,
            target: &recipe.target,
        }
    }

    /// A finding of the sources, with this binding in its cure.
    pub fn addressed(&self, finding: Finding) -> Finding {
        addressed(finding, &self.key.namespace, &self.key.name)
    }
}

/// Reads the views at the start of a pass: what asked for it is taken as answered. None: there is no such
/// binding.
pub fn observe(context: &Context, key: &ObjectKey) -> Option<Observed> {
    let row = context.views.binding(key)?;
    let (asked, moved) = context.remember(key, |memory| {
        if memory.uid != row.uid || memory.generation != row.generation {
            *memory = Memory {
                uid: row.uid.clone(),
                generation: row.generation,
                asked: true,
                ..Memory::default()
            };
        }
        memory
            .refused
            .take_if(|(asked, _)| row.rollback.as_ref() != Some(asked));
        let moved = std::mem::take(&mut memory.moved);
        (std::mem::take(&mut memory.asked), moved)
    });
    let refresh_since = refresh_since(context, key, row.refresh.as_deref());
    Some(Observed {
        asked,
        moved,
        refresh_since,
        ..peek(context, key)?
    })
}

/// When a token was first seen: whatever is read from then on answers it.
fn refresh_since(context: &Context, key: &ObjectKey, token: Option<&str>) -> Option<Instant> {
    context.remember(key, |memory| {
        let before = memory.refresh.take();
        let same = before.filter(|(seen, _)| Some(seen.as_str()) == token);
        let now = Instant::now();
        let since = same.as_ref().map_or(now, |(_, since)| *since);
        memory.refresh = token.map(|token| (token.to_owned(), since));
        token.map(|_| since)
    })
}

/// Reads the views only.
pub fn peek(context: &Context, key: &ObjectKey) -> Option<Observed> {
    let row = context.views.binding(key)?;
    let status = row.status();
    let open = |asked: &Option<String>, answered: &Option<String>| {
        asked
            .clone()
            .filter(|token| answered.as_ref() != Some(token))
    };
    Some(Observed {
        key: key.clone(),
        uid: row.uid.clone(),
        generation: row.generation,
        deleting: row.deleting,
        has_finalizer: row.has_finalizer,
        spec: row.spec().map_err(|error| undecodable(key, &error)),
        refresh_since: None,
        refresh: open(&row.refresh, &status.last_handled_refresh),
        rollback: open(&row.rollback, &status.last_handled_rollback),
        secret: context
            .views
            .secret(&ObjectKey::new(&key.namespace, &row.target)),
        target: row.target.clone(),
        status,
        asked: false,
        moved: false,
    })
}

/// When the pass was asked for by nothing but an event of the Secret, which is as we left it, or of the
/// policies, which still allow everything: when it is due as planned before. The inner None: only after a change.
pub fn undisturbed(
    context: &Context,
    observed: &Observed,
    recipe: Option<&Recipe>,
) -> Option<Option<Instant>> {
    let recorded = observed.status.secret.as_ref()?;
    let row = observed.secret.as_ref()?;
    let as_left =
        recorded.name == observed.target && row.resource_version == recorded.resource_version;
    let (passed, due) = context.remember(&observed.key, |memory| (memory.passed, memory.due));
    let early = passed && is_early(observed, due, Instant::now());
    let allowed = |recipe| follow::still_allowed(context, observed, recipe);
    (as_left && early && recipe.is_some_and(allowed)).then_some(due)
}

/// Whether nobody asked for anything and the binding is due later, or never.
fn is_early(observed: &Observed, due: Option<Instant>, now: Instant) -> bool {
    due.is_none_or(|due| due > now)
        && observed.refresh.is_none()
        && observed.rollback.is_none()
        // Told at the end of the last pass, which has planned the next one since.
        && !observed.moved
        && !observed.asked
}

fn undecodable(key: &ObjectKey, error: &str) -> Finding {
    Finding::new(
        Reason::InvalidKey,
        format!("The binding {key} cannot be read: {error}."),
        "Apply it again in the form of this version of the CRD.",
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn observed(change: impl FnOnce(&mut Observed)) -> Observed {
        let mut observed = Observed {
            key: ObjectKey::new("estate", "ai"),
            uid: String::new(),
            generation: 1,
            deleting: false,
            has_finalizer: false,
            spec: Ok(ExternalSecretBindingSpec::default()),
            status: Status::default(),
            refresh: None,
            rollback: None,
            refresh_since: None,
            secret: None,
            target: "ai".to_owned(),
            asked: false,
            moved: false,
        };
        change(&mut observed);
        observed
    }

    #[test]
    fn whatever_was_asked_for_or_told_makes_a_pass_also_before_the_time() {
        let now = Instant::now();
        let later = Some(now + Duration::from_secs(60));
        let quiet = observed(|_| {});
        for (due, early) in [(later, true), (None, true), (Some(now), false)] {
            assert_eq!(is_early(&quiet, due, now), early);
        }
        let wishes: [fn(&mut Observed); 4] = [
            |observed| observed.refresh = Some("t".into()),
            |observed| observed.rollback = Some("k3v9q2/t".into()),
            |observed| observed.moved = true,
            |observed| observed.asked = true,
        ];
        for wish in wishes {
            assert!(!is_early(&observed(wish), later, now));
        }
    }
}
