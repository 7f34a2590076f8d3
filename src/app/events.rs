//! Lets events of Secrets Manager make entries due.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::AppError;
use crate::{controllers::context::Context, source::events::QueueAddress};

/// Follows the events queue until `stop`, then lets what is under way end.
pub fn follow(
    context: &Arc<Context>,
    address: &QueueAddress,
    stop: CancellationToken,
) -> Result<impl Future<Output = ()> + use<>, AppError> {
    let queue = context.sources.events_queue(address);
    let queue = queue.map_err(|finding| AppError::Aws(finding.to_string()))?;
    let context = Arc::clone(context);
    Ok(queue.run(stop, move |hint| {
        let context = Arc::clone(&context);
        async move { context.sources.hint(hint).await }
    }))
}
