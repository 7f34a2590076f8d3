//! What is read of the state of pods and Jobs, wherever that is. Messages are left out: they may hold anything.

use serde::Deserialize;

/// A condition of a pod or a Job.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub type_: String,
    pub status: String,
    pub reason: String,
}

/// Why a container does not run.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Waiting {
    pub reason: String,
}

/// The reason of the first of these conditions that holds.
pub(super) fn holds<'a>(conditions: &'a [Condition], types: &[&str]) -> Option<&'a str> {
    let mut holding = conditions.iter().filter(|c| c.status == "True");
    let found = holding.find(|c| types.contains(&c.type_.as_str()));
    found.map(|c| c.reason.as_str())
}
