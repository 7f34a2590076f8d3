//! Bounds of the status. Generous: a status that the server refuses would hide what it has to say.

use super::Node;
use crate::api::limits;

/// Room for a message.
const MESSAGE_CHARS: i64 = 32_768;
/// Room for a token that a user chose for an annotation.
const TOKEN_CHARS: i64 = 4_096;

/// Every bound of the status.
pub(in crate::api) fn nodes() -> Vec<Node> {
    vec![
        Node::object("status").described("What is known of the binding, written by keyferry."),
        Node::text("status.identity", limits::ROLE_ARN_CHARS),
        Node::text("status.secret.name", 253),
        Node::text_or_empty("status.secret.revision", 63),
        Node::text_or_empty("status.secret.resourceVersion", 63),
        Node::list("status.sources", limits::ENTRIES),
        Node::text("status.sources[].secret", limits::REFERENCE_CHARS),
        Node::text("status.sources[].parameter", limits::PARAMETER_CHARS),
        Node::text_or_empty("status.sources[].versionId", 128),
        Node::text_or_empty("status.sources[].region", 63),
        Node::text_or_empty("status.failover.region", 63),
        Node::text_or_empty("status.preflight.candidate", 63),
        Node::text_or_empty("status.preflight.job", 63),
        Node::object("status.preflight.outcome").described(
            "Pending (not started yet), Running, Passed, Failed (refused, or not ended in time) or Unavailable (could not run; no verdict on the candidate).",
        ),
        Node::text_or_empty("status.preflight.reason", 128),
        Node::text_or_empty("status.preflight.message", MESSAGE_CHARS),
        Node::text_or_empty("status.preflight.refresh", TOKEN_CHARS),
        Node::list_by("status.rollouts", &["kind", "name"], limits::ROLLOUTS),
        Node::text("status.rollouts[].kind", 63),
        Node::text("status.rollouts[].name", 253),
        Node::text_or_empty("status.rollouts[].uid", 63),
        Node::text_or_empty("status.rollouts[].baseline", 63),
        Node::text_or_empty("status.rollouts[].delivered", 63),
        Node::text_or_empty("status.rollouts[].wanted", 63),
        Node::text_or_empty("status.rollouts[].failedRevision", 63),
        Node::text_or_empty("status.rollouts[].templateHash", 128),
        Node::text_or_empty("status.rollouts[].message", MESSAGE_CHARS),
        Node::object("status.rollouts[].state").described(
            "Healthy, Pending, Progressing, Held, RollingBack, RolledBack, RollbackFailed, AlreadyUnhealthy, Superseded, Skipped (message says why), NextRun (takes the value at its next run) or NotFound.",
        ),
        Node::text_or_empty("status.rolloutSummary", 128),
        Node::text_or_empty("status.lastHandledRefresh", TOKEN_CHARS),
        Node::text_or_empty("status.lastHandledRollback", TOKEN_CHARS),
        Node::list_by("status.conditions", &["type"], 16),
        Node::text("status.conditions[].type", 316),
        Node::text("status.conditions[].status", 7),
        Node::text("status.conditions[].reason", 1_024),
        Node::text_or_empty("status.conditions[].message", MESSAGE_CHARS),
    ]
}
