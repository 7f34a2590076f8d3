//! Writes of the operator as the API server's audit log has them. Leases are not in it.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use keyferry_testkit::ControlPlane;
use serde::Deserialize;

use crate::bed::operator::OPERATOR;
use crate::workspace::Ended;

/// Writes by what they were, such as `create secrets`.
pub(crate) type Writes = BTreeMap<String, u64>;

/// A place in the log, from which writes are counted.
pub(crate) struct Audit {
    log: PathBuf,
    from: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    verb: String,
    user: User,
    object_ref: Option<ObjectRef>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct ObjectRef {
    resource: String,
    subresource: Option<String>,
}

impl Audit {
    /// Counts from now on.
    ///
    /// # Errors
    /// Without an audit log.
    pub(crate) fn begin(plane: &ControlPlane) -> Ended<Self> {
        let log = plane
            .audit_log()
            .ok_or("the control plane has no audit log")?;
        let from = std::fs::metadata(&log)?.len();
        Ok(Self { log, from })
    }

    /// The operator's writes since.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(crate) fn writes(&self) -> Ended<Writes> {
        let mut file = std::fs::File::open(&self.log)?;
        // A log that grew too long was put aside for a new one.
        let rotated = file.metadata()?.len() < self.from;
        file.seek(SeekFrom::Start(if rotated { 0 } else { self.from }))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(count(&text))
    }
}

fn count(log: &str) -> Writes {
    let ours = format!("system:serviceaccount:{OPERATOR}:{OPERATOR}");
    let mut writes = Writes::new();
    let lines = log.lines().filter(|line| line.contains(&ours));
    for line in lines.filter_map(|line| serde_json::from_str::<Line>(line).ok()) {
        if line.user.username != ours {
            continue;
        }
        let object = line.object_ref.map(|object| match object.subresource {
            Some(sub) => format!("{}/{sub}", object.resource),
            None => object.resource,
        });
        let what = format!("{} {}", line.verb, object.unwrap_or_default());
        *writes.entry(what).or_default() += 1;
    }
    writes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_operators_own_writes_count() {
        let log = r#"
{"verb":"create","user":{"username":"system:serviceaccount:keyferry:keyferry"},"objectRef":{"resource":"secrets"}}
{"verb":"patch","user":{"username":"system:serviceaccount:keyferry:keyferry"},"objectRef":{"resource":"externalsecretbindings","subresource":"status"}}
{"verb":"patch","user":{"username":"system:serviceaccount:keyferry:keyferry"},"objectRef":{"resource":"externalsecretbindings","subresource":"status"}}
{"verb":"create","user":{"username":"admin"},"objectRef":{"resource":"secrets","name":"system:serviceaccount:keyferry:keyferry"}}
{"verb":"#;
        let want = [
            ("create secrets", 1),
            ("patch externalsecretbindings/status", 2),
        ];
        assert_eq!(
            count(log),
            want.map(|(what, n)| (what.to_owned(), n)).into()
        );
    }
}
