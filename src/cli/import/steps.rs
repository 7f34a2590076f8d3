//! What is to be done with each entry, found out before the first is written.

use super::{File, ImportArgs, Where};
use crate::{
    cli::Problems,
    core::{
        EntryValue, Finding, SecretValue,
        import::{MAX_ENTRY, Mode, Obstacle, Plan, ends_like_an_arn, plan, written},
        sources::shown_version,
    },
    source::{Current, Writer},
};

/// Everything that is to be done.
pub(super) struct Steps {
    pub all: Vec<Step>,
}

/// What is to be done with one entry.
pub(super) struct Step {
    pub entry: String,
    what: What,
}

enum What {
    Make {
        text: SecretValue,
        keys: Vec<String>,
    },
    Put {
        text: SecretValue,
        before: Option<String>,
        /// What changes, in words.
        changes: String,
        kept: bool,
    },
    Nothing {
        version: String,
        kept: bool,
    },
}

impl Steps {
    /// Reads every entry.
    pub async fn find(
        writer: &Writer,
        args: &ImportArgs,
        place: &Where,
        file: &File,
    ) -> Result<Self, Problems> {
        let (mut all, mut problems) = (Vec::new(), Vec::new());
        let mut add = |entry: String, what: Result<What, Obstacle>| match what {
            Ok(What::Make { .. }) if entry.starts_with("arn:") => {
                problems.push(format!("{entry}: no such entry. To make one, say its name"));
            }
            Ok(what) => all.push(Step { entry, what }),
            Err(obstacle) => problems.push(format!("{entry}: {obstacle}")),
        };
        match place {
            Where::Entry(entry) => {
                let current = writer.current(entry).await.map_err(Problems::one)?;
                let what = of_object(&current, file, args.mode());
                add(entry.clone(), what);
            }
            Where::PerKey(prefix) => {
                for (name, (key, value)) in file.named.names.iter().zip(&file.pairs) {
                    let entry = format!("{prefix}{name}");
                    let current = writer.current(&entry).await.map_err(Problems::one)?;
                    let what = of_value(&current, key, value, args.mode());
                    add(entry, what);
                }
            }
        }
        match problems.is_empty() {
            true => Ok(Self { all }),
            false => Err(Problems(problems)),
        }
    }

    pub fn warnings(&self, args: &ImportArgs) -> Vec<String> {
        let (made, there): (Vec<&Step>, Vec<&Step>) = self
            .all
            .iter()
            .partition(|step| matches!(step.what, What::Make { .. }));
        let mut warnings: Vec<String> = made
            .iter()
            .filter(|step| ends_like_an_arn(&step.entry))
            .map(|step| {
                format!(
                    "{}: the name ends like an ARN, in a hyphen and six characters: partial ARNs of it are misread. Refer to it by name or full ARN",
                    step.entry
                )
            })
            .collect();
        if args.says_how_to_make() && !there.is_empty() {
            let entries: Vec<&str> = there.iter().map(|step| step.entry.as_str()).collect();
            warnings.push(format!(
                "--kms-key, --tag and --replica-region are for entries that are made; already there: {}",
                entries.join(", ")
            ));
        }
        warnings
    }

    /// The entry has keys that the file has not.
    pub fn has_others(&self) -> bool {
        let kept = |step: &Step| match step.what {
            What::Make { .. } => false,
            What::Put { kept, .. } | What::Nothing { kept, .. } => kept,
        };
        self.all.iter().any(kept)
    }
}

impl Step {
    pub fn writes(&self) -> bool {
        !matches!(self.what, What::Nothing { .. })
    }

    /// What would be done.
    pub fn would(&self) -> String {
        let entry = &self.entry;
        match &self.what {
            What::Make { keys, .. } => format!("{entry}: would be made: {}", keys.join(", ")),
            What::Put { changes, .. } => format!("{entry}: would get a new version: {changes}"),
            What::Nothing { version, .. } => unchanged(entry, version),
        }
    }

    /// Does it; a line that says so, and what else a person should know.
    pub async fn write(
        &self,
        writer: &Writer,
        args: &ImportArgs,
    ) -> Result<(String, Option<String>), Finding> {
        let entry = &self.entry;
        // What is written was made of text.
        let text = |value: &SecretValue| value.as_str().unwrap_or_default().to_owned();
        match &self.what {
            What::Make { text: new, keys } => {
                let text = zeroize::Zeroizing::new(text(new));
                let made = writer.create(entry, &text, &args.new_entry()).await?;
                let version = shown_version(&made.version);
                let keys = keys.join(", ");
                Ok((format!("{entry}: made, version {version}: {keys}"), None))
            }
            What::Put {
                text: new,
                before,
                changes,
                ..
            } => {
                let text = zeroize::Zeroizing::new(text(new));
                let put = writer.put(entry, before.as_deref(), &text).await?;
                let version = shown_version(&put.version);
                let before = before.as_deref().map(shown_version);
                let before = before.map_or(String::new(), |id| format!(" in place of {id}"));
                let line = format!("{entry}: version {version}{before}: {changes}");
                Ok((line, put.note))
            }
            What::Nothing { version, .. } => Ok((unchanged(entry, version), None)),
        }
    }
}

fn unchanged(entry: &str, version: &str) -> String {
    format!("{entry}: unchanged, version {}", shown_version(version))
}

/// All keys in one object.
fn of_object(current: &Current, file: &File, mode: Option<Mode>) -> Result<What, Obstacle> {
    let keys = || file.pairs.iter().map(|(key, _)| key.clone()).collect();
    let found = match current {
        Current::Missing => {
            return Ok(What::Make {
                text: written(&file.pairs)?,
                keys: keys(),
            });
        }
        Current::Empty => {
            let keys: Vec<String> = keys();
            return Ok(What::Put {
                text: written(&file.pairs)?,
                before: None,
                changes: format!("added {}", keys.join(", ")),
                kept: false,
            });
        }
        Current::Value(found) => found,
    };
    let text = match &found.value {
        EntryValue::Text(text) => text.as_str(),
        EntryValue::Binary(_) => None,
    };
    let version = found.version_id.clone();
    Ok(match plan(text, &file.pairs, mode)? {
        Plan::Unchanged { kept } => What::Nothing {
            version,
            kept: !kept.is_empty(),
        },
        Plan::Write {
            text,
            added,
            changed,
            removed,
            kept,
        } => {
            let parts = [
                ("changed", &changed),
                ("added", &added),
                ("removed", &removed),
            ];
            let parts = parts.iter().filter(|(_, keys)| !keys.is_empty());
            let mut parts: Vec<String> = parts
                .map(|(word, keys)| format!("{word} {}", keys.join(", ")))
                .collect();
            if !kept.is_empty() {
                let others = if kept.len() == 1 { "other" } else { "others" };
                parts.push(format!("kept {} {others}", kept.len()));
            }
            What::Put {
                text,
                before: Some(version),
                changes: parts.join("; "),
                kept: !kept.is_empty(),
            }
        }
    })
}

/// One value in an entry of its own.
fn of_value(
    current: &Current,
    key: &str,
    value: &SecretValue,
    mode: Option<Mode>,
) -> Result<What, Obstacle> {
    if value.len() > MAX_ENTRY {
        return Err(Obstacle::TooLarge(value.len()));
    }
    let put = |before, word: &str| What::Put {
        text: value.clone(),
        before,
        changes: format!("{word} {key}"),
        kept: false,
    };
    Ok(match current {
        Current::Missing => What::Make {
            text: value.clone(),
            keys: vec![key.to_owned()],
        },
        Current::Empty => put(None, "added"),
        Current::Value(found) if found.value.bytes() == value => What::Nothing {
            version: found.version_id.clone(),
            kept: false,
        },
        Current::Value(found) => match mode {
            Some(Mode::Replace) => put(Some(found.version_id.clone()), "changed"),
            _ => return Err(Obstacle::OtherValue),
        },
    })
}
