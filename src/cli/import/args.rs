//! The arguments, and where keys go.

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, Args};

use crate::{
    api::Reason,
    cli::{Problems, duration},
    core::{
        Finding, SecretId, VersionSelector,
        import::{Mode, name_problem},
        parse_reference,
    },
    source::NewEntry,
};

/// Arguments of `keyferry import`.
#[derive(Args, Clone, Debug)]
#[command(
    group = ArgGroup::new("where").required(true).args(["to", "per_key"]),
    group = ArgGroup::new("mode").args(["merge", "replace"]),
    after_help = "Example:\n  keyferry import .env --to bizi/production --dry-run\n  keyferry import .env --per-key gaara-store/production/ --binding-out binding.yaml\n  printf 'ec2_host=203.0.113.7' | keyferry import - --to FastAPIDeploymentSecrets --merge\n\nNothing is written before everything was read and judged, and nothing over somebody else's write. What says the\nsame already is not written again: run it again after a failure to go on. Values are never printed."
)]
pub struct ImportArgs {
    /// The .env file, or - for the standard input
    pub file: PathBuf,

    /// One entry: a JSON object of all keys
    #[arg(long, value_name = "ENTRY")]
    pub to: Option<String>,

    /// One entry a key, below this prefix: REDIS_PASSWORD becomes redis-password
    #[arg(long, value_name = "PREFIX")]
    pub per_key: Option<String>,

    /// Of an entry that is there, keep the keys that are not in the file
    #[arg(long, conflicts_with = "per_key")]
    pub merge: bool,

    /// Replace what is there: the keys that are not in the file go (with --per-key: other values)
    #[arg(long)]
    pub replace: bool,

    /// Say what would be written, and write nothing but the binding
    #[arg(long)]
    pub dry_run: bool,

    /// Let in values that look like left-overs (CHANGEME, <...>, your-...)
    #[arg(long)]
    pub allow_placeholders: bool,

    /// Let this key be empty; may be repeated
    #[arg(long, value_name = "KEY")]
    pub allow_empty: Vec<String>,

    /// KMS key of entries that are made
    #[arg(long, value_name = "KEY")]
    pub kms_key: Option<String>,

    /// Tag of entries that are made; may be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
    pub tags: Vec<(String, String)>,

    /// Region that gets a replica of entries that are made; may be repeated
    #[arg(long = "replica-region", value_name = "REGION")]
    pub replica_regions: Vec<String>,

    /// Write the binding into this file instead of the standard output
    #[arg(long, value_name = "FILE")]
    pub binding_out: Option<PathBuf>,

    /// Name of the binding (else after the entry)
    #[arg(long, value_name = "NAME")]
    pub binding_name: Option<String>,

    /// Namespace of the binding
    #[arg(short, long)]
    pub namespace: Option<String>,

    /// Region of the entries (else AWS_REGION, the profile's, the instance's)
    #[arg(long)]
    pub region: Option<String>,

    /// How long AWS may take to be read, and for each write
    #[arg(long, default_value = "20s", value_parser = duration::patience)]
    pub timeout: Duration,
}

fn tag(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    let (long_key, long_value) = (key.chars().count() > 128, value.chars().count() > 256);
    if key.is_empty() || key.starts_with("aws:") || long_key || long_value {
        return Err("write KEY=VALUE, the key of 1 to 128 characters and not aws:..., the value of at most 256".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// Where the keys go.
#[derive(Clone, Debug)]
pub(super) enum Where {
    /// Into one entry, by name or ARN.
    Entry(String),
    /// Each into its own.
    PerKey(String),
}

impl Where {
    pub fn text(&self) -> &str {
        match self {
            Self::Entry(text) | Self::PerKey(text) => text,
        }
    }

    /// The region to write in, if something names one.
    pub fn region<'a>(&'a self, args: &'a ImportArgs) -> Result<Option<&'a str>, Finding> {
        let of_arn = match self {
            Self::Entry(text) if text.starts_with("arn:") => text.split(':').nth(3),
            _ => None,
        };
        match (of_arn, args.region.as_deref()) {
            (Some(one), Some(other)) if one != other => Err(Finding::new(
                Reason::SecretNotFound,
                format!("The ARN is of region {one}, --region says {other}."),
                "Leave --region out.",
            )),
            (one, other) => Ok(one.or(other)),
        }
    }
}

impl ImportArgs {
    pub(super) fn place(&self) -> Result<Where, Problems> {
        if let Some(prefix) = &self.per_key {
            return Ok(Where::PerKey(prefix.clone()));
        }
        let entry = self.to.clone().unwrap_or_default();
        let reference = parse_reference(&entry);
        let reference = reference.map_err(|problem| Problems::one(format!("--to {problem}")))?;
        if reference.property.is_some() || reference.ask.version != VersionSelector::Current {
            return Err(Problems::one(
                "--to names an entry, not a property or version of it",
            ));
        }
        if let SecretId::Name(name) = &reference.ask.id
            && let Some(problem) = name_problem(name)
        {
            return Err(Problems::one(format!("--to {problem}")));
        }
        Ok(Where::Entry(entry))
    }

    pub(super) fn mode(&self) -> Option<Mode> {
        match (self.merge, self.replace) {
            (true, _) => Some(Mode::Merge),
            (_, true) => Some(Mode::Replace),
            _ => None,
        }
    }

    pub(super) fn new_entry(&self) -> NewEntry {
        NewEntry {
            kms_key: self.kms_key.clone(),
            tags: self.tags.clone(),
            replica_regions: self.replica_regions.clone(),
        }
    }

    /// Whether something is said about entries that are made.
    pub(super) fn says_how_to_make(&self) -> bool {
        self.kms_key.is_some() || !self.tags.is_empty() || !self.replica_regions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::tag;

    #[test]
    fn tags_are_key_and_value() {
        let pair = |key: &str, value: &str| Ok((key.to_owned(), value.to_owned()));
        assert_eq!(tag("team=a"), pair("team", "a"));
        assert_eq!(tag("team=a=b"), pair("team", "a=b"));
        assert_eq!(tag("team"), pair("team", ""));
        for bad in [
            "",
            "=a",
            "aws:x=1",
            &format!("{}=a", "k".repeat(129)),
            &format!("k={}", "v".repeat(257)),
        ] {
            assert!(tag(bad).is_err(), "{bad}");
        }
    }
}
