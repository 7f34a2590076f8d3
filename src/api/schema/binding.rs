//! What holds in the spec of an `ExternalSecretBinding`: between its parts, of identity, target and
//! rollout. What is read and how it is checked: [`super::values`].

use super::{Node, Rule, must, shapes, values};
use crate::api::limits;
use crate::api::names::{SESSION_TAG_NAMESPACE, SUFFIX_CANDIDATE, SUFFIX_PREVIOUS};

/// Every bound and rule of the spec, and those of the object as a whole.
pub(in crate::api) fn nodes() -> Vec<Node> {
    [object(), source(), values::nodes(), target(), rollout()]
        .into_iter()
        .flatten()
        .collect()
}

fn object() -> Vec<Node> {
    let to_stop = "; to stop refreshing set `suspend: true`";
    vec![
        Node::object("").rules([binding_name(), own_name_is_free(), type_stays()]),
        Node::object("spec").rules([
            must(
                "(has(self.data) && self.data.size() > 0) || (has(self.dataFrom) && self.dataFrom.size() > 0)",
                "there is nothing to read: give at least one item in `data` or `dataFrom`",
            ),
            stale_after_interval(),
            regions_agree_with_source(),
            regions_agree(),
            failover_is_elsewhere(),
            failover_is_for_secrets(),
            template_repeats_no_key(),
        ]),
        Node::text("spec.refreshInterval", limits::DURATION_CHARS).rules(
            shapes::duration_between(limits::DURATION_MIN, limits::DURATION_MAX, to_stop),
        ),
        Node::text("spec.staleAfter", limits::DURATION_CHARS).rules(shapes::duration_between(
            limits::DURATION_MIN,
            limits::STALE_AFTER_MAX,
            "",
        )),
    ]
}

fn binding_name() -> Rule {
    must(
        format!(
            "self.metadata.name.size() <= {}",
            limits::BINDING_NAME_CHARS
        ),
        format!(
            "`metadata.name` must be at most {} characters long: it becomes the value of a label",
            limits::BINDING_NAME_CHARS
        ),
    )
}

fn own_name_is_free() -> Rule {
    must(
        format!(
            "(has(self.spec.target) && has(self.spec.target.name)) || (!self.metadata.name.endsWith('{SUFFIX_PREVIOUS}') && !self.metadata.name.endsWith('{SUFFIX_CANDIDATE}'))"
        ),
        format!(
            "must be set: the binding's own name ends in {SUFFIX_PREVIOUS} or {SUFFIX_CANDIDATE}, and keyferry names Secrets of its own so"
        ),
    )
    .at(".spec.target.name")
}

/// Kubernetes cannot change a Secret's type, so a new type needs a new Secret.
///
/// Spelled out case by case: of `orValue` and of a choice between strings the server's cost estimate
/// does not know the length.
fn type_stays() -> Rule {
    let same = |field: &str, default: &str| {
        let given = |o: &str| format!("has({o}.spec.target) && has({o}.spec.target.{field})");
        format!(
            "({new} ? ({old} ? self.spec.target.{field} == oldSelf.spec.target.{field} : self.spec.target.{field} == {default}) : (!({old}) || oldSelf.spec.target.{field} == {default}))",
            new = given("self"),
            old = given("oldSelf"),
        )
    };
    must(
        format!(
            "{} || !{}",
            same("type", "'Opaque'"),
            same("name", "self.metadata.name")
        ),
        "changes only together with `spec.target.name`: Kubernetes cannot change the type of a Secret that exists",
    )
    .at(".spec.target.type")
}

fn stale_after_interval() -> Rule {
    let shape = shapes::DURATION;
    must(
        format!(
            "!has(self.staleAfter) || !has(self.refreshInterval) || !self.staleAfter.matches('{shape}') || !self.refreshInterval.matches('{shape}') || duration(self.staleAfter) >= duration(self.refreshInterval)"
        ),
        "must not be shorter than `refreshInterval`: the value would be stale before it is read again",
    )
    .at(".staleAfter")
}

/// The secrets and the parameters that the items of `data` name, and the secrets of `dataFrom`. Spelled out list by
/// list: of a choice between strings the server's cost estimate does not know the length.
const OF_SECRETS: &str = "self.data.filter(d, has(d.from.secret)).map(d, d.from.secret)";
const OF_PARAMETERS: &str = "self.data.filter(d, has(d.from.parameter)).map(d, d.from.parameter)";
const OF_GROUPS: &str = "self.dataFrom.filter(d, has(d.secret)).map(d, d.secret)";

fn regions_agree_with_source() -> Rule {
    let elsewhere = |service| {
        format!("!r.startsWith('arn:') || r.contains(':{service}:' + self.source.region + ':')")
    };
    let (secrets, parameters) = (elsewhere("secretsmanager"), elsewhere("ssm"));
    must(
        format!(
            "!has(self.source) || !has(self.source.region) || ((!has(self.data) || ({OF_SECRETS}.all(r, {secrets}) && {OF_PARAMETERS}.all(r, {parameters}))) && (!has(self.dataFrom) || {OF_GROUPS}.all(r, {secrets})))"
        ),
        "the ARN of a reference names another region: leave `source.region` out, or make two bindings",
    )
    .at(".source.region")
}

/// Without `source.region` the ARNs choose the region, so they must choose one.
fn regions_agree() -> Rule {
    let of_data = format!("(has(self.data) ? ({OF_SECRETS} + {OF_PARAMETERS}) : [])");
    let of_groups = format!("(has(self.dataFrom) ? {OF_GROUPS} : [])");
    must(
        format!(
            "[({of_data} + {of_groups}).filter(r, r.matches('^arn:[^:]+:(secretsmanager|ssm):[^:]+:'))].all(arns, arns.all(r, r.split(':')[3] == arns[0].split(':')[3]))"
        ),
        "the ARNs of the references name different regions: a binding reads from one region, make two",
    )
}

/// The same for a region that the ARNs choose. One rule for `source.region` alone would not see them.
fn failover_is_elsewhere() -> Rule {
    let elsewhere = "self.source.failoverRegions.all(f, !r.contains(':secretsmanager:' + f + ':'))";
    must(
        format!(
            "!has(self.source) || !has(self.source.failoverRegions) || ((!has(self.data) || {OF_SECRETS}.all(r, {elsewhere})) && (!has(self.dataFrom) || {OF_GROUPS}.all(r, {elsewhere})))"
        ),
        "must not hold the region that the ARNs of the references name: it is asked first anyway",
    )
    .at(".source.failoverRegions")
}

/// Parameter Store has no replicas: a parameter of that name elsewhere is another one.
fn failover_is_for_secrets() -> Rule {
    must(
        "!has(self.source) || !has(self.source.failoverRegions) || self.source.failoverRegions.size() == 0 || ((!has(self.data) || !self.data.exists(d, has(d.from.parameter))) && (!has(self.dataFrom) || !self.dataFrom.exists(d, has(d.parameterPath))))",
        "does not go with `parameter` and `parameterPath`: Parameter Store has no replicas, the parameter of that name in another region is another one; make two bindings",
    )
    .at(".source.failoverRegions")
}

/// Two values for one key would need an order to choose by; dropping the fetched one says it plainly.
fn template_repeats_no_key() -> Rule {
    let clash =
        "d.key in self.template.data && (!has(self.template.keep) || d.key in self.template.keep)";
    must(
        format!("!has(self.template) || !has(self.data) || !self.data.exists(d, {clash})"),
        "a key must not be both fetched in `data` and composed in `template.data`, unless `template.keep` is set without it",
    )
    .at(".template.data")
}

fn source() -> Vec<Node> {
    vec![
        Node::object("spec.source").rules([
            must(
                "has(self.roleArn) || (!has(self.externalId) && !has(self.sessionTags))",
                "`externalId` and `sessionTags` are sent when a role is assumed: set `roleArn` too",
            ),
            must(
                "!has(self.region) || !has(self.failoverRegions) || !(self.region in self.failoverRegions)",
                "must not hold `source.region` itself: it is asked first anyway",
            )
            .at(".failoverRegions"),
        ]),
        Node::text("spec.source.region", limits::REGION_CHARS).rules([shapes::region()]),
        Node::list("spec.source.failoverRegions", limits::FAILOVER_REGIONS).rules([must(
            "self.all(r, self.exists_one(other, other == r))",
            "must not name a region twice",
        )]),
        Node::text("spec.source.failoverRegions[]", limits::REGION_CHARS)
            .rules([shapes::region()]),
        Node::text("spec.source.serviceAccountName", 253).rules([shapes::object_name()]),
        Node::text("spec.source.roleArn", limits::ROLE_ARN_CHARS).rules([shapes::role_arn()]),
        Node::text_between("spec.source.externalId", 2, limits::EXTERNAL_ID_CHARS).rules([must(
            "self.matches('^[A-Za-z0-9_+=,.@:/-]+$')",
            "must hold only letters, digits and `_+=,.@:/-`",
        )]),
        Node::map("spec.source.sessionTags", limits::SESSION_TAGS).rules([
            must(
                "self.all(k, k.matches('^[A-Za-z0-9 _.:/=+@-]{1,128}$') && !k.lowerAscii().startsWith('aws:'))",
                "every name of a tag must be 1 to 128 letters, digits, blanks and `_.:/=+@-`, not beginning with `aws:`",
            ),
            must(
                format!("!self.exists(k, k.lowerAscii() == '{SESSION_TAG_NAMESPACE}')"),
                format!("`{SESSION_TAG_NAMESPACE}` is set by keyferry to the binding's namespace and cannot be chosen"),
            ),
        ]),
        Node::text_or_empty("spec.source.sessionTags{}", limits::TAG_VALUE_CHARS),
    ]
}

fn target() -> Vec<Node> {
    let allowed = limits::KUBERNETES_TYPES;
    let in_list = allowed.map(|t| format!("'{t}'")).join(", ");
    let type_sentence = format!(
        "must be Opaque, {}, or a type of your own outside kubernetes.io and helm.sh: the cluster acts upon the others",
        allowed.join(", ")
    );
    vec![
        Node::object("spec.target").rules([must(
            "!(has(self.creationPolicy) && self.creationPolicy == 'Adopt' && has(self.deletionPolicy) && self.deletionPolicy == 'Delete')",
            "`creationPolicy: Adopt` does not go with `deletionPolicy: Delete`: what was there before the binding must outlive it; use Retain",
        )]),
        Node::text("spec.target.name", limits::TARGET_NAME_CHARS).rules([
            shapes::object_name(),
            must(
                format!("!self.endsWith('{SUFFIX_PREVIOUS}') && !self.endsWith('{SUFFIX_CANDIDATE}')"),
                format!("must not end in {SUFFIX_PREVIOUS} or {SUFFIX_CANDIDATE}: keyferry names Secrets of its own so"),
            ),
        ]),
        Node::text("spec.target.type", limits::TARGET_TYPE_CHARS).rules([must(
            format!("self in [{in_list}] || !(self.contains('kubernetes.io/') || self.startsWith('helm.sh/'))"),
            type_sentence,
        )]),
        Node::map("spec.target.labels", limits::TARGET_METADATA_ENTRIES)
            .rules(shapes::metadata_keys("a label")),
        Node::text_or_empty("spec.target.labels{}", 63).rules([shapes::label_value()]),
        Node::map("spec.target.annotations", limits::TARGET_METADATA_ENTRIES)
            .rules(shapes::metadata_keys("an annotation")),
        Node::text_or_empty(
            "spec.target.annotations{}",
            limits::ANNOTATION_VALUE_CHARS,
        ),
        Node::object("spec.target.creationPolicy").described(
            "Owner writes a Secret of its own, Adopt takes over an existing one and leaves its other keys, Merge adds keys to one that carries the annotation `keyferry.dev/merge: allow`. Default: Owner.",
        ),
        Node::object("spec.target.deletionPolicy").described(
            "What happens to the Secret (Merge: to our keys) when the binding goes: Delete or Retain. Default: Delete (Adopt: Retain, and Delete is refused).",
        ),
    ]
}

fn rollout() -> Vec<Node> {
    vec![
        Node::list("spec.rollout.targets", limits::ROLLOUT_TARGETS),
        Node::object("spec.rollout.targets[]").rules([must(
            "has(self.name) != has(self.selector)",
            "exactly one of `name` and `selector` must be set",
        )]),
        Node::object("spec.rollout.targets[].kind")
            .described("Kind of the workload: Deployment, StatefulSet or DaemonSet."),
        Node::text("spec.rollout.targets[].name", 253).rules([shapes::object_name()]),
        Node::map(
            "spec.rollout.targets[].selector.matchLabels",
            limits::SELECTOR_LABELS,
        )
        .rules([must("self.size() > 0", "must hold at least one label")]),
        Node::text_or_empty("spec.rollout.targets[].selector.matchLabels{}", 63)
            .rules([shapes::label_value()]),
        Node::text("spec.rollout.timeout", limits::DURATION_CHARS).rules(shapes::duration_between(
            limits::DURATION_MIN,
            limits::DURATION_MAX,
            "",
        )),
        Node::object("spec.rollout.order").described(
            "In which order the workloads are restarted: Parallel (all at once) or Sequential (one after the other, each when the one before is healthy; the first is the canary). Default: Parallel.",
        ),
        Node::object("spec.rollout.onFailure").described(
            "What happens when a workload does not become healthy with new bytes: Hold (nothing is undone, nothing further is restarted) or Rollback (the previous bytes are restored). Default: Hold.",
        ),
        Node::text("spec.rollout.minInterval", limits::DURATION_CHARS).rules(
            shapes::duration_between("0s", limits::DURATION_MAX, ""),
        ),
        Node::list("spec.rollout.windows", limits::WINDOWS),
        Node::text("spec.rollout.windows[].schedule", limits::SCHEDULE_CHARS)
            .rules([shapes::schedule()]),
        Node::text("spec.rollout.windows[].duration", limits::DURATION_CHARS).rules(
            shapes::duration_between(limits::WINDOW_MIN, limits::DURATION_MAX, ""),
        ),
        Node::text("spec.rollout.windows[].timeZone", limits::TIME_ZONE_CHARS)
            .rules([shapes::time_zone()]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::schema::paths;

    #[test]
    fn no_path_stands_twice() {
        let mut all = paths(&nodes());
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
