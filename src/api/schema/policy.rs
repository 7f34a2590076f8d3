//! What holds in a `SecretAccessPolicy`.

use super::{Node, must, shapes};
use crate::api::limits;
use crate::api::names::BUILT_IN_POLICY;

/// Every bound and rule.
pub(in crate::api) fn nodes() -> Vec<Node> {
    vec![
        Node::object("").rules([must(
            format!("self.metadata.name != '{BUILT_IN_POLICY}'"),
            format!("`{BUILT_IN_POLICY}` is the name of the built-in policy, which the install's access policy file replaces; objects only add to it: choose another name"),
        )]),
        Node::object("spec").rules([must(
            "(has(self.secrets) && self.secrets.size() > 0) || (has(self.parameters) && self.parameters.size() > 0)",
            "the policy allows nothing: give at least one glob in `secrets` or `parameters`",
        )]),
        Node::object("spec.namespaces").rules([must(
            "(has(self.names) && self.names.size() > 0) || (has(self.matchLabels) && self.matchLabels.size() > 0)",
            "at least one of `names` and `matchLabels` must be set",
        )]),
        Node::list("spec.namespaces.names", limits::POLICY_ITEMS),
        Node::text("spec.namespaces.names[]", 63).rules([must(
            "self == '*' || self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "must be the name of a namespace, or `*` for every namespace; other globs are not understood, use `matchLabels`",
        )]),
        Node::map("spec.namespaces.matchLabels", limits::SELECTOR_LABELS),
        Node::text_or_empty("spec.namespaces.matchLabels{}", 63).rules([shapes::label_value()]),
        Node::list("spec.secrets", limits::POLICY_ITEMS),
        Node::text("spec.secrets[]", limits::GLOB_CHARS)
            .rules([shapes::glob("A-Za-z0-9/_+=.@-", "names of entries, not ARNs")]),
        Node::list("spec.parameters", limits::POLICY_ITEMS),
        Node::text("spec.parameters[]", limits::GLOB_CHARS)
            .rules([shapes::glob("A-Za-z0-9/_.-", "names of parameters, not ARNs")]),
        Node::list("spec.accounts", limits::POLICY_ITEMS),
        Node::text("spec.accounts[]", 12).rules([must(
            "self.matches('^[0-9]{12}$')",
            "must be the twelve digits of an AWS account, in quotes",
        )]),
        Node::list("spec.regions", limits::POLICY_ITEMS),
        Node::text("spec.regions[]", limits::REGION_CHARS).rules([shapes::region()]),
        Node::list("spec.roleArns", limits::POLICY_ITEMS),
        Node::text("spec.roleArns[]", limits::ROLE_ARN_CHARS)
            .rules([shapes::glob("A-Za-z0-9:/_+=,.@-", "ARNs of IAM roles")]),
        Node::list("spec.serviceAccounts", limits::POLICY_ITEMS),
        Node::text("spec.serviceAccounts[]", 253)
            .rules([shapes::glob("a-z0-9.-", "names of ServiceAccounts")]),
    ]
}
