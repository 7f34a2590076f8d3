//! What stops a verb: one line for each problem.

use std::fmt;

/// Why a verb did nothing. The binary prints it on stderr, each line behind `error: `, and ends with 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl Problems {
    /// A single one.
    pub fn one(problem: impl fmt::Display) -> Self {
        Self(vec![problem.to_string()])
    }
}

impl fmt::Display for Problems {
    /// The first line without its `error: `: whoever prints an error writes that.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\nerror: "))
    }
}

impl std::error::Error for Problems {}
