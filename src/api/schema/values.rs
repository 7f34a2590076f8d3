//! What holds for what a binding reads, composes and checks: `data`, `dataFrom`, `template`, `validate`.

use super::{Node, must, shapes};
use crate::api::limits;

/// Every bound and rule of those four.
pub(super) fn nodes() -> Vec<Node> {
    [data(), data_from(), template(), validate(), preflight()]
        .into_iter()
        .flatten()
        .collect()
}

fn data() -> Vec<Node> {
    vec![
        Node::list_by("spec.data", &["key"], limits::DATA_ITEMS),
        Node::text("spec.data[].key", limits::SECRET_KEY_CHARS).rules([shapes::key()]),
        Node::object("spec.data[].from")
            .rules([
                must(
                    "has(self.secret) != has(self.parameter)",
                    "exactly one of `secret` and `parameter` must be set",
                ),
                must(
                    "!has(self.parameter) || has(self.secret) || !(has(self.versionStage) || has(self.versionId))",
                    "`versionStage` and `versionId` go with `secret`; a version of a parameter stands behind its name: `/name:3` or `/name:label`",
                ),
            ])
            .rules(shapes::beside_reference()),
        Node::text("spec.data[].from.secret", limits::REFERENCE_CHARS).rules(shapes::reference()),
        Node::text("spec.data[].from.parameter", limits::PARAMETER_CHARS)
            .rules(shapes::parameter()),
        Node::text("spec.data[].from.property", limits::PROPERTY_CHARS),
        Node::text("spec.data[].from.versionStage", limits::VERSION_STAGE_CHARS),
        version_id("spec.data[].from.versionId"),
        Node::object("spec.data[].from.decode").described(
            "How the fetched text is decoded: None (as it stands), Base64 or Base64Url, padded or not. Default: None.",
        ),
    ]
}

fn version_id(path: &'static str) -> Node {
    Node::text_between(
        path,
        limits::VERSION_ID_MIN_CHARS,
        limits::VERSION_ID_MAX_CHARS,
    )
}

fn data_from() -> Vec<Node> {
    let rules = [
        must(
            "(has(self.secret) ? 1 : 0) + (has(self.prefix) ? 1 : 0) + (has(self.parameterPath) ? 1 : 0) == 1",
            "exactly one of `secret`, `prefix` and `parameterPath` must be set",
        ),
        must(
            "has(self.secret) || !has(self.prefix) || !(has(self.property) || has(self.versionStage) || has(self.versionId))",
            "`property`, `versionStage` and `versionId` go with `secret`, not with `prefix`",
        ),
        must(
            "has(self.prefix) || !has(self.secret) || !has(self.tags)",
            "`tags` narrow a `prefix`; they do not go with `secret`",
        ),
        must(
            "has(self.secret) || has(self.prefix) || !has(self.parameterPath) || !(has(self.property) || has(self.versionStage) || has(self.versionId) || has(self.tags))",
            "`property`, `versionStage`, `versionId` and `tags` do not go with `parameterPath`",
        ),
    ];
    vec![
        Node::list("spec.dataFrom", limits::DATA_FROM_ITEMS),
        Node::object("spec.dataFrom[]")
            .rules(rules)
            .rules(shapes::beside_reference()),
        Node::text("spec.dataFrom[].secret", limits::REFERENCE_CHARS).rules(shapes::reference()),
        Node::text("spec.dataFrom[].property", limits::PROPERTY_CHARS),
        Node::text("spec.dataFrom[].versionStage", limits::VERSION_STAGE_CHARS),
        version_id("spec.dataFrom[].versionId"),
        Node::text("spec.dataFrom[].prefix", limits::ENTRY_NAME_CHARS).rules([shapes::prefix()]),
        Node::text("spec.dataFrom[].parameterPath", limits::PARAMETER_CHARS)
            .rules([shapes::parameter_path()]),
        Node::map("spec.dataFrom[].tags", limits::PREFIX_TAGS).rules([must(
            "self.all(k, k.size() >= 1 && k.size() <= 128)",
            "every name of a tag must have 1 to 128 characters",
        )]),
        Node::text_or_empty("spec.dataFrom[].tags{}", limits::TAG_VALUE_CHARS),
        Node::list("spec.dataFrom[].include", limits::GLOBS),
        Node::text("spec.dataFrom[].include[]", limits::GLOB_CHARS),
        Node::list("spec.dataFrom[].exclude", limits::GLOBS),
        Node::text("spec.dataFrom[].exclude[]", limits::GLOB_CHARS),
        Node::object("spec.dataFrom[].rename.case").described(
            "Case of the keys: None (as it stands, but a `/` becomes `_`: keys cannot hold it) or UpperSnake (`redis-password` becomes `REDIS_PASSWORD`). Default: None.",
        ),
        Node::map("spec.dataFrom[].rename.keys", limits::RENAMED_KEYS),
        Node::text("spec.dataFrom[].rename.keys{}", limits::SECRET_KEY_CHARS)
            .rules([shapes::key()]),
        Node::text("spec.dataFrom[].rename.addPrefix", limits::ADD_PREFIX_CHARS).rules([must(
            "self.matches('^[-._a-zA-Z0-9]+$') && !self.startsWith('..')",
            shapes::key_sentence("must begin a key that a Secret can hold"),
        )]),
        Node::text("spec.dataFrom[].rename.stripPrefix", limits::ENTRY_NAME_CHARS),
    ]
}

fn template() -> Vec<Node> {
    vec![
        Node::map("spec.template.data", limits::TEMPLATES).rules([
            must("self.size() > 0", "must hold at least one key"),
            shapes::map_keys_are_keys(),
        ]),
        Node::text("spec.template.data{}", limits::TEMPLATE_SOURCE_CHARS),
        Node::list("spec.template.keep", limits::NAMED_KEYS),
        Node::text("spec.template.keep[]", limits::SECRET_KEY_CHARS).rules([shapes::key()]),
    ]
}

fn validate() -> Vec<Node> {
    let bytes = limits::SECRET_BYTES as f64;
    vec![
        Node::list("spec.validate.required", limits::NAMED_KEYS),
        Node::text("spec.validate.required[]", limits::SECRET_KEY_CHARS).rules([shapes::key()]),
        Node::list("spec.validate.placeholders", limits::PLACEHOLDERS),
        Node::text("spec.validate.placeholders[]", limits::PLACEHOLDER_CHARS),
        Node::list("spec.validate.allowEmpty", limits::NAMED_KEYS),
        Node::text("spec.validate.allowEmpty[]", limits::SECRET_KEY_CHARS).rules([shapes::key()]),
        Node::list_by("spec.validate.rules", &["key"], limits::RULES),
        Node::object("spec.validate.rules[]").rules([
            must(
                "has(self.minLength) || has(self.maxLength) || has(self.pattern)",
                "the rule asks for nothing: set `minLength`, `maxLength` or `pattern`",
            ),
            must(
                "!has(self.minLength) || !has(self.maxLength) || self.minLength <= self.maxLength",
                "`minLength` must not be greater than `maxLength`",
            ),
        ]),
        Node::text("spec.validate.rules[].key", limits::SECRET_KEY_CHARS).rules([shapes::key()]),
        Node::number("spec.validate.rules[].minLength", 0.0, bytes),
        Node::number("spec.validate.rules[].maxLength", 0.0, bytes),
        Node::text("spec.validate.rules[].pattern", limits::PATTERN_CHARS).rules([must(
            // Always true, and an error for what is no pattern; the server shows the error's text.
            "''.matches(self) ? true : true",
            "must be a regular expression (RE2 syntax)",
        )]),
    ]
}

fn preflight() -> Vec<Node> {
    const WORD: i64 = limits::PREFLIGHT_WORD_CHARS;
    let amount = |path| Node::text(path, limits::AMOUNT_CHARS).rules([shapes::amount()]);
    vec![
        Node::text("spec.validate.preflight.image", limits::IMAGE_CHARS).rules([must(
            "self.matches('^[A-Za-z0-9][A-Za-z0-9._:/@-]*$')",
            "must be the name of an image, for example postgres:17",
        )]),
        Node::list("spec.validate.preflight.command", limits::PREFLIGHT_WORDS),
        Node::text_or_empty("spec.validate.preflight.command[]", WORD),
        Node::list("spec.validate.preflight.args", limits::PREFLIGHT_WORDS),
        Node::text_or_empty("spec.validate.preflight.args[]", WORD),
        Node::list_by(
            "spec.validate.preflight.env",
            &["name"],
            limits::PREFLIGHT_VARIABLES,
        ),
        Node::text(
            "spec.validate.preflight.env[].name",
            limits::PREFLIGHT_VARIABLE_CHARS,
        )
        .rules([must(
            "self.matches('^[A-Za-z_][A-Za-z0-9_.-]*$')",
            "must be the name of a variable: letters, digits, `_`, `.` and `-`, not beginning with a digit",
        )]),
        Node::text_or_empty("spec.validate.preflight.env[].value", WORD),
        Node::object("spec.validate.preflight.resources.requests")
            .described("What the scheduler sets aside."),
        Node::object("spec.validate.preflight.resources.limits")
            .described("What the container may use at most."),
        amount("spec.validate.preflight.resources.requests.cpu"),
        amount("spec.validate.preflight.resources.requests.memory"),
        amount("spec.validate.preflight.resources.limits.cpu"),
        amount("spec.validate.preflight.resources.limits.memory"),
        Node::text("spec.validate.preflight.timeout", limits::DURATION_CHARS).rules(
            shapes::duration_between(limits::DURATION_MIN, limits::PREFLIGHT_TIMEOUT_MAX, ""),
        ),
    ]
}
