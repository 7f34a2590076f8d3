//! A test's own operator, and what operators did: their writes and their events.

use keyferry_testkit::install::Rights;
use serde_json::{Value, json};

use crate::{
    case::Case,
    operators::{Running, Start},
};

impl Case {
    /// Starts an operator that sees this namespace alone, under the chart's namespaced rights.
    pub async fn operator(&self, args: &[&str]) -> Running {
        let start = self.start(args);
        self.world.start_operator(start).await.unwrap()
    }

    pub fn start(&self, args: &[&str]) -> Start {
        let rights = Rights {
            watch_namespaces: vec![self.namespace.clone()],
            service_account_identity: false,
            preflight: args.contains(&"--allow-preflight"),
        };
        Start::new(&self.operator_name())
            .rights(rights)
            .args(&["--min-refresh-interval=10s"])
            .args(args)
    }

    /// Namespace and ServiceAccount of this test's own operator.
    pub fn operator_name(&self) -> String {
        format!("op-{}", self.namespace)
    }

    /// What this test's own operator logged.
    pub fn log(&self) -> String {
        let logs = self.world.channels.logs();
        let own = logs.iter().find(|(name, _)| *name == self.operator_name());
        own.map(|(_, output)| output.text()).unwrap()
    }

    /// Every write that an operator asked for in this namespace, refused ones too.
    pub fn writes(&self, operator: &str) -> Vec<Write> {
        self.writes_in(operator, |namespace| namespace == self.namespace)
    }

    /// The same in every namespace that was made for this test.
    pub fn writes_below(&self, operator: &str) -> Vec<Write> {
        self.writes_in(operator, |namespace| namespace.starts_with(&self.namespace))
    }

    fn writes_in(&self, operator: &str, ours: impl Fn(&str) -> bool) -> Vec<Write> {
        let path = self
            .world
            .plane
            .audit_log()
            .expect("the control plane has an audit log");
        let log = std::fs::read_to_string(path).unwrap();
        let user = format!("system:serviceaccount:{operator}:{operator}");
        let told = log
            .lines()
            .filter(|line| line.contains(&self.namespace) && line.contains(&user));
        let lines = told.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .filter(|line| line["user"]["username"] == json!(user))
            .filter(|line| line["objectRef"]["namespace"].as_str().is_some_and(&ours))
            .map(|line| Write::of(&line))
            .collect()
    }

    /// The events about a binding, as `(type, reason, note)`.
    pub fn events(&self, binding: &str) -> Vec<(String, String, String)> {
        let about = |event: &Value| event["regarding"]["name"] == json!(binding);
        let text =
            |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
        let all = self.world.events.all(&self.namespace);
        all.iter()
            .filter(|event| about(event))
            .map(|event| {
                (
                    text(event, "type"),
                    text(event, "reason"),
                    text(event, "note"),
                )
            })
            .collect()
    }
}

/// One write of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub verb: String,
    pub resource: String,
    pub name: String,
    pub code: u64,
}

impl Write {
    fn of(line: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = &line["objectRef"];
        let resource = match object["subresource"].as_str() {
            Some(sub) => format!("{}/{sub}", text(&object["resource"])),
            None => text(&object["resource"]),
        };
        Self {
            verb: text(&line["verb"]),
            resource,
            name: text(&object["name"]),
            code: line["responseStatus"]["code"].as_u64().unwrap_or_default(),
        }
    }
}
