//! Waiting for something to come true, and saying what was still wrong when it does not.

use std::time::{Duration, Instant};

use crate::workspace::Ended;

/// Long enough for a loaded machine, and for nodes that pull images.
const PATIENCE: Duration = Duration::from_secs(180);

/// Small against everything that a time is shown of.
const EVERY: Duration = Duration::from_millis(50);

/// What a look saw: the result, or why there is none yet.
pub(crate) type Look<T> = Result<T, String>;

/// Looks until there is a result.
///
/// # Errors
/// What the look itself runs into, and a sentence when the time is up.
pub(crate) async fn until<T>(
    what: &str,
    mut look: impl AsyncFnMut() -> Ended<Look<T>>,
) -> Ended<T> {
    let started = Instant::now();
    loop {
        match look().await? {
            Ok(result) => return Ok(result),
            Err(why) if started.elapsed() > PATIENCE => {
                let minutes = PATIENCE.as_secs() / 60;
                return Err(format!("{what}: not so after {minutes} min. {why}").into());
            }
            Err(_) => tokio::time::sleep(EVERY).await,
        }
    }
}
