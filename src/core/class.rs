//! The retry classes: every error of every layer falls into one of them, and one table turns a class
//! into the time of the next try.

/// What kind of trouble an error is, as far as trying again goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Only a change of the binding or of an object it names can help.
    Invalid,
    /// Somebody has to grant a right.
    Denied,
    /// Something does not exist yet.
    Missing,
    /// Somebody else wrote at the same moment.
    Conflict,
    /// The other side asked to slow down.
    Throttled,
    /// The other side did not answer, or answered with a fault of its own.
    Transient,
}
