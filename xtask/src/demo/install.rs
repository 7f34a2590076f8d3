//! What stands in the cluster before the story begins: CRDs, estate, and the operator with the
//! chart's rights.

use keyferry_testkit::install;
use keyferry_testkit::operator::Operator;

use super::aws::{Estate, ROLE};
use super::bed::Bed;
use super::cluster::{NAMESPACE, Pods};
use crate::bed::operator::{self, OPERATOR};
use crate::bed::patience::until;
use crate::bed::screen::{Screen, column};
use crate::workspace::{Ended, root};

/// Made by hand; keyferry has nothing to do with it.
pub(crate) const BY_HAND: &str = "estate-sentry";

/// Where the text beside a command begins.
const WIDE: usize = 37;

/// CRDs, estate as it stands in `examples/`, and the Secret that its people make by hand.
pub(crate) async fn estate(bed: &Bed, screen: &Screen) -> Ended {
    install::crds(&bed.plane, &root()?).await?;
    let crds = [
        "crd/externalsecretbindings.keyferry.dev",
        "crd/secretaccesspolicies.keyferry.dev",
    ];
    bed.mark(&crds).await?;
    let crds = format!("{} CustomResourceDefinitions", crds.len());
    screen.line(&column("kubectl apply -f crds", WIDE), crds);
    let example = root()?.join("examples/estate").display().to_string();
    let made = bed.kubectl(&["apply", "-k", &example]).await?;
    bed.mark(&["namespace", NAMESPACE]).await?;
    screen.line(
        &column("kubectl apply -k examples/estate", WIDE),
        counted(&made),
    );
    let manifest = serde_json::json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": BY_HAND, "namespace": NAMESPACE},
        "stringData": {"SENTRY_DSN": "https://public@sentry.invalid/1"},
    });
    let input = manifest.to_string();
    let arguments = ["create", "-f", "-"];
    let output = bed
        .plane
        .kubectl(&arguments, Some(input.as_bytes()))
        .await?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    screen.detail(format!("{BY_HAND}: SENTRY_DSN, made by hand, stays theirs"));
    Ok(())
}

/// `4 Deployments, 1 CronJob, 3 bindings` out of what `kubectl apply` printed.
fn counted(printed: &str) -> String {
    let count = |prefix: &str| printed.lines().filter(|l| l.starts_with(prefix)).count();
    format!(
        "{} Deployments, {} CronJob, {} bindings",
        count("deployment.apps/"),
        count("cronjob.batch/"),
        count("externalsecretbinding.keyferry.dev/")
    )
}

/// The pods of all Deployments, which cannot start for want of their Secrets.
pub(crate) async fn pods_that_wait(bed: &Bed) -> Ended<Pods> {
    until("every Deployment has its pods", async || {
        let deployments = bed.cluster.deployments().await?;
        let pods = bed.cluster.pods().await?;
        let count = |name: &String| pods.get(name).map_or(0, |uids| uids.len());
        let all = deployments
            .iter()
            .all(|(name, d)| usize::try_from(d.wanted) == Ok(count(name)));
        Ok(if all {
            Ok(pods.clone())
        } else {
            Err(format!("{} Deployments have pods", pods.len()))
        })
    })
    .await
}

/// The operator as its chart installs it, as far as rights and identity go.
pub(crate) async fn operator(bed: &Bed, estate: &Estate, screen: &Screen) -> Ended<Operator> {
    operator::install(&bed.plane).await?;
    bed.mark(&["namespace", OPERATOR]).await?;
    bed.mark(&["clusterrole,clusterrolebinding", OPERATOR])
        .await?;
    let dir = bed.dir.path();
    let options = operator::options(&bed.plane, &estate.aws, ROLE, &bed.binary, dir).await?;
    let operator = Operator::start(&options).await?;
    let who = format!("running as {OPERATOR}/{OPERATOR}, chart role, no admin rights");
    screen.fact("operator", who);
    Ok(operator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubectl_made_is_counted() {
        let printed = "namespace/estate created\ncronjob.batch/estate-etl created\n\
            deployment.apps/estate-ai created\ndeployment.apps/estate-etl created\n\
            externalsecretbinding.keyferry.dev/ai created\n";
        assert_eq!(counted(printed), "2 Deployments, 1 CronJob, 1 bindings");
    }
}
