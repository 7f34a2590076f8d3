//! A database URL out of the parts that an entry has: offered where a binding asks for a property that is not there.
//!
//! Pure: names of properties in, a template out. Of values only `engine` is looked at, and only to choose among our own
//! words.

use super::json;

/// What stands in for a property that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composed {
    /// Source for `spec.template.data`.
    pub template: String,
    /// The properties it uses, in its order.
    pub properties: Vec<String>,
}

/// How the parts are called in entries (source: AWS, "JSON structure of Secrets Manager secrets", and habits).
const USER: &[&str] = &["username", "user"];
const PASSWORD: &[&str] = &["password"];
const HOST: &[&str] = &["host", "hostname"];
const PORT: &[&str] = &["port"];
const NAME: &[&str] = &["dbname", "database", "db_name", "dbName", "db"];
/// What a property that holds a whole URL is called with, in small letters.
const URLS: [&str; 5] = ["url", "uri", "dsn", "connection", "connstr"];

/// The URL in place of the property `wanted`, of the properties an entry has. None: it was no URL, or a part is missing.
pub fn database_url<'p>(
    wanted: &str,
    properties: impl IntoIterator<Item = &'p str>,
    engine: Option<&str>,
) -> Option<Composed> {
    let wanted = wanted.to_lowercase();
    if !URLS.iter().any(|word| wanted.contains(word)) {
        return None;
    }
    let there: Vec<&str> = properties.into_iter().collect();
    let part = |names: &[&'static str]| names.iter().find(|name| there.contains(name)).copied();
    let (user, password) = (part(USER)?, part(PASSWORD)?);
    let (host, port, name) = (part(HOST)?, part(PORT), part(NAME)?);
    let (scheme, query) = dialect(engine);
    let address = match port {
        Some(port) => format!("{{{{ {host} }}}}:{{{{ {port} }}}}"),
        None => format!("{{{{ {host} }}}}"),
    };
    let template = format!(
        "{scheme}://{{{{ {user} | urlencode }}}}:{{{{ {password} | urlencode }}}}@{address}/{{{{ {name} }}}}{query}"
    );
    let used = [Some(user), Some(password), Some(host), port, Some(name)];
    let properties = used.into_iter().flatten().map(str::to_owned).collect();
    Some(Composed {
        template,
        properties,
    })
}

/// The same of the JSON object that an entry holds.
pub fn of_object(wanted: &str, text: &str) -> Option<Composed> {
    let members = json::members(text, None).ok()?;
    let names = members.iter().map(|(name, _)| name.as_str());
    let engine = members.iter().find(|(name, _)| name == "engine");
    database_url(wanted, names, engine.and_then(|(_, value)| value.as_str()))
}

/// Scheme and query by the entry's `engine`; PostgreSQL where it says nothing that is known.
fn dialect(engine: Option<&str>) -> (&'static str, &'static str) {
    let engine = engine.unwrap_or_default().to_lowercase();
    let is = |words: &[&str]| words.iter().any(|word| engine.contains(word));
    if is(&["mysql", "mariadb"]) {
        ("mysql", "")
    } else if is(&["mongo", "docdb"]) {
        ("mongodb", "?tls=true")
    } else {
        ("postgresql", "?sslmode=require")
    }
}

impl Composed {
    /// The fields of a binding's spec that give `key` from the entry `secret`, ready to be pasted in place of its item
    /// in `data`. `others` are the fetched keys that are to stay.
    pub fn spec(&self, secret: &str, key: &str, others: &[&str]) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let (secret, key, template) = (quoted(secret), quoted(key), quoted(&self.template));
        let names = self.properties.join(", ");
        let keep = others.join(", ");
        format!(
            "dataFrom:\n- secret: {secret}\n  include: [{names}]\ntemplate:\n  data:\n    {key}: {template}\n  keep: [{keep}]"
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;
    use crate::core::{ParseSettings, SecretValue, parse, template};

    const PRODUCTION: [&str; 6] = ["engine", "host", "port", "dbname", "username", "password"];

    #[test]
    fn the_url_is_made_of_the_parts_that_are_there() {
        let staging = ["host", "port", "database", "username", "password"];
        let postgres = |name: &str| {
            format!(
                "postgresql://{{{{ username | urlencode }}}}:{{{{ password | urlencode }}}}@{{{{ host }}}}:{{{{ port }}}}/{{{{ {name} }}}}?sslmode=require"
            )
        };
        for (wanted, properties, engine, expected) in [
            ("connection_string", &PRODUCTION[..], Some("postgres"), Some(postgres("dbname"))),
            ("connectionString", &staging[..], None, Some(postgres("database"))),
            ("DATABASE_URL", &staging[..], Some("what"), Some(postgres("database"))),
            ("dsn", &["user", "password", "hostname", "db"][..], Some("aurora-mysql"), Some("mysql://{{ user | urlencode }}:{{ password | urlencode }}@{{ hostname }}/{{ db }}".to_owned())),
            ("passwrod", &PRODUCTION[..], None, None),
            ("url", &["host", "password"][..], None, None),
            ("url", &[][..], None, None),
        ] {
            let found = database_url(wanted, properties.iter().copied(), engine);
            assert_eq!(found.map(|it| it.template), expected, "{wanted}");
        }
    }

    #[test]
    fn what_is_offered_is_a_spec_that_gives_the_url() {
        let composed = database_url("url", PRODUCTION, Some("postgres")).unwrap();
        let pasted = composed.spec("ecomind/prod/database", "connection-string", &["JWT"]);
        let spec: Value = serde_yaml::from_str(&pasted).unwrap();
        let typed = serde_json::from_value(spec).unwrap();
        let recipe = parse("ecomind", "database", &typed, &ParseSettings::default()).unwrap();
        let template = recipe.template.unwrap();
        assert_eq!(template.keep, Some(vec!["JWT".to_owned()]));
        let values = json!({"username": "app", "password": "p/w:1", "host": "db", "port": "5432", "dbname": "eco"});
        let values = values.as_object().unwrap().iter();
        let data = values.map(|(key, value)| {
            (
                key.clone(),
                SecretValue::from(value.as_str().unwrap().to_owned()),
            )
        });
        let source = &template.data["connection-string"];
        let url = template::render(source, &std::sync::Arc::new(data.collect())).unwrap();
        assert_eq!(
            url.as_str().unwrap(),
            "postgresql://app:p%2Fw%3A1@db:5432/eco?sslmode=require"
        );
    }
}
