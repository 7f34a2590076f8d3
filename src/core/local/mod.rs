//! What a binding gives on a laptop or a compose host: the data its Secret would have, and who may be asked for it.
//!
//! Owns the order read, render, gate as verbs follow it, and when something else may stand in for AWS. Printing and
//! files are somebody else's.

pub mod consent;
pub mod difference;
pub mod formats;
pub mod judged;
pub mod offers;
pub mod substitute;
pub mod variables;

use super::{Fetched, Finding, Recipe, Rendered, gate, render};
use crate::api::Reason;

/// Why a binding gives nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It could not be read or put together.
    NotGiven(Finding),
    /// It was put together, and the gate refuses it.
    Gate(Finding),
}

impl Refusal {
    /// Whether a file kept by hand may stand in for AWS: only when nobody can read it now. A refusal, a missing entry
    /// or a bad value is an answer, and the same from a file would get around it.
    pub fn is_outage(&self) -> bool {
        let Self::NotGiven(finding) = self else {
            return false;
        };
        matches!(
            finding.reason,
            Reason::AwsUnavailable | Reason::Throttled | Reason::NoCredentials
        )
    }

    /// What is wrong.
    pub fn finding(&self) -> &Finding {
        match self {
            Self::NotGiven(finding) | Self::Gate(finding) => finding,
        }
    }
}

impl std::fmt::Display for Refusal {
    /// The reason's word first, as conditions have it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let finding = self.finding();
        write!(f, "{}: {finding}", finding.reason)
    }
}

impl std::error::Error for Refusal {}

/// The complete data, if the operator would write it: rendered, and let through by the gate.
///
/// # Errors
/// [`Refusal`], whose words never hold a value.
pub fn candidate(recipe: &Recipe, fetched: &Fetched) -> Result<Rendered, Refusal> {
    let rendered = render(recipe, fetched).map_err(Refusal::NotGiven)?;
    let judged = gate::check_with_origins(&recipe.gate, &rendered.data, &rendered.origins);
    judged.map_err(Refusal::Gate)?;
    Ok(rendered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_outage_lets_a_file_stand_in() {
        let refused = |reason| Finding::new(reason, "fact", "cure");
        for reason in Reason::ALL.iter().copied() {
            let expected = matches!(
                reason.as_str(),
                "AwsUnavailable" | "Throttled" | "NoCredentials"
            );
            let refusal = Refusal::NotGiven(refused(reason));
            assert_eq!(refusal.is_outage(), expected, "{reason}");
            assert!(!Refusal::Gate(refused(reason)).is_outage(), "{reason}");
        }
    }
}
