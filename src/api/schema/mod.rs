//! What the derived schemas lack: bounds, rules with sentences, list keys; and what must go from them.
//!
//! Owns a small language of [`Node`]s (a path and what holds there) and the walk that writes them into
//! a schema. The nodes themselves stand in [`binding`], [`policy`] and [`status`], apart from the types,
//! so that the types stay readable.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool, ValidationRule,
};

pub(super) mod binding;
pub(super) mod policy;
pub(super) mod shapes;
pub(super) mod status;
mod values;

/// Formats that the API server knows (source: apiextensions-apiserver, `supportedFormats`), of those we use.
const KNOWN_FORMATS: [&str; 3] = ["date-time", "int32", "int64"];

/// What holds at one path of a schema.
///
/// Paths read like `spec.data[].from.secret` and `spec.template.data{}` (`{}`: a map's values); the
/// root is the empty path.
pub(super) struct Node {
    path: &'static str,
    bound: Bound,
    rules: Vec<Rule>,
    description: Option<&'static str>,
}

/// Size or range, which also is what keeps the estimated cost of the rules below the server's budget.
enum Bound {
    None,
    Chars {
        min: i64,
        max: i64,
    },
    Items {
        max: i64,
        keys: &'static [&'static str],
    },
    Entries {
        max: i64,
    },
    Range {
        min: f64,
        max: f64,
    },
}

/// A CEL rule and the sentence shown when it does not hold.
#[derive(Clone)]
pub(super) struct Rule {
    rule: String,
    message: String,
    expression: Option<String>,
    field: Option<&'static str>,
}

/// The rule must hold, or `message` is shown.
pub(super) fn must(rule: impl Into<String>, message: impl Into<String>) -> Rule {
    Rule {
        rule: rule.into(),
        message: message.into(),
        expression: None,
        field: None,
    }
}

impl Rule {
    /// A CEL expression for a sentence that names what was written; the fixed one stays as fallback.
    pub(super) fn naming(mut self, expression: impl Into<String>) -> Self {
        self.expression = Some(expression.into());
        self
    }

    /// The field that the server shows, as a path below the node (`.name`), where that says more.
    pub(super) const fn at(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }
}

impl Node {
    const fn new(path: &'static str, bound: Bound) -> Self {
        Self {
            path,
            bound,
            rules: Vec::new(),
            description: None,
        }
    }

    /// Nothing but rules.
    pub(super) const fn object(path: &'static str) -> Self {
        Self::new(path, Bound::None)
    }

    /// A string of 1 to `max` characters.
    pub(super) const fn text(path: &'static str, max: i64) -> Self {
        Self::new(path, Bound::Chars { min: 1, max })
    }

    /// A string that may be empty.
    pub(super) const fn text_or_empty(path: &'static str, max: i64) -> Self {
        Self::new(path, Bound::Chars { min: 0, max })
    }

    /// A string of `min` to `max` characters.
    pub(super) const fn text_between(path: &'static str, min: i64, max: i64) -> Self {
        Self::new(path, Bound::Chars { min, max })
    }

    /// A list that is replaced as a whole.
    pub(super) const fn list(path: &'static str, max: i64) -> Self {
        Self::new(path, Bound::Items { max, keys: &[] })
    }

    /// A list whose items are told apart by `keys`: duplicates are refused by the server.
    pub(super) const fn list_by(
        path: &'static str,
        keys: &'static [&'static str],
        max: i64,
    ) -> Self {
        Self::new(path, Bound::Items { max, keys })
    }

    /// A map of strings.
    pub(super) const fn map(path: &'static str, max: i64) -> Self {
        Self::new(path, Bound::Entries { max })
    }

    /// A whole number.
    pub(super) const fn number(path: &'static str, min: f64, max: f64) -> Self {
        Self::new(path, Bound::Range { min, max })
    }

    /// Adds rules.
    pub(super) fn rules(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.rules.extend(rules);
        self
    }

    /// Replaces the description, where the derived schema shows the type's instead of the field's.
    pub(super) const fn described(mut self, text: &'static str) -> Self {
        self.description = Some(text);
        self
    }

    fn write(&self, schema: &mut JSONSchemaProps) {
        match self.bound {
            Bound::None => {}
            Bound::Chars { min, max } => {
                schema.min_length = (min > 0).then_some(min);
                schema.max_length = Some(max);
            }
            Bound::Items { max, keys } => {
                schema.max_items = Some(max);
                let kind = if keys.is_empty() { "atomic" } else { "map" };
                schema.x_kubernetes_list_type = Some(kind.to_owned());
                schema.x_kubernetes_list_map_keys =
                    (!keys.is_empty()).then(|| keys.iter().map(|key| (*key).to_owned()).collect());
            }
            Bound::Entries { max } => schema.max_properties = Some(max),
            Bound::Range { min, max } => {
                schema.minimum = Some(min);
                schema.maximum = Some(max);
            }
        }
        if let Some(text) = self.description {
            schema.description = Some(text.to_owned());
        }
        if !self.rules.is_empty() {
            schema.x_kubernetes_validations =
                Some(self.rules.iter().map(ValidationRule::from).collect());
        }
    }
}

impl From<&Rule> for ValidationRule {
    fn from(rule: &Rule) -> Self {
        Self {
            rule: rule.rule.clone(),
            message: Some(rule.message.clone()),
            message_expression: rule.expression.clone(),
            field_path: rule.field.map(str::to_owned),
            ..Self::default()
        }
    }
}

/// Cleans a derived schema and writes the nodes into it.
///
/// Without `nullable`, so that an explicit null is pruned or refused rather than stored; without
/// defaults, because a default in `spec` is drift to GitOps tools; without formats that the server
/// does not know and warns about.
pub(super) fn complete(schema: &mut JSONSchemaProps, nodes: &[Node]) {
    walk(schema, "", &mut |path, schema| {
        schema.nullable = None;
        schema.default = None;
        if let Some(format) = &schema.format
            && !KNOWN_FORMATS.contains(&format.as_str())
        {
            schema.format = None;
        }
        for node in nodes.iter().filter(|node| node.path == path) {
            node.write(schema);
        }
    });
}

/// Visits every schema below and including this one, parents first, with its path.
pub(super) fn walk(
    schema: &mut JSONSchemaProps,
    path: &str,
    visit: &mut impl FnMut(&str, &mut JSONSchemaProps),
) {
    visit(path, schema);
    for (name, child) in schema.properties.iter_mut().flatten() {
        let separator = if path.is_empty() { "" } else { "." };
        walk(child, &format!("{path}{separator}{name}"), visit);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(child)) = &mut schema.items {
        walk(child, &format!("{path}[]"), visit);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(child)) = &mut schema.additional_properties {
        walk(child, &format!("{path}{{}}"), visit);
    }
}

#[cfg(test)]
pub(super) fn paths(nodes: &[Node]) -> Vec<&'static str> {
    nodes.iter().map(|node| node.path).collect()
}
