//! Partitions: worlds of AWS with ARNs and domains of their own.

/// What a region begins with, the partition it lies in, and the domain of its services (source: partitions.json of
/// the AWS SDKs).
const PARTITIONS: [(&str, &str, &str); 8] = [
    ("cn-", "aws-cn", "amazonaws.com.cn"),
    ("us-gov-", "aws-us-gov", "amazonaws.com"),
    ("us-isob-", "aws-iso-b", "sc2s.sgov.gov"),
    ("us-isof-", "aws-iso-f", "csp.hci.ic.gov"),
    ("eu-isoe-", "aws-iso-e", "cloud.adc-e.uk"),
    ("us-iso-", "aws-iso", "c2s.ic.gov"),
    ("eusc-", "aws-eusc", "amazonaws.eu"),
    ("", "aws", "amazonaws.com"),
];

/// The partition of a region and the domain of its services.
fn of(region: &str) -> (&'static str, &'static str) {
    let mut all = PARTITIONS.iter();
    let found = all.find(|(start, ..)| region.starts_with(start));
    found.map_or(("aws", "amazonaws.com"), |(_, name, domain)| (name, domain))
}

/// `aws`, `aws-cn`, `aws-us-gov`...
pub(super) fn partition(region: &str) -> &'static str {
    of(region).0
}

/// How KMS calls Secrets Manager of that region (source: KMS, "kms:ViaService").
pub(super) fn via_secrets_manager(region: &str) -> String {
    format!("secretsmanager.{region}.{}", of(region).1)
}

/// How KMS calls Parameter Store of that region (source: Systems Manager user guide, "How AWS Systems Manager Parameter
/// Store uses AWS KMS").
pub(super) fn via_parameter_store(region: &str) -> String {
    format!("ssm.{region}.{}", of(region).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_its_name_and_domain() {
        for (region, name, via) in [
            ("us-east-1", "aws", "secretsmanager.us-east-1.amazonaws.com"),
            (
                "cn-north-1",
                "aws-cn",
                "secretsmanager.cn-north-1.amazonaws.com.cn",
            ),
            (
                "us-gov-west-1",
                "aws-us-gov",
                "secretsmanager.us-gov-west-1.amazonaws.com",
            ),
            (
                "us-iso-east-1",
                "aws-iso",
                "secretsmanager.us-iso-east-1.c2s.ic.gov",
            ),
            (
                "us-isob-east-1",
                "aws-iso-b",
                "secretsmanager.us-isob-east-1.sc2s.sgov.gov",
            ),
            (
                "eusc-de-east-1",
                "aws-eusc",
                "secretsmanager.eusc-de-east-1.amazonaws.eu",
            ),
        ] {
            assert_eq!(partition(region), name);
            assert_eq!(via_secrets_manager(region), via);
        }
    }
}
