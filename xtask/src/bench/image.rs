//! What the container image sets in the environment of its program, so that it is measured as it runs.

use std::path::Path;

use crate::workspace::Ended;

/// The variables of the last stage of the Dockerfile under `root`.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn environment(root: &Path) -> Ended<Vec<(String, String)>> {
    let path = root.join("Dockerfile");
    let text =
        std::fs::read_to_string(&path).map_err(|e| format!("read {}: {e}", path.display()))?;
    Ok(last_stage(&text))
}

fn last_stage(text: &str) -> Vec<(String, String)> {
    let (_, stage) = text.rsplit_once("\nFROM ").unwrap_or_default();
    let set = |line: &str| {
        let (name, value) = line.strip_prefix("ENV ")?.split_once('=')?;
        Some((name.to_owned(), value.trim().to_owned()))
    };
    stage.lines().filter_map(set).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_stage_runs() {
        let text = "FROM a AS build\nENV A=1\nRUN x\n\nFROM b\n# ENV C=1\nENV B=2\nUSER 1\n";
        assert_eq!(last_stage(text), [("B".to_owned(), "2".to_owned())]);
        assert_eq!(last_stage(""), []);
    }
}
