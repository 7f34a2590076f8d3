//! `--keep`: says how to look around, and waits.

use std::time::Duration;

use keyferry_testkit::ControlPlane;

use super::aws::{PASSWORD, PERSON};
use super::bed::Bed;
use super::cluster::NAMESPACE;
use crate::bed::screen::Screen;
use crate::signals::Stop;
use crate::tools;
use crate::workspace::Ended;

/// Runs until somebody asks to stop; the operator's log is written out meanwhile.
pub(crate) async fn look_around(bed: &Bed, screen: &Screen, stop: &mut Stop) -> Ended {
    for line in hints(bed).await? {
        screen.detail(line);
    }
    loop {
        if let Some(operator) = &bed.operator {
            bed.dir.write_log(&operator.output())?;
        }
        tokio::select! {
            () = stop.asked() => return Ok(()),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

async fn hints(bed: &Bed) -> Ended<Vec<String>> {
    let mut hints = vec![
        "Everything runs until Ctrl-C. In another terminal:".to_owned(),
        format!("  export KUBECONFIG={}", bed.plane.kubeconfig().display()),
    ];
    if !tools::has("kubectl") {
        // The control plane's program is kubectl when it is called so.
        let bin = bed.dir.path().join("bin");
        std::fs::create_dir_all(&bin)?;
        std::os::unix::fs::symlink(ControlPlane::program().await?, bin.join("kubectl"))?;
        hints.push(format!("  export PATH={}:$PATH", bin.display()));
    }
    hints.push(format!("  kubectl get esb -n {NAMESPACE}"));
    hints.push(format!("  kubectl describe esb ai -n {NAMESPACE}"));
    if let Some(estate) = &bed.aws {
        hints.push("Rotate again, with the AWS CLI against the fake:".into());
        let mut variables = String::from("  export");
        for (name, value) in estate.aws.env() {
            variables.push_str(&format!(" {name}={value}"));
        }
        hints.push(variables);
        hints.push(format!(
            "  export AWS_ACCESS_KEY_ID={PERSON} AWS_SECRET_ACCESS_KEY=any"
        ));
        hints.push(format!(
            "  aws secretsmanager put-secret-value --secret-id {PASSWORD} --secret-string \"$NEW\""
        ));
        hints.push(format!(
            "  kubectl annotate esb --all -n {NAMESPACE} keyferry.dev/refresh=\"$(date +%s)\" --overwrite"
        ));
    }
    let log = bed.dir.log();
    hints.push(format!("The operator's log: {}", log.display()));
    Ok(hints)
}
