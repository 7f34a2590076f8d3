//! Where a queue is: its URL, taken apart. Pure.
//!
//! Hosts (sources: AWS, "Amazon Simple Queue Service endpoints and quotas", "Internetwork traffic privacy in
//! Amazon SQS"; partitions: the SDK's partitions.json): `sqs.REGION.amazonaws.com`, FIPS `sqs-fips.REGION...`, dual
//! stack `sqs.REGION.api.aws`, VPC endpoint `ID.sqs.REGION.vpce.amazonaws.com`, old `REGION.queue.amazonaws.com`
//! and `queue.amazonaws.com`.

use http::Uri;

/// What stands behind the region in a host of AWS.
const PLAIN: &[&str] = &[
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "c2s.ic.gov",
    "sc2s.sgov.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
];
/// The same for hosts that only a setting of the client would choose, or that no setting does.
const SPECIAL: &[&str] = &[
    "api.aws",
    "api.amazonwebservices.com.cn",
    "api.amazonwebservices.eu",
    "vpce.amazonaws.com",
    "vpce.amazonaws.com.cn",
];
/// Beginnings of regions outside the `aws` partition.
const PARTITIONS: &[(&str, &str)] = &[
    ("cn-", "aws-cn"),
    ("us-gov-", "aws-us-gov"),
    ("us-isob-", "aws-iso-b"),
    ("us-isof-", "aws-iso-f"),
    ("eu-isoe-", "aws-iso-e"),
    ("us-iso-", "aws-iso"),
    ("eusc-", "aws-eusc"),
];
/// Longest name of a queue (source: SQS API reference, CreateQueue).
const MAX_NAME: usize = 80;

/// A queue, by its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueAddress {
    pub(super) url: String,
    /// The region that the host names.
    pub(super) region: Option<String>,
    /// Called instead of the client's own endpoint: the host says more than the region.
    pub(super) endpoint: Option<String>,
    account: String,
    name: String,
}

impl QueueAddress {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// A sentence without the URL's own text where it is none of a queue.
    pub fn parse(url: &str) -> Result<Self, String> {
        let refuse = |why: &str| {
            Err(format!(
                "is no URL of a queue: {why}; expected is https://sqs.REGION.amazonaws.com/ACCOUNT/NAME"
            ))
        };
        let Ok(uri) = url.parse::<Uri>() else {
            return refuse("it cannot be read");
        };
        if !matches!(uri.scheme_str(), Some("https" | "http")) {
            return refuse("it does not begin with https://");
        }
        let authority = uri.authority().map(|a| a.as_str()).unwrap_or_default();
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        if host.is_empty() || authority.contains('@') {
            return refuse("its host is missing, or has a user before it");
        }
        if uri.query().is_some() {
            return refuse("it has a query");
        }
        let mut path = uri.path().rsplit('/');
        let (name, account) = (path.next().unwrap_or(""), path.next().unwrap_or(""));
        if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
            return refuse("its path does not hold an account of twelve digits");
        }
        if !is_queue(name) {
            return refuse("its path does not end in the name of a queue");
        }
        let (region, special) = host_parts(&host);
        Ok(Self {
            url: url.to_owned(),
            region: region.map(str::to_owned),
            endpoint: special.then(|| format!("https://{authority}")),
            account: account.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The queue's ARN, with the region of the client.
    pub(super) fn arn(&self, region: &str) -> String {
        let outside = PARTITIONS
            .iter()
            .find(|(start, _)| region.starts_with(start));
        let partition = outside.map_or("aws", |(_, partition)| partition);
        format!(
            "arn:{partition}:sqs:{region}:{}:{}",
            self.account, self.name
        )
    }
}

/// The region of a host of AWS, and whether the host is to be called as it stands.
fn host_parts(host: &str) -> (Option<&str>, bool) {
    let aws = |rest: &str| PLAIN.contains(&rest);
    if let Some((region, rest)) = host.split_once(".queue.") {
        return (
            Some(region).filter(|_| aws(rest) && is_region(region)),
            false,
        );
    }
    if host == "queue.amazonaws.com" {
        return (Some("us-east-1"), false);
    }
    let Some((service, rest)) = service_label(host) else {
        return (None, false);
    };
    let Some((region, rest)) = rest.split_once('.').filter(|(region, _)| is_region(region)) else {
        return (None, false);
    };
    let special = SPECIAL.contains(&rest);
    match special || aws(rest) {
        true => (Some(region), special || service == "sqs-fips"),
        false => (None, false),
    }
}

/// The label of the service and what stands behind it.
fn service_label(host: &str) -> Option<(&str, &str)> {
    ["sqs", "sqs-fips"].into_iter().find_map(|service| {
        let first = host.strip_prefix(&format!("{service}."));
        let inside = || Some(host.split_once(&format!(".{service}."))?.1);
        Some((service, first.or_else(inside)?))
    })
}

fn is_region(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    text.contains('-') && text.bytes().all(allowed)
}

/// Signs of a name (source: SQS API reference, CreateQueue); a FIFO queue's ends in `.fifo`.
fn is_queue(name: &str) -> bool {
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !stem.is_empty() && name.len() <= MAX_NAME && stem.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn every_shape_of_a_url_names_its_region() {
        // host, region, whether the host itself is called
        for (host, region, called) in [
            ("sqs.us-east-1.amazonaws.com", Some("us-east-1"), false),
            ("SQS.us-east-1.amazonaws.com", Some("us-east-1"), false),
            (
                "sqs.us-gov-west-1.amazonaws.com",
                Some("us-gov-west-1"),
                false,
            ),
            ("sqs.cn-north-1.amazonaws.com.cn", Some("cn-north-1"), false),
            ("sqs.us-iso-east-1.c2s.ic.gov", Some("us-iso-east-1"), false),
            (
                "sqs.eusc-de-east-1.amazonaws.eu",
                Some("eusc-de-east-1"),
                false,
            ),
            ("sqs-fips.us-east-1.amazonaws.com", Some("us-east-1"), true),
            ("sqs.eu-west-1.api.aws", Some("eu-west-1"), true),
            ("sqs-fips.us-east-2.api.aws", Some("us-east-2"), true),
            (
                "sqs.cn-north-1.api.amazonwebservices.com.cn",
                Some("cn-north-1"),
                true,
            ),
            (
                "vpce-0a1-b2c.sqs.us-east-2.vpce.amazonaws.com",
                Some("us-east-2"),
                true,
            ),
            (
                "vpce-0a1-b2c-us-east-2a.sqs.us-east-2.vpce.amazonaws.com",
                Some("us-east-2"),
                true,
            ),
            ("us-west-2.queue.amazonaws.com", Some("us-west-2"), false),
            (
                "cn-north-1.queue.amazonaws.com.cn",
                Some("cn-north-1"),
                false,
            ),
            ("queue.amazonaws.com", Some("us-east-1"), false),
            ("127.0.0.1:4566", None, false),
            ("localhost", None, false),
            ("sqs.us-east-1.example.com", None, false),
            ("us-west-2.queue.example.com", None, false),
            ("sqs.amazonaws.com", None, false),
            ("evil-sqs.us-east-1.amazonaws.com", None, false),
        ] {
            let url = format!("https://{host}/111122223333/keyferry");
            let address = QueueAddress::parse(&url).unwrap();
            assert_eq!(address.region.as_deref(), region, "{host}");
            let endpoint = called.then(|| format!("https://{host}"));
            assert_eq!(address.endpoint, endpoint, "{host}");
        }
    }

    #[test]
    fn the_arn_has_the_partition_of_its_region() {
        let address = QueueAddress::parse("http://127.0.0.1:1/111122223333/a_b-C.fifo").unwrap();
        for (region, partition) in [
            ("us-east-1", "aws"),
            ("cn-north-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("us-isob-east-1", "aws-iso-b"),
            ("us-iso-east-1", "aws-iso"),
        ] {
            let arn = format!("arn:{partition}:sqs:{region}:111122223333:a_b-C.fifo");
            assert_eq!(address.arn(region), arn);
        }
    }

    #[test]
    fn what_is_no_url_of_a_queue_is_refused() {
        let long = format!(
            "https://sqs.us-east-1.amazonaws.com/111122223333/{}",
            "q".repeat(81)
        );
        for (url, says) in [
            ("", "cannot be read"),
            ("keyferry", "https://"),
            (
                "arn:aws:sqs:us-east-1:111122223333:keyferry",
                "cannot be read",
            ),
            (
                "ftp://sqs.us-east-1.amazonaws.com/111122223333/q",
                "https://",
            ),
            (
                "https://user:word@sqs.us-east-1.amazonaws.com/111122223333/q",
                "user before it",
            ),
            ("https://sqs.us-east-1.amazonaws.com", "account"),
            ("https://sqs.us-east-1.amazonaws.com/q", "account"),
            ("https://sqs.us-east-1.amazonaws.com/1111/q", "account"),
            (
                "https://sqs.us-east-1.amazonaws.com/111122223333/",
                "account|name",
            ),
            (
                "https://sqs.us-east-1.amazonaws.com/111122223333/a b",
                "cannot be read",
            ),
            (
                "https://sqs.us-east-1.amazonaws.com/111122223333/a.b",
                "name",
            ),
            (
                "https://sqs.us-east-1.amazonaws.com/111122223333/.fifo",
                "name",
            ),
            (
                "https://sqs.us-east-1.amazonaws.com/111122223333/q?Action=DeleteQueue",
                "query",
            ),
            (long.as_str(), "name"),
        ] {
            let error = QueueAddress::parse(url).unwrap_err();
            assert!(
                says.split('|').any(|word| error.contains(word)),
                "{url}: {error}"
            );
            assert!(!error.contains("word@"), "{error}");
        }
    }
}
