//! What a message of the events queue says: a hint about one entry, or nothing to us.

use crate::core::entry::SecretArn;

/// Something may have changed at one entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hint {
    /// Account of the entry, twelve digits.
    pub account: String,
    /// Region of the entry.
    pub region: String,
    /// The entry.
    pub secret: HintId,
    /// The staging label that moved; None: not told, most likely AWSCURRENT.
    pub label: Option<String>,
    /// The version that has the label now, where the message tells.
    pub version_id: Option<String>,
    /// What happened.
    pub kind: HintKind,
}

/// An entry as a message spells it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HintId {
    /// A complete ARN, as AWS wrote it: its name is the resource without hyphen and six characters.
    Arn(SecretArn),
    /// An ARN as a caller typed it, complete or without the six characters.
    TypedArn(SecretArn),
    /// A name in the hint's account and region.
    Name(String),
}

/// What happened to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HintKind {
    /// A staging label went to another version.
    Moved,
    /// The entry is deleted or marked for it.
    Deleted,
    /// The entry was created, or taken back from deletion.
    Appeared,
}

impl HintKind {
    /// The word used as label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Moved => "moved",
            Self::Deleted => "deleted",
            Self::Appeared => "appeared",
        }
    }
}

/// Why a message means nothing to us: it is deleted at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ignored {
    /// Longer than any event of Secrets Manager.
    TooLarge,
    /// Not JSON.
    NotJson,
    /// JSON of another shape: a field has a wrong type, stands there twice, or is missing.
    Shape,
    /// From another service, or another kind of message (of SNS: the confirmation of a subscription).
    Foreign,
    /// The call that it reports failed.
    FailedCall,
    /// AWSPENDING or AWSPREVIOUS, which come and go with AWSCURRENT.
    Label,
    /// A call or an event that changes no value.
    Name,
    /// Names no entry, or one that cannot be.
    NoSecret,
}

impl Ignored {
    /// The word used as label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::NotJson => "not_json",
            Self::Shape => "shape",
            Self::Foreign => "foreign",
            Self::FailedCall => "failed_call",
            Self::Label => "label",
            Self::Name => "name",
            Self::NoSecret => "no_secret",
        }
    }
}
