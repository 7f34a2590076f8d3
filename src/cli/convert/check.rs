//! `--check`: what AWS says of the entries and properties that the bindings name.

use super::{ConvertArgs, Page, Said, label, recipe};
use crate::{
    api::{
        ExternalSecretBindingSpec,
        Reason::{
            self, AccessDenied, KmsAccessDenied, MarkedForDeletion, SecretNotFound, StageMissing,
        },
    },
    cli::{Problems, bindings::Binding, reading::Reader},
    core::{
        Finding,
        convert::{Missing, Offer, composed, missing},
    },
};

/// Asks AWS for everything.
pub(super) async fn check(
    args: &ConvertArgs,
    pages: &mut [Page],
    said: &mut Said,
) -> Result<(), Problems> {
    let reader = Reader::new(args.aws.clone(), args.timeout)
        .await
        .map_err(Problems::one)?;
    for page in pages {
        let Ok(recipe) = recipe(&page.made) else {
            continue;
        };
        let binding = Binding {
            namespace: page
                .made
                .namespace
                .clone()
                .unwrap_or_else(|| "default".to_owned()),
            namespace_is_named: page.made.namespace.is_some(),
            name: page.made.name.clone(),
            recipe,
            place: String::new(),
        };
        if !reader.consent(&binding).await.map_err(Problems::one)? {
            said.lost(&format!("{}: not checked", label(&page.made)));
            continue;
        }
        let fetched = reader.fetch(&binding).await;
        let unread = |finding: &&Finding| finding.outage || !is_an_answer(finding.reason);
        let mut reads = fetched
            .entries
            .values()
            .filter_map(|read| read.as_ref().err());
        if let Some(finding) = reads.find(unread) {
            return Err(Problems::one(finding));
        }
        found(args, page, &missing(&binding.recipe, &fetched), said);
    }
    Ok(())
}

/// Whether AWS spoke about the entry.
fn is_an_answer(reason: Reason) -> bool {
    matches!(
        reason,
        AccessDenied | KmsAccessDenied | MarkedForDeletion | SecretNotFound | StageMissing
    )
}

/// Tells what does not exist; offers, or writes, the URL in its place.
fn found(args: &ConvertArgs, page: &mut Page, missing: &[Missing], said: &mut Said) {
    let offers: Vec<Offer> = missing.iter().filter_map(|it| it.offer.clone()).collect();
    let written: Option<ExternalSecretBindingSpec> = match args.compose && !offers.is_empty() {
        true => composed(&page.made.spec, &offers),
        false => None,
    };
    for it in missing {
        let told = format!("{}: {}: {}", label(&page.made), it.path, it.told);
        let Some(offer) = &it.offer else {
            said.lost(&told);
            page.comments.push(format!("{}: {}", it.path, it.told));
            continue;
        };
        let template = &offer.composed.template;
        match (&written, args.compose) {
            (Some(_), _) => {
                said.note(&format!("{told}; composed: {template}"));
                page.comments
                    .push(format!("{} is composed: {}", offer.key, it.told));
            }
            (None, true) => said.lost(&format!(
                "{told}; not composed, other keys of the binding are in the way: {template}"
            )),
            (None, false) => said.lost(&format!(
                "{told}; compose it (--compose writes it): {template}"
            )),
        }
        if written.is_none() {
            page.comments
                .push(format!("{}: {}; compose it: {template}", it.path, it.told));
        }
    }
    if let Some(spec) = written {
        page.made.spec = spec;
    }
}
