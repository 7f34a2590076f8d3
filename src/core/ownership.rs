//! Whether a binding may write the Secret it found, and in which way.
//!
//! Owns that one decision. It looks at metadata only: bytes are compared in `change`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::{
    Finding, managers,
    recipe::TargetRecipe,
    secret_type::{TYPE_OPAQUE, type_allowed},
};
use crate::api::{
    Reason,
    binding::{CreationPolicy, DeletionPolicy},
    names,
};

/// Kind of our bindings, as it stands in owner references.
pub(super) const KIND: &str = "ExternalSecretBinding";
/// `apiVersion` of our bindings.
pub(super) const API_VERSION: &str = "keyferry.dev/v1alpha1";
/// The binding that wants to write.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Namespace of binding and Secret.
    pub namespace: &'a str,
    /// Name of the binding.
    pub binding: &'a str,
    /// Uid of the binding.
    pub binding_uid: &'a str,
    /// The Secret it wants.
    pub target: &'a TargetRecipe,
}

impl Claim<'_> {
    /// `Secret namespace/name`, as messages write it.
    pub fn secret(&self) -> String {
        format!("Secret {}/{}", self.namespace, self.target.name)
    }
}

/// What a Secret is apart from its bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SecretHead {
    /// Its metadata.
    pub meta: ObjectMeta,
    /// Its type; empty counts as Opaque.
    pub type_: String,
    /// True: the API server refuses every change of data.
    pub immutable: bool,
}

impl SecretHead {
    fn annotation(&self, name: &str) -> Option<&str> {
        self.meta
            .annotations
            .as_ref()?
            .get(name)
            .map(String::as_str)
    }

    fn type_or_default(&self) -> &str {
        if self.type_.is_empty() {
            TYPE_OPAQUE
        } else {
            &self.type_
        }
    }
}

/// How a binding may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// POST: there is no Secret.
    Create,
    /// PUT: it is ours, the map becomes exactly ours.
    Update,
    /// PUT: only the keys recorded as ours are touched. Also the first time.
    Adopt,
    /// Server-side apply of our keys.
    Merge,
    /// Nothing is written.
    Refuse(Finding),
}

/// Decides. `found` is the Secret of that name as it is now; `binding_exists` tells whether this
/// namespace has a binding of a name (a record left by a binding that is gone binds nobody).
pub fn decide(
    claim: &Claim<'_>,
    found: Option<&SecretHead>,
    binding_exists: &dyn Fn(&str) -> bool,
) -> Ownership {
    let verdict = allowed_target(claim).and_then(|()| match found {
        None => when_absent(claim),
        Some(head) => when_found(claim, head, binding_exists),
    });
    verdict.unwrap_or_else(Ownership::Refuse)
}

/// Checked here again although the schema and the parsing refuse the same: a type that mints a
/// ServiceAccount token must not depend on a schema being installed.
fn allowed_target(claim: &Claim<'_>) -> Result<(), Finding> {
    let (name, type_) = (&claim.target.name, &claim.target.type_);
    if is_reserved_name(name) {
        return Err(Finding::new(
            Reason::TargetConflict,
            format!(
                "The name of {} is kept for keyferry's own Secrets.",
                claim.secret()
            ),
            "Choose another target.name.",
        ));
    }
    if !type_allowed(type_) {
        return Err(type_refused(claim, type_));
    }
    Ok(())
}

fn when_absent(claim: &Claim<'_>) -> Result<Ownership, Finding> {
    match claim.target.creation {
        CreationPolicy::Owner | CreationPolicy::Adopt => Ok(Ownership::Create),
        CreationPolicy::Merge => Err(Finding::new(
            Reason::TargetMissing,
            format!(
                "{} does not exist; creationPolicy Merge only adds to one.",
                claim.secret()
            ),
            "Create it, or set creationPolicy: Owner. We notice at once.",
        )),
    }
}

fn when_found(
    claim: &Claim<'_>,
    head: &SecretHead,
    binding_exists: &dyn Fn(&str) -> bool,
) -> Result<Ownership, Finding> {
    let way = match claim.target.creation {
        CreationPolicy::Owner => may_own(claim, head).map(|()| Ownership::Update),
        CreationPolicy::Adopt => may_adopt(claim, head, binding_exists).map(|()| Ownership::Adopt),
        CreationPolicy::Merge => may_merge(claim, head).map(|()| Ownership::Merge),
    }?;
    writable(claim, head)?;
    Ok(way)
}

fn may_own(claim: &Claim<'_>, head: &SecretHead) -> Result<(), Finding> {
    if is_ours(claim, &head.meta) {
        return Ok(());
    }
    Err(Finding::new(
        Reason::TargetConflict,
        format!("{} exists and is {}.", claim.secret(), holder(claim, head)),
        "Choose another target.name, or set creationPolicy: Adopt. It was not touched.",
    ))
}

fn may_adopt(
    claim: &Claim<'_>,
    head: &SecretHead,
    binding_exists: &dyn Fn(&str) -> bool,
) -> Result<(), Finding> {
    let of_another = other_binding(claim, head).is_some_and(binding_exists);
    if !of_another && !is_part(&head.meta) && other_controller(claim, &head.meta).is_none() {
        return Ok(());
    }
    Err(Finding::new(
        Reason::TargetConflict,
        format!(
            "{} cannot be adopted: it is {}.",
            claim.secret(),
            holder(claim, head)
        ),
        "Choose another target.name, or release it there first. It was not touched.",
    ))
}

fn may_merge(claim: &Claim<'_>, head: &SecretHead) -> Result<(), Finding> {
    let written_whole = head.annotation(names::ANNOTATION_BINDING).is_some()
        && head.annotation(names::ANNOTATION_KEYS).is_none();
    if written_whole || is_part(&head.meta) {
        return Err(Finding::new(
            Reason::TargetConflict,
            format!(
                "{} is written as a whole, {}.",
                claim.secret(),
                holder(claim, head)
            ),
            "Choose another target.name. It was not touched.",
        ));
    }
    if head.annotation(names::ANNOTATION_MERGE) != Some("allow") {
        let (namespace, name) = (claim.namespace, &claim.target.name);
        return Err(Finding::new(
            Reason::TargetConflict,
            format!("{} does not let bindings merge into it.", claim.secret()),
            format!(
                "Its owner can allow it: kubectl annotate secret {name} -n {namespace} {}=allow. It was not touched.",
                names::ANNOTATION_MERGE
            ),
        ));
    }
    Ok(())
}

/// What holds for every policy once the Secret may be ours at all.
fn writable(claim: &Claim<'_>, head: &SecretHead) -> Result<(), Finding> {
    let (secret, live) = (claim.secret(), head.type_or_default());
    if !type_allowed(live) {
        return Err(type_refused(claim, live));
    }
    if head.meta.deletion_timestamp.is_some() {
        let held = head
            .meta
            .finalizers
            .iter()
            .flatten()
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        return Err(Finding::new(
            Reason::Progressing,
            format!("{secret} is being deleted and waits for finalizers: {held}."),
            "It is written again once it is gone.",
        ));
    }
    if head.immutable {
        return Err(Finding::new(
            Reason::TargetImmutable,
            format!("{secret} is immutable: its bytes cannot change."),
            "Choose another target.name, or delete it; it is written again at once.",
        ));
    }
    if claim.target.creation != CreationPolicy::Merge && live != claim.target.type_ {
        return Err(Finding::new(
            Reason::TargetImmutable,
            format!(
                "{secret} has type {live}, target.type asks for {}; a type cannot change.",
                claim.target.type_
            ),
            "Change target.name together with target.type, or delete the Secret.",
        ));
    }
    Ok(())
}

/// Ours by the record of the binding's name, and no other controller owns it. Label and uid do not
/// count: both are lost by restores and hand edits, and are put right by the next write.
pub fn is_ours(claim: &Claim<'_>, meta: &ObjectMeta) -> bool {
    let recorded = meta
        .annotations
        .as_ref()
        .and_then(|all| all.get(names::ANNOTATION_BINDING));
    recorded.is_some_and(|name| name == claim.binding)
        && !is_part(meta)
        && other_controller(claim, meta).is_none()
}

/// True when an owner reference names this binding by another uid, as after a restore: the garbage
/// collector deletes such a Secret within minutes, so the reference is rewritten before anything else.
pub fn has_stale_owner(claim: &Claim<'_>, meta: &ObjectMeta) -> bool {
    let mut owners = meta.owner_references.iter().flatten();
    is_ours(claim, meta)
        && owners.any(|owner| refers_to(claim, owner) && owner.uid != claim.binding_uid)
}

/// The owner references the Secret should have: those of others as they are, and ours where the Secret
/// shall go with the binding.
pub fn owner_references(claim: &Claim<'_>, live: &ObjectMeta) -> Vec<OwnerReference> {
    let owns = claim.target.creation != CreationPolicy::Merge
        && claim.target.deletion == DeletionPolicy::Delete;
    let ours = owns.then(|| reference(claim.binding, claim.binding_uid));
    foreign_owners(claim, live)
        .into_iter()
        .chain(ours)
        .collect()
}

/// The metadata of a Secret that serves the target for a while: it goes with the binding, and has one label of ours,
/// which the watch of target Secrets does not see.
pub fn part(claim: &Claim<'_>, name: String) -> ObjectMeta {
    let label = (names::LABEL_PART_OF.to_owned(), claim.binding.to_owned());
    ObjectMeta {
        name: Some(name),
        namespace: Some(claim.namespace.to_owned()),
        labels: Some([label].into()),
        owner_references: Some(vec![reference(claim.binding, claim.binding_uid)]),
        ..ObjectMeta::default()
    }
}

/// A binding as an owner.
pub fn reference(binding: &str, uid: &str) -> OwnerReference {
    // No blockOwnerDeletion: it needs the right to update finalizers of the binding.
    OwnerReference {
        api_version: API_VERSION.to_owned(),
        kind: KIND.to_owned(),
        name: binding.to_owned(),
        uid: uid.to_owned(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

/// The owner references that are not this binding's.
pub fn foreign_owners(claim: &Claim<'_>, live: &ObjectMeta) -> Vec<OwnerReference> {
    let all = live.owner_references.iter().flatten();
    all.filter(|owner| !refers_to(claim, owner))
        .cloned()
        .collect()
}

fn refers_to(claim: &Claim<'_>, owner: &OwnerReference) -> bool {
    let group = owner.api_version.split('/').next();
    owner.kind == KIND && group == Some(names::GROUP) && owner.name == claim.binding
}

fn other_controller<'a>(claim: &Claim<'_>, meta: &'a ObjectMeta) -> Option<&'a OwnerReference> {
    managers::controller(meta).filter(|owner| !refers_to(claim, owner))
}

fn other_binding<'a>(claim: &Claim<'_>, head: &'a SecretHead) -> Option<&'a str> {
    head.annotation(names::ANNOTATION_BINDING)
        .filter(|name| *name != claim.binding)
}

/// Companions and candidates carry this label: they belong to the machinery of a binding, even our own.
fn is_part(meta: &ObjectMeta) -> bool {
    meta.labels
        .as_ref()
        .is_some_and(|labels| labels.contains_key(names::LABEL_PART_OF))
}

fn holder(claim: &Claim<'_>, head: &SecretHead) -> String {
    match other_binding(claim, head) {
        Some(name) if other_controller(claim, &head.meta).is_none() => {
            format!("managed by \"{KIND}/{name}\"")
        }
        _ => managers::managed_by(&head.meta),
    }
}

fn is_reserved_name(name: &str) -> bool {
    name == names::INSTALL_KEY_SECRET
        || name.ends_with(names::SUFFIX_PREVIOUS)
        || name.ends_with(names::SUFFIX_CANDIDATE)
}

fn type_refused(claim: &Claim<'_>, type_: &str) -> Finding {
    Finding::new(
        Reason::TypeNotAllowed,
        format!(
            "{} may not have type {type_}: Kubernetes or Helm acts on such Secrets.",
            claim.secret()
        ),
        "Use Opaque, kubernetes.io/tls, dockerconfigjson, basic-auth, ssh-auth or a type of your own, with another target.name.",
    )
}

#[cfg(test)]
#[path = "ownership_test.rs"]
mod tests;
