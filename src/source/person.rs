//! Findings as a person at a command line reads them: it is their identity that was refused, not an operator's. Pure.

use crate::{api::Reason, core::Finding};

/// What any AWS login can be turned into.
const LOG_IN: &str = "Log in (`aws sso login`), name a profile with AWS_PROFILE, or take the keys of any login with: eval \"$(aws configure export-credentials --format env)\".";

/// Words about the operator, and the same for a person. The longer ones first.
const WORDS: [(&str, &str); 10] = [
    (
        "The operator found no AWS credentials (environment, profile, IRSA, Pod Identity, instance).",
        "No AWS credentials were found (environment, profile, container, instance).",
    ),
    (
        "The operator's credential provider gives no AWS credentials",
        "The provider of your AWS credentials (profile, container or instance) gives none",
    ),
    (
        "the binding names none and the operator has none",
        "the binding names none, and neither does the environment",
    ),
    ("AWS_REGION on the operator", "AWS_REGION, or use --region"),
    ("The operator's share of", "This command's share of"),
    ("of the operator's pod", "of this machine"),
    ("the operator's ServiceAccount", "the web identity token"),
    ("The operator's", "Your"),
    ("the operator's", "your"),
    ("of the operator (", "that it was given ("),
];

/// The finding for whoever reads as themselves.
pub fn in_person(mut finding: Finding) -> Finding {
    for (operators, persons) in WORDS {
        finding.fact = finding.fact.replace(operators, persons);
        finding.cure = finding.cure.replace(operators, persons);
    }
    if finding.reason == Reason::NoCredentials && !finding.fact.starts_with("No AWS region") {
        finding.cure = LOG_IN.to_owned();
    }
    finding.cure = finding.cure.replace("the clock of the node", "the clock");
    finding
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every sentence of this room that speaks of the operator, as its sources have them.
    const SOURCES: [&str; 5] = [
        include_str!("errors.rs"),
        include_str!("origin.rs"),
        include_str!("sources.rs"),
        include_str!("sts.rs"),
        include_str!("sts_errors.rs"),
    ];

    #[test]
    fn no_sentence_of_this_room_speaks_of_an_operator_to_a_person() {
        let mut seen = 0;
        for line in SOURCES.iter().flat_map(|text| text.lines()) {
            let speaks = line.contains('"') && line.to_lowercase().contains("operator");
            if !speaks || line.trim_start().starts_with("//") {
                continue;
            }
            let sentence = line.replace("expired(refusal, \"the operator\")", "of the operator (");
            let finding = in_person(Finding::new(Reason::AssumeRoleFailed, sentence, ""));
            let words = finding.fact.to_lowercase();
            assert!(!words.contains("the operator"), "{}", finding.fact);
            seen += 1;
        }
        assert!(seen >= 10, "only {seen} sentences found");
    }

    #[test]
    fn who_has_no_credentials_is_told_how_to_get_some() {
        let told = |fact: &str| in_person(Finding::new(Reason::NoCredentials, fact, "Old cure."));
        let expired = told(
            "AWS does not accept the credentials of the operator (ExpiredToken), nor new ones.",
        );
        assert_eq!(
            expired.fact,
            "AWS does not accept the credentials that it was given (ExpiredToken), nor new ones."
        );
        assert!(
            expired
                .cure
                .contains("aws configure export-credentials --format env"),
            "{}",
            expired.cure
        );
        let region = told("No AWS region: the binding names none and the operator has none.");
        assert_eq!(region.cure, "Old cure.");
    }
}
