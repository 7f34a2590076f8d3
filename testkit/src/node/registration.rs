//! The Node objects themselves: made, kept alive by Leases, removed.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;

/// On every node made here and on no other.
pub const SIMULATED_LABEL: &str = "keyferry.dev/simulated";

/// A kubelet renews every 10 s; a node is lost after 40 to 50 s of silence.
/// More often than that, so that an abandoned node is recognised sooner.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Where kubelets keep their Leases. The API server makes this namespace.
const LEASES: &str = "kube-node-lease";

/// Creates the node, Ready and with room for 500 pods. A node that exists
/// already is an error: it may be a real one.
pub(super) async fn register(client: &Client, name: &str) -> kube::Result<()> {
    let now = Time(Timestamp::now());
    let room = json!({"cpu": "1000", "memory": "4Ti", "ephemeral-storage": "4Ti", "pods": "500"});
    let condition = |kind: &str, holds: bool| {
        json!({
            "type": kind,
            "status": if holds { "True" } else { "False" },
            "reason": "Simulated",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        })
    };
    let node: Node = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {
            SIMULATED_LABEL: "true",
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
        }},
        "status": {
            "capacity": room,
            "allocatable": room,
            "addresses": [{"type": "Hostname", "address": name}],
            "conditions": [
                condition("Ready", true),
                condition("MemoryPressure", false),
                condition("DiskPressure", false),
                condition("PIDPressure", false),
            ],
        },
    }))
    .map_err(kube::Error::SerdeError)?;
    // The Lease goes first: a node without one would count as abandoned.
    renew(client, name).await?;
    Api::all(client.clone())
        .create(&PostParams::default(), &node)
        .await?;
    Ok(())
}

/// The node has this many of an extended resource, whatever it had before.
pub(super) async fn set_room(
    client: &Client,
    name: &str,
    resource: &str,
    count: u32,
) -> kube::Result<()> {
    let room = json!({ resource: count.to_string() });
    let patch = json!({"status": {"capacity": room, "allocatable": room}});
    Api::<Node>::all(client.clone())
        .patch_status(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map(drop)
}

/// Renews the node's Lease for ever.
pub(super) async fn heartbeat(client: Client, name: String) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        // One that did not arrive is made up for by the next.
        let _ = renew(&client, &name).await;
    }
}

async fn renew(client: &Client, name: &str) -> kube::Result<()> {
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..Default::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(name.to_owned()),
            lease_duration_seconds: Some(40),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..Default::default()
        }),
    };
    let params = PatchParams::apply("keyferry-node-simulator").force();
    let leases: Api<Lease> = Api::namespaced(client.clone(), LEASES);
    leases.patch(name, &params, &Patch::Apply(lease)).await?;
    Ok(())
}

/// Removes nodes that an earlier simulator left behind when its process ended:
/// the scheduler would still use them for most of a minute. A Lease that is
/// renewed belongs to a simulator that runs beside this one; to see that takes
/// some seconds, but only where there is such a node at all.
pub(super) async fn remove_abandoned(client: &Client) -> kube::Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let ours = ListParams::default().labels(SIMULATED_LABEL);
    let mut found = Vec::new();
    for node in nodes.list_metadata(&ours).await? {
        let name = node.name_any();
        let at = renewed(client, &name).await?;
        found.push((name, at));
    }
    if let Some(latest) = found.iter().filter_map(|(_, at)| *at).max() {
        let silence = Duration::try_from(Timestamp::now().duration_since(latest));
        tokio::time::sleep((3 * HEARTBEAT).saturating_sub(silence.unwrap_or_default())).await;
    }
    for (name, before) in found {
        if before.is_none() || renewed(client, &name).await? == before {
            remove(client, &name).await?;
        }
    }
    Ok(())
}

async fn renewed(client: &Client, name: &str) -> kube::Result<Option<Timestamp>> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), LEASES);
    let lease = leases.get_opt(name).await?;
    Ok(lease.and_then(|lease| Some(lease.spec?.renew_time?.0)))
}

/// Removes the node and its Lease.
pub(super) async fn remove(client: &Client, name: &str) -> kube::Result<()> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), LEASES);
    let nodes: Api<Node> = Api::all(client.clone());
    let params = DeleteParams::default();
    // The node goes first: without a Lease it would count as abandoned.
    for missing in [
        nodes.delete(name, &params).await.err(),
        leases.delete(name, &params).await.err(),
    ] {
        match missing {
            Some(kube::Error::Api(status)) if status.code == 404 => {}
            Some(error) => return Err(error),
            None => {}
        }
    }
    Ok(())
}
