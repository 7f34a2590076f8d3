//! A test's own operator at the fake AWS: a region of its own, what it called, and what it wrote.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use keyferry_testkit::{
    aws::{Call, Fault, Queue, Region, Service},
    recorder::{Recorder, Version},
};
use serde_json::Value;

use crate::{
    case::Case,
    operators::{Running, Start},
    world::{ACCOUNT, World, role_arn},
};

impl Case {
    /// A region that no other test uses: listings, queues and events of it are this test's alone.
    pub fn own_region(&self) -> Region {
        self.world.aws.account(ACCOUNT).region(&self.region_name())
    }

    fn region_name(&self) -> String {
        let number = self.namespace.rsplit('-').next().unwrap_or("0");
        let number = number.parse::<u32>().unwrap_or(0);
        format!("eu-west-{}", number + 10)
    }

    /// Makes an entry in that region, or a new version of it; returns the version id.
    pub fn put_apart(&self, name: &str, value: &str) -> String {
        let (region, entry) = (self.own_region(), self.entry(name));
        if region.arn(&entry).is_none() {
            region.create(&entry, value).unwrap();
            return region.current_version(&entry).unwrap();
        }
        region.put(&entry, value).unwrap()
    }

    /// An operator of that region.
    pub fn start_apart(&self, args: &[&str]) -> Start {
        self.start(args).env("AWS_REGION", &self.region_name())
    }

    /// Starts it.
    pub async fn operator_apart(&self, args: &[&str]) -> Running {
        let start = self.start_apart(args);
        self.world.start_operator(start).await.unwrap()
    }

    /// A fault that hits this test's own operator alone.
    pub fn only_ours(&self, fault: Fault) -> Fault {
        fault.principal(&format!("*:assumed-role/{}/*", self.operator_name()))
    }

    /// Every call of this test's own operator, oldest first.
    pub fn all_calls(&self) -> Vec<Call> {
        let role = role_arn(&self.operator_name());
        let session = format!(":assumed-role/{}/", self.operator_name());
        let mut calls = self.world.aws.calls();
        calls.retain(|call| call.principal.contains(&session) || call.ids.contains(&role));
        calls
    }

    /// The same since a number that [`Case::last_call`] gave.
    pub fn calls_since(&self, seq: u64) -> Vec<Call> {
        let mut calls = self.all_calls();
        calls.retain(|call| call.seq > seq);
        calls
    }

    /// The number of the last call of anybody.
    pub fn last_call(&self) -> u64 {
        self.world.aws.calls().last().map_or(0, |call| call.seq)
    }

    /// Waits until the operator has asked nothing for two seconds; the number of the last call.
    pub async fn between_sweeps(&self) -> u64 {
        let quiet = Duration::from_secs(2);
        let waited = self.poll(|| async {
            let calls = self.all_calls();
            let last = calls.last()?;
            (last.at.elapsed() > quiet).then_some(last.seq)
        });
        waited.await.expect("the operator never rests")
    }

    /// Does something between the first two pages of the operator's next listing, and waits until that is over.
    pub async fn between_pages(&self, happens: impl FnOnce(&Region)) {
        let begin = self.between_sweeps().await;
        let pages = || count(&self.calls_since(begin), "ListSecrets");
        let second = |fault: Fault| self.only_ours(fault.on("ListSecrets").after(1));
        let second = self.world.aws.hang(second);
        let waited = self.poll(|| async { (pages() >= 2).then_some(()) }).await;
        assert!(waited.is_some(), "no second page is asked for");
        happens(&self.own_region());
        drop(second);
        self.between_sweeps().await;
    }

    /// Keeps every version of every Secret of this namespace from now on.
    pub fn record_secrets(&self) -> Recorder {
        let path = format!("/api/v1/namespaces/{}/secrets", self.namespace);
        Recorder::start(self.world.client.clone(), &path)
    }

    /// What a key of a Secret went through, as the places of its values in `known`; a change of
    /// something else is no step. An unknown value or a missing key is `None`.
    pub fn steps(
        &self,
        recorder: &Recorder,
        secret: &str,
        key: &str,
        known: &[&str],
    ) -> Vec<Option<usize>> {
        let history = recorder.history(&self.namespace, secret);
        let versions = history.into_iter().map(|version| match version {
            Version::Is(object) => place(&object, key, known),
            Version::Gone => None,
        });
        let mut steps: Vec<Option<usize>> = versions.collect();
        steps.dedup();
        steps
    }
}

fn place(object: &Value, key: &str, known: &[&str]) -> Option<usize> {
    let secret: Secret = serde_json::from_value(object.clone()).ok()?;
    let data = secret.data?;
    let value = &data.get(key)?.0;
    known.iter().position(|known| known.as_bytes() == value)
}

/// How many of these calls are of an operation.
pub fn count(calls: &[Call], operation: &str) -> usize {
    of(calls, operation).count()
}

/// The calls of an operation.
pub fn of<'a>(calls: &'a [Call], operation: &'a str) -> impl Iterator<Item = &'a Call> {
    calls.iter().filter(move |call| call.operation == operation)
}

/// How many of these calls went to Secrets Manager.
pub fn asked(calls: &[Call]) -> usize {
    let asked = |call: &&Call| call.service == Service::SecretsManager;
    calls.iter().filter(asked).count()
}

/// The operations of these calls with how often each was made, for messages.
pub fn summary(calls: &[Call]) -> std::collections::BTreeMap<&str, usize> {
    let mut all = std::collections::BTreeMap::new();
    for call in calls {
        *all.entry(call.operation.as_str()).or_default() += 1;
    }
    all
}

impl Case {
    /// Starts an operator of this test's own region that follows a queue.
    pub async fn operator_with_queue(&self, queue: &Queue, args: &[&str]) -> Running {
        let url = format!("--events-queue-url={}", queue.url());
        let start = self.start_apart(args).args(&[url]);
        start.prepare(&self.world).await.unwrap();
        let name = self.operator_name();
        let role = World::role(&name)
            .trust_service_account(&name, &name)
            .allow(&["secretsmanager:*", "sqs:*"], &["*"]);
        self.world.aws.put_role(role);
        self.world.launch_operator(start).await.unwrap()
    }

    /// Starts an operator whose role lacks some rights.
    pub async fn operator_without(&self, denied: &[&str], args: &[&str]) -> Running {
        let start = self.start_apart(args);
        start.prepare(&self.world).await.unwrap();
        let name = self.operator_name();
        let role = World::role(&name)
            .trust_service_account(&name, &name)
            .allow(&["secretsmanager:*"], &["*"])
            .deny(denied, &["*"]);
        self.world.aws.put_role(role);
        self.world.launch_operator(start).await.unwrap()
    }
}
