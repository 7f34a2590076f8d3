//! Rules that several fields share: the shape of one string, and what may stand beside a reference.

use super::{Rule, must};
use crate::api::limits;

/// Hours, minutes and seconds, as CEL's `duration()` reads them.
pub(in crate::api) const DURATION: &str = "^([0-9]{1,6}(h|m|s)){1,3}$";
const KEY: &str = "^[-._a-zA-Z0-9]{1,253}$";
const REGION: &str = "[a-z]{2,}(-[a-z]+)+-[0-9]+";
const PARTITION: &str = "aws(-[a-z]+)*";
const NAME_CHARACTERS: &str = "[A-Za-z0-9/_+=.@-]";
/// One level of a parameter's name.
const LEVEL: &str = "[A-Za-z0-9_.-]+";
const SUBDOMAIN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
const QUALIFIED: &str =
    "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";
const LABEL_VALUE: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";

/// A property that the reference itself carries.
const CARRIES_PROPERTY: &str = "^arn:([^:]*:){6}[^:]+:";
/// A stage or an id that the reference itself carries.
const CARRIES_VERSION: &str = "^arn:([^:]*:){7}([^:]+:[^:]*|:[^:]+)$";
const CARRIES_BOTH: &str = "^arn:([^:]*:){7}[^:]+:[^:]+$";

/// A string that must match.
fn shape(pattern: &str, message: &str) -> Rule {
    must(format!("self.matches('{pattern}')"), message)
}

/// A key of a Secret.
pub(super) fn key() -> Rule {
    must(
        format!("self.matches('{KEY}') && self != '.' && !self.startsWith('..')"),
        key_sentence("must be a key that a Secret can hold"),
    )
}

/// Keys of a map that become keys of a Secret.
pub(super) fn map_keys_are_keys() -> Rule {
    must(
        format!("self.all(k, k.matches('{KEY}') && k != '.' && !k.startsWith('..'))"),
        key_sentence("every name must be a key that a Secret can hold"),
    )
}

/// Values of a map that become keys of a Secret.
pub(super) fn key_sentence(what: &str) -> String {
    format!(
        "{what}: letters, digits, `-`, `_` and `.`, at most {} characters, not beginning with `..`",
        limits::SECRET_KEY_CHARS
    )
}

/// A region's code.
pub(super) fn region() -> Rule {
    shape(
        &format!("^{REGION}$"),
        "must be the code of an AWS region, for example ap-northeast-2",
    )
}

/// Five fields of cron. What stands in them is read by the operator; the API server sees to the shape.
pub(super) fn schedule() -> Rule {
    shape(
        "^[0-9A-Za-z*/,#-]+( [0-9A-Za-z*/,#-]+){4}$",
        "must be five fields of cron: minute, hour, day of month, month, day of week; for example `0 2 * * *`",
    )
}

/// A name of the IANA time zone database.
pub(super) fn time_zone() -> Rule {
    shape(
        "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$",
        "must be the IANA name of a time zone, for example Asia/Seoul",
    )
}

/// A name as most Kubernetes objects have it.
pub(super) fn object_name() -> Rule {
    shape(
        SUBDOMAIN,
        "must be a name of a Kubernetes object: lower case letters, digits, `-` and `.`, beginning and ending with a letter or digit",
    )
}

/// Name, ARN or ECS reference.
pub(super) fn reference() -> [Rule; 3] {
    [
        must(
            format!("self.startsWith('arn:') || self.matches('^{NAME_CHARACTERS}{{1,512}}$')"),
            "must be the name of an entry (letters, digits and `/_+=.@-`, at most 512 characters) or its ARN",
        ),
        must(
            format!(
                "!self.startsWith('arn:') || self.matches('^arn:{PARTITION}:secretsmanager:{REGION}:[0-9]{{12}}:secret:{NAME_CHARACTERS}+(:|$)')"
            ),
            "is not the ARN of an entry of Secrets Manager: those read arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME, ACCOUNT being twelve digits",
        ),
        must(
            "!self.startsWith('arn:') || self.matches('^arn((:[^:]*){0,6}|(:[^:]*){9})$')",
            "after the name a reference ends in `:json-key:version-stage:version-id` with all three colons, for example `:password::`",
        ),
    ]
}

/// Name or ARN of a parameter, with or without a version.
pub(super) fn parameter() -> [Rule; 3] {
    let label = limits::PARAMETER_LABEL_CHARS - 1;
    [
        must(
            format!("self.startsWith('arn:') || self.matches('^({LEVEL}|(/{LEVEL})+)(:|$)')"),
            "must be the name of a parameter (letters, digits and `_.-`; one with levels begins with `/`, for example /estate/config/log-level) or its ARN",
        ),
        must(
            format!(
                "!self.startsWith('arn:') || self.matches('^arn:{PARTITION}:ssm:{REGION}:[0-9]{{12}}:parameter(/{LEVEL})+(:|$)')"
            ),
            "is not the ARN of a parameter of Parameter Store: those read arn:PARTITION:ssm:REGION:ACCOUNT:parameter/NAME, ACCOUNT being twelve digits",
        ),
        must(
            format!(
                "self.matches('^(arn(:[^:]*){{5}}|[^:]*)(:([1-9][0-9]{{0,17}}|[A-Za-z_.-][A-Za-z0-9_.-]{{0,{label}}}))?$')"
            ),
            "behind the name stands nothing, or `:` and a version number or a label: `/name:3` or `/name:blue`",
        ),
    ]
}

/// What must not stand beside a reference, for an object whose field `secret` may be absent.
pub(super) fn beside_reference() -> [Rule; 4] {
    let carries = |pattern: &str| format!("has(self.secret) && self.secret.matches('{pattern}')");
    [
        must(
            format!("!has(self.property) || !({})", carries(CARRIES_PROPERTY)),
            "`property` must not be set: the reference already names one",
        )
        .naming(
            "'`property` must not be set: the reference already names \"' + self.secret.split(':')[7] + '\"'",
        ),
        must(
            format!(
                "!(has(self.versionStage) || has(self.versionId)) || !({})",
                carries(CARRIES_VERSION)
            ),
            "`versionStage` and `versionId` must not be set: the reference already names a version",
        ),
        must(
            "!(has(self.versionStage) && has(self.versionId))",
            "`versionStage` and `versionId` must not both be set: a version is chosen by its label or by its id",
        ),
        must(
            format!("!({})", carries(CARRIES_BOTH)),
            "the reference names a version stage and a version id: leave one of the two empty",
        ),
    ]
}

/// A duration between two others; `also` follows the sentence about the range.
pub(super) fn duration_between(min: &str, max: &str, also: &str) -> [Rule; 2] {
    [
        shape(
            DURATION,
            "must be written in hours, minutes and seconds, for example 30s, 5m or 1h30m",
        ),
        must(
            format!(
                "!self.matches('{DURATION}') || (duration(self) >= duration('{min}') && duration(self) <= duration('{max}'))"
            ),
            format!("must be between {min} and {max}{also}"),
        ),
    ]
}

/// An amount of processor time or memory.
pub(super) fn amount() -> Rule {
    shape(
        "^[0-9]{1,12}([.][0-9]{1,3})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$",
        "must be an amount as Kubernetes writes it, for example 100m or 64Mi",
    )
}

/// Names of labels or annotations that a binding sets on its Secret.
pub(super) fn metadata_keys(what: &str) -> [Rule; 2] {
    let domains = limits::RESERVED_DOMAINS
        .map(|d| d.replace('.', "[.]"))
        .join("|");
    let reserved = format!("k.matches('^([^/]*[.])?({domains})/')");
    [
        must(
            format!("self.all(k, k.matches('{QUALIFIED}'))"),
            format!("every name must be a valid name of {what}, for example example.com/team"),
        ),
        must(
            format!("!self.exists(k, {reserved})"),
            format!("{what} must not have a name {RESERVED_WHY}"),
        )
        .naming(format!(
            "'\"' + self.filter(k, {reserved})[0] + '\" must not be set: names {RESERVED_WHY}'"
        )),
    ]
}

const RESERVED_WHY: &str = "under kubernetes.io, k8s.io, keyferry.dev, Helm and the GitOps tools belong to those who act on them";

/// A label's value.
pub(super) fn label_value() -> Rule {
    shape(
        LABEL_VALUE,
        "must be a valid label value: at most 63 letters, digits, `-`, `_` and `.`, beginning and ending with a letter or digit",
    )
}

/// An IAM role's ARN.
pub(super) fn role_arn() -> Rule {
    shape(
        &format!("^arn:{PARTITION}:iam::[0-9]{{12}}:role/[A-Za-z0-9_+=,.@/-]+$"),
        "must be the ARN of an IAM role: arn:aws:iam::ACCOUNT:role/NAME, ACCOUNT being twelve digits",
    )
}

/// A path of parameters.
pub(super) fn parameter_path() -> Rule {
    shape(
        &format!("^(/{LEVEL})+/?$"),
        "must be a path of parameters: levels of letters, digits and `_.-`, each with a `/` before it, for example /estate/config/",
    )
}

/// Beginning of entry names.
pub(super) fn prefix() -> Rule {
    shape(
        &format!("^{NAME_CHARACTERS}+$"),
        "must be the beginning of names of entries (letters, digits and `/_+=.@-`), not an ARN and not a glob",
    )
}

/// A glob; `characters` is a regular expression's class without brackets, `what` names what is matched.
pub(super) fn glob(characters: &str, what: &str) -> Rule {
    must(
        format!("self.replace('{{namespace}}', '').matches('^[*?{characters}]*$')"),
        format!(
            "must be a glob over {what}: `*` stands for any characters, `?` for one, `{{namespace}}` for the name of the namespace"
        ),
    )
}
