//! The one error of the test bed: what was being done and what went wrong.

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What was being done, and why it did not work. Meant to be read by the
/// person who runs a test, not to be matched on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, a process or a lock.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The API server or the way to it.
    #[error("{doing}: {source}")]
    Kube {
        /// What was being done.
        doing: String,
        /// The client's error, which carries the server's Status.
        source: Box<kube::Error>,
    },
    /// Everything else, in one sentence.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// Shapes a function for `map_err` that says what was being done.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io {
            doing: doing.into(),
            source,
        }
    }

    /// Shapes a function for `map_err` that says what was being asked.
    pub(crate) fn kube(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Kube {
            doing: doing.into(),
            source: Box::new(source),
        }
    }

    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self::Other(message.into())
    }
}
