//! The file: read, and judged before anybody is called.

use super::{ImportArgs, Where, read};
use crate::{
    api::limits,
    cli::Problems,
    core::{
        SecretValue, dotenv,
        import::{Named, names},
        keys::key_problem,
        placeholder::placeholder,
    },
};

/// What is brought in.
pub(super) struct File {
    pub pairs: Vec<(String, SecretValue)>,
    /// Names of entries, where each key gets its own.
    pub named: Named,
    /// Keys whose value is empty.
    pub empty: Vec<String>,
    /// Some values look like left-overs, and were let in.
    pub has_left_overs: bool,
    pub warnings: Vec<String>,
}

impl File {
    pub fn read(args: &ImportArgs, place: &Where) -> Result<Self, Problems> {
        let shown = match args.file.as_os_str() == "-" {
            true => "standard input".to_owned(),
            false => args.file.display().to_string(),
        };
        let told = |problem: String| Problems::one(format!("{shown}: {problem}"));
        let bytes = read(&args.file).map_err(|error| told(format!("cannot be read: {error}")))?;
        let found = dotenv::parse(&bytes);
        let found = found.map_err(|error| Problems::one(format!("{shown}:{error}")))?;
        let pairs = found.pairs;
        let keys: Vec<&str> = pairs.iter().map(|(key, _)| key.as_str()).collect();
        if keys.is_empty() {
            return Err(told("holds no key".to_owned()));
        }
        let most = usize::try_from(limits::NAMED_KEYS).unwrap_or(usize::MAX);
        if keys.len() > most {
            return Err(told(format!("{} keys; a binding takes {most}", keys.len())));
        }
        let named = match place {
            Where::PerKey(prefix) => names(prefix, &keys).map_err(Problems::one)?,
            Where::Entry(_) => Named {
                names: Vec::new(),
                renamed: Default::default(),
            },
        };
        let mut problems: Vec<String> = keys
            .iter()
            .filter_map(|key| {
                Some(format!(
                    "{shown}: {key} {} as the key of a Secret",
                    key_problem(key)?
                ))
            })
            .collect();
        let left_overs = left_overs(args, place, &pairs);
        problems.extend(
            left_overs
                .iter()
                .filter_map(|found| found.problem.as_ref())
                .map(|why| format!("{shown}: {why}")),
        );
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let empty = pairs.iter().filter(|(_, value)| value.is_empty());
        Ok(Self {
            empty: empty.map(|(key, _)| key.clone()).collect(),
            has_left_overs: left_overs.iter().any(|found| found.rule != "empty"),
            named,
            warnings: found
                .warnings
                .iter()
                .map(|warning| format!("{shown}:{warning}"))
                .collect(),
            pairs,
        })
    }
}

struct LeftOver {
    rule: &'static str,
    /// Why it stops the import; None: it was let in.
    problem: Option<String>,
}

/// Values that look like left-overs.
fn left_overs(args: &ImportArgs, place: &Where, pairs: &[(String, SecretValue)]) -> Vec<LeftOver> {
    let per_key = matches!(place, Where::PerKey(_));
    let judged = pairs.iter().filter_map(|(key, value)| {
        let rule = placeholder(value.expose())?;
        let is_empty = value.is_empty();
        let problem = if is_empty && per_key {
            Some(format!("{key} is empty, and no entry can be; leave it out, or use --to"))
        } else if is_empty && !args.allow_empty.contains(key) {
            Some(format!("{key} is empty. Put a value, or say --allow-empty {key}"))
        } else if !is_empty && !args.allow_placeholders {
            Some(format!(
                "{key} looks like a placeholder (rule: \"{rule}\"). Put a real value, or say --allow-placeholders"
            ))
        } else {
            None
        };
        // Nothing but blanks is more than nothing.
        let rule = if is_empty || rule != "empty" { rule } else { "blank" };
        Some(LeftOver { rule, problem })
    });
    judged.collect()
}
