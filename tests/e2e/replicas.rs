//! Replicas of entries in another region, and who serves a binding.

use keyferry_testkit::aws::{Fault, Region};
use serde_json::{Value, json};

use crate::{
    case::{Case, PATIENCE, is},
    world::{ACCOUNT, REGION, SHARED, World, role_arn},
};

/// Has the replicas.
pub const TOKYO: &str = "ap-northeast-1";

impl Case {
    pub fn falling_back(&self, mut spec: Value) -> Value {
        spec["source"] = json!({"failoverRegions": [TOKYO]});
        spec["refreshInterval"] = json!("10s");
        spec
    }

    /// A binding `app` of entry `e` that is in sync, with a replica of the entry.
    pub async fn replicated(&self, value: &str) {
        self.put("e", value);
        self.replicate("e");
        self.binding("app", self.falling_back(self.one("K", "e")))
            .await;
        let status = self.synced("app").await;
        assert_eq!(regions(&status), [REGION]);
    }

    pub fn replicate(&self, entry: &str) {
        let entry = self.entry(entry);
        self.world.entries().replicate(&entry, TOKYO).unwrap();
    }

    pub fn tokyo(&self) -> Region {
        self.world.aws.account(ACCOUNT).region(TOKYO)
    }

    /// The region answers reads of an entry with faults of its own.
    pub fn break_region(&self, entry: &str) {
        let fault = Fault::error(500, "InternalServiceError").region(REGION);
        self.fault(entry, fault);
    }

    pub async fn served_by(&self, region: &str) -> Value {
        let served = |object: &Value| {
            is(object, "Synced", "True", "Synced") && regions(&object["status"]) == [region]
        };
        let what = format!("served by {region}");
        self.until("app", &what, served).await["status"].clone()
    }

    /// This namespace's role, which the shared operator may assume and which may do everything.
    pub fn trusting_role(&self) {
        let role = World::role(&self.namespace)
            .trust_principal(&role_arn(SHARED))
            .allow_session_tag("keyferry-namespace", "*")
            .allow(&["*"], &["*"]);
        self.world.aws.put_role(role);
    }

    /// How often a region's STS was asked for this namespace's role.
    pub fn assumed(&self, region: &str) -> usize {
        let role = role_arn(&self.namespace);
        let calls = self.world.aws.calls().into_iter();
        let of_role = calls.filter(|call| {
            call.operation == "AssumeRole" && call.ids.contains(&role) && call.region == region
        });
        of_role.count()
    }

    /// Writes of Secret `app` so far.
    pub fn secret_writes(&self, operator: &str) -> usize {
        let writes = self.writes(operator).into_iter();
        let ours = writes.filter(|write| write.resource == "secrets" && write.name == "app");
        ours.count()
    }

    /// Waits for the event about another region.
    pub async fn told(&self, words: &str) {
        let told = || {
            let notes = self.events("app");
            let found = notes.iter().any(|(_, _, note)| note.contains(words));
            found.then_some(())
        };
        let told = self.world.events.until(PATIENCE, told).await;
        assert!(told.is_ok(), "{words}: {:?}", self.events("app"));
    }
}

/// The regions that a status names, each once.
pub fn regions(status: &Value) -> Vec<&str> {
    let sources = status["sources"].as_array().into_iter().flatten();
    let mut all: Vec<&str> = sources.filter_map(|s| s["region"].as_str()).collect();
    all.dedup();
    all
}

/// CreatedDate is recorded in whole seconds.
pub async fn a_second_later() {
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
}
