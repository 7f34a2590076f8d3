//! ListSecrets, its filters and its pages.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::error::AwsError;
use super::super::store::{RegionStore, Secret};
use super::{Scope, access, day, seconds};

const MAX_RESULTS: usize = 100;

/// One filter; several of them must all fit.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Filter {
    key: Option<String>,
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Request {
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
    #[serde(default)]
    include_planned_deletion: bool,
    sort_order: Option<String>,
    sort_by: Option<String>,
}

pub(super) fn list(scope: &mut Scope<'_>, request: Request) -> Result<Value, AwsError> {
    access::may(&scope.world.iam, scope.caller, "secretsmanager:ListSecrets")?;
    let size = request.max_results.unwrap_or(MAX_RESULTS);
    if !(1..=MAX_RESULTS).contains(&size) {
        return Err(AwsError::validation(format!(
            "1 validation error detected: Value at 'maxResults' failed to satisfy constraint: Member must be between 1 and {MAX_RESULTS}"
        )));
    }
    if request.sort_by.is_some_and(|by| by != "created-date") {
        return Err(AwsError::invalid_parameter(
            "The fake sorts by created-date only.",
        ));
    }
    let want = Page {
        filters: &request.filters,
        size,
        token: request.next_token.as_deref(),
        with_deleted: request.include_planned_deletion,
        descending: request.sort_order.as_deref() == Some("desc"),
    };
    let (secrets, next) = page(scope, &want)?;
    let entries: Vec<Value> = secrets.into_iter().map(entry).collect();
    let mut reply = json!({"SecretList": entries});
    if let Some(next) = next {
        reply["NextToken"] = next.into();
    }
    Ok(reply)
}

/// Which page of which list.
pub(super) struct Page<'a> {
    pub filters: &'a [Filter],
    pub size: usize,
    pub token: Option<&'a str>,
    pub with_deleted: bool,
    pub descending: bool,
}

impl Page<'_> {
    /// A token is good only for the question it was given for.
    fn fingerprint(&self) -> u64 {
        let question = format!(
            "{:?} {} {}",
            self.filters, self.with_deleted, self.descending
        );
        question.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    /// `at`: the last entry's number, or how many entries there were so far.
    fn token_after(&self, at: u64) -> String {
        let mut bytes = (at ^ self.fingerprint()).to_be_bytes().to_vec();
        bytes.extend(self.fingerprint().to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Where to go on; the start without a token.
    fn position(&self) -> Result<Option<u64>, AwsError> {
        let Some(token) = self.token else {
            return Ok(None);
        };
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
            let (seq, print) = bytes.split_first_chunk::<8>()?;
            let print = u64::from_be_bytes(print.try_into().ok()?);
            let same = print == self.fingerprint();
            same.then_some(u64::from_be_bytes(*seq) ^ print)
        };
        let invalid = || AwsError::new("InvalidNextTokenException", "Invalid token");
        read().map(Some).ok_or_else(invalid)
    }
}

/// One page and the token of the next.
pub(super) fn page<'w>(
    scope: &'w Scope<'_>,
    want: &Page<'_>,
) -> Result<(Vec<&'w Secret>, Option<String>), AwsError> {
    check_filters(want.filters)?;
    let position = want.position()?;
    let store = scope.world.stores.get(&scope.caller.account, scope.region);
    let counted = store.and_then(RegionStore::counted_pages);
    let start = if want.descending { u64::MAX } else { 0 };
    let begin = if counted.is_some() { 0 } else { start };
    if scope.empty_page {
        let token = want.token_after(position.unwrap_or(begin));
        return Ok((Vec::new(), Some(token)));
    }
    let Some(store) = store else {
        return Ok((Vec::new(), None));
    };
    let fits = |secret: &&Secret| {
        (want.with_deleted || secret.deletion.is_none())
            && want.filters.iter().all(|filter| filter.fits(secret))
    };
    let (from, skip, size) = match counted {
        Some(most) => (start, position.unwrap_or(0), want.size.min(most)),
        None => (position.unwrap_or(start), 0, want.size),
    };
    let skipped = usize::try_from(skip).unwrap_or(usize::MAX);
    let wanted = store.listed(from, want.descending).filter(fits);
    let mut secrets: Vec<&Secret> = wanted.skip(skipped).take(size + 1).collect();
    let more = secrets.len() > size;
    secrets.truncate(size);
    let last = secrets.last().map(|secret| match counted {
        Some(_) => skip + secrets.len() as u64,
        None => secret.seq,
    });
    let next = last.filter(|_| more).map(|at| want.token_after(at));
    Ok((secrets, next))
}

fn check_filters(filters: &[Filter]) -> Result<(), AwsError> {
    const KEYS: [&str; 7] = [
        "name",
        "description",
        "tag-key",
        "tag-value",
        "primary-region",
        "owning-service",
        "all",
    ];
    let good = |f: &Filter| {
        f.key.as_deref().is_none_or(|key| KEYS.contains(&key)) && (1..=10).contains(&f.values.len())
    };
    if filters.len() <= 10 && filters.iter().all(good) {
        return Ok(());
    }
    Err(AwsError::invalid_parameter("Invalid filter."))
}

impl Filter {
    /// Any of the plain values and none of the `!` values, as prefixes. Only descriptions and
    /// `all` are compared without case.
    fn fits(&self, secret: &Secret) -> bool {
        let (not, wanted): (Vec<&str>, Vec<&str>) = self
            .values
            .iter()
            .map(String::as_str)
            .partition(|v| v.starts_with('!'));
        let hit = |value: &str| self.hit(secret, value);
        (wanted.is_empty() || wanted.iter().any(|v| hit(v))) && !not.iter().any(|v| hit(&v[1..]))
    }

    fn hit(&self, secret: &Secret, value: &str) -> bool {
        let lower = value.to_lowercase();
        let words = |text: &str| {
            text.to_lowercase()
                .split([' ', '/', '-', '_', '+', '=', '.', '@'])
                .any(|word| word.starts_with(&lower))
        };
        let described = || secret.description.as_deref().is_some_and(words);
        let mut tags = secret.tags.iter();
        match self.key.as_deref().unwrap_or("all") {
            "name" => secret.name.starts_with(value),
            "description" => described(),
            "tag-key" => tags.any(|(key, _)| key.starts_with(value)),
            "tag-value" => tags.any(|(_, tag)| tag.starts_with(value)),
            "primary-region" => secret
                .primary_region
                .as_ref()
                .is_some_and(|region| region.starts_with(value)),
            "all" => {
                words(&secret.name)
                    || described()
                    || tags.any(|(key, tag)| words(key) || words(tag))
            }
            // No secret of the fake is managed by another service.
            _ => false,
        }
    }
}

/// What ListSecrets and DescribeSecret have in common.
pub(super) fn metadata(secret: &Secret, stages_field: &str) -> Map<String, Value> {
    let tags: Vec<Value> = secret
        .tags
        .iter()
        .map(|(key, value)| json!({"Key": key, "Value": value}))
        .collect();
    let mut map = Map::new();
    map.insert("ARN".into(), (&*secret.arn).into());
    map.insert("Name".into(), (&*secret.name).into());
    map.insert("CreatedDate".into(), seconds(secret.created));
    map.insert("LastChangedDate".into(), seconds(secret.changed));
    map.insert(stages_field.into(), json!(secret.stages()));
    map.insert("Tags".into(), tags.into());
    let optional = [
        (
            "Description",
            secret.description.as_deref().map(Value::from),
        ),
        ("KmsKeyId", secret.kms_key_id.as_deref().map(Value::from)),
        (
            "PrimaryRegion",
            secret.primary_region.as_deref().map(Value::from),
        ),
        ("LastAccessedDate", secret.accessed.map(day)),
        ("DeletedDate", secret.deletion.map(|d| seconds(d.marked))),
    ];
    for (field, value) in optional {
        if let Some(value) = value {
            map.insert(field.into(), value);
        }
    }
    map
}

fn entry(secret: &Secret) -> Value {
    Value::Object(metadata(secret, "SecretVersionsToStages"))
}
