//! How simulated containers behave, as tests decide it. Pure: matches a
//! container's start against rules and says what becomes of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

/// The environment a container was started with. It never changes; a restart
/// captures a new one. `Debug` shows the names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    pub(super) fn new(variables: BTreeMap<String, String>) -> Self {
        Self(variables)
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The variables' names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// One start of one container.
#[derive(Clone, Debug)]
pub struct ContainerStart {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's uid.
    pub pod_uid: String,
    /// The pod's labels when it came to the node.
    pub labels: BTreeMap<String, String>,
    /// Kind and name of what runs the pod: `("Deployment", "ai")`, not its
    /// ReplicaSet. `None` for a bare pod.
    pub workload: Option<(String, String)>,
    /// Counts, from 1, the pods of this workload's same revision in the order in
    /// which they came to simulated nodes: 3 is the third new pod of a rollout.
    pub nth: u32,
    /// Counts all pods of the simulator, from 1.
    pub arrival: u32,
    /// The container's name.
    pub container: String,
    /// Whether it is an init container.
    pub init: bool,
    /// Whether the container runs until it is stopped (restart policy Always)
    /// rather than to an end of its own.
    pub endless: bool,
    /// How often this container was started before in this pod.
    pub restarts: u32,
    /// What the container was started with.
    pub environment: Environment,
    /// When.
    pub started_at: Timestamp,
}

/// What becomes of a started container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Runs and is ready.
    Ready,
    /// Runs and does not become ready.
    NotReady,
    /// Ends by itself. The pod's restart policy decides what follows.
    Exit {
        /// The exit code.
        code: i32,
        /// Counts from the container's start.
        after: Duration,
    },
    /// Never starts: its image cannot be pulled, and this is tried for ever.
    NoImage,
}

impl Outcome {
    /// Ends with this code a moment after its start.
    pub const fn exit(code: i32) -> Self {
        Self::Exit {
            code,
            after: Duration::from_millis(100),
        }
    }
}

/// Decides what no rule decides.
pub type Readiness = Arc<dyn Fn(&ContainerStart) -> Outcome + Send + Sync>;

/// What a container does without any rule: init containers and containers of
/// Jobs end with 0 a moment after their start, all others become ready.
pub fn default_readiness(start: &ContainerStart) -> Outcome {
    if start.endless {
        Outcome::Ready
    } else {
        Outcome::exit(0)
    }
}

/// Whose containers a rule is about, in the namespace it is set for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The pods of one workload, such as `Deployment` `ai`, in all revisions.
    Workload(String, String),
    /// Pods with all of these labels.
    Labels(BTreeMap<String, String>),
    /// One pod by its name.
    Pod(String),
}

impl Target {
    /// The pods of a Deployment.
    pub fn deployment(name: &str) -> Self {
        Self::Workload("Deployment".into(), name.into())
    }

    /// The pods of a workload of any kind.
    pub fn workload(kind: &str, name: &str) -> Self {
        Self::Workload(kind.into(), name.into())
    }

    fn matches(&self, start: &ContainerStart) -> bool {
        match self {
            Self::Workload(kind, name) => start
                .workload
                .as_ref()
                .is_some_and(|(k, n)| k == kind && n == name),
            Self::Labels(labels) => labels.iter().all(|(k, v)| start.labels.get(k) == Some(v)),
            Self::Pod(name) => start.pod == *name,
        }
    }
}

/// When a rule applies to a container's start. No `Debug`: it holds values.
#[derive(Clone)]
pub enum When {
    /// Always.
    Always,
    /// The variable was captured with exactly this value.
    Equals(String, String),
    /// The variable was captured with another value, or not at all.
    Differs(String, String),
    /// The pod came after the rule was set, and is this one or a later one of
    /// its revision, counted from 1: `NewPod(3)` holds the last of three new
    /// pods of the next rollout and no pod that is there already.
    NewPod(u32),
}

impl When {
    /// The variable was captured with exactly this value.
    pub fn equals(name: &str, value: &str) -> Self {
        Self::Equals(name.into(), value.into())
    }

    /// The variable was captured with another value, or not at all.
    pub fn differs(name: &str, value: &str) -> Self {
        Self::Differs(name.into(), value.into())
    }

    /// `since` is the last pod that came before the rule was set.
    fn holds(&self, start: &ContainerStart, since: u32) -> bool {
        match self {
            Self::Always => true,
            Self::Equals(name, value) => start.environment.get(name) == Some(value),
            Self::Differs(name, value) => start.environment.get(name) != Some(value),
            Self::NewPod(nth) => start.arrival > since && start.nth >= *nth,
        }
    }
}

/// What becomes of containers when something holds. Rules about all containers
/// of a pod leave its init containers alone; name one to rule it.
#[derive(Clone)]
pub struct Rule {
    when: When,
    outcome: Outcome,
    container: Option<String>,
    message: Option<String>,
}

impl Rule {
    /// Any outcome.
    pub fn new(when: When, outcome: Outcome) -> Self {
        Self {
            when,
            outcome,
            container: None,
            message: None,
        }
    }

    /// Runs and does not become ready.
    pub fn not_ready(when: When) -> Self {
        Self::new(when, Outcome::NotReady)
    }

    /// Ends with this exit code, again and again where the pod restarts it.
    pub fn crash(when: When, code: i32) -> Self {
        Self::new(when, Outcome::exit(code))
    }

    /// The same rule for one container, which may be an init container.
    #[must_use]
    pub fn container(mut self, name: &str) -> Self {
        self.container = Some(name.into());
        self
    }

    /// The same rule for a container that leaves this termination message. `$(NAME)` in it stands for
    /// the value that was captured for a variable.
    #[must_use]
    pub fn saying(mut self, message: &str) -> Self {
        self.message = Some(message.into());
        self
    }

    fn applies(&self, start: &ContainerStart, since: u32) -> bool {
        let container = match &self.container {
            Some(name) => *name == start.container,
            None => !start.init,
        };
        container && self.when.holds(start, since)
    }
}

/// All rules that are set, by namespace and target.
#[derive(Clone, Default)]
pub(super) struct RuleBook(Vec<Entry>);

#[derive(Clone)]
struct Entry {
    namespace: String,
    target: Target,
    rules: Vec<Rule>,
    since: u32,
}

impl RuleBook {
    /// Replaces all rules of one target; none clears it. `since` is the number
    /// of the last pod that has come.
    pub(super) fn set(&mut self, namespace: &str, target: Target, rules: Vec<Rule>, since: u32) {
        self.0
            .retain(|entry| entry.namespace != namespace || entry.target != target);
        if !rules.is_empty() {
            self.0.push(Entry {
                namespace: namespace.into(),
                target,
                rules,
                since,
            });
        }
    }

    /// What the first rule that applies says.
    pub(super) fn outcome(&self, start: &ContainerStart) -> Option<Outcome> {
        self.rule(start).map(|rule| rule.outcome)
    }

    /// The termination message by the first rule that applies; empty: none.
    pub(super) fn message(&self, start: &ContainerStart) -> String {
        let rule = self.rule(start);
        let message = rule.and_then(|rule| rule.message.clone());
        let mut message = message.unwrap_or_default();
        for name in start.environment.names() {
            let value = start.environment.get(name).unwrap_or_default();
            message = message.replace(&format!("$({name})"), value);
        }
        message
    }

    /// The longest-standing target comes first.
    fn rule(&self, start: &ContainerStart) -> Option<&Rule> {
        self.0
            .iter()
            .filter(|entry| entry.namespace == start.namespace && entry.target.matches(start))
            .flat_map(|entry| entry.rules.iter().map(|rule| (rule, entry.since)))
            .find(|(rule, since)| rule.applies(start, *since))
            .map(|(rule, _)| rule)
    }
}

#[cfg(test)]
mod tests;
