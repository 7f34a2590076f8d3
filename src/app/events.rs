//! Lets events of Secrets Manager make entries due.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::AppError;
use crate::{
    cluster::ObjectKey,
    controllers::{context::Context, drive::Queue, queue::Urgency},
    source::events::QueueAddress,
};

/// Follows the events queue until `stop`, then lets what is under way end.
pub fn follow(
    context: &Arc<Context>,
    address: &QueueAddress,
    bindings: Queue<ObjectKey>,
    stop: CancellationToken,
) -> Result<impl Future<Output = ()> + use<>, AppError> {
    let queue = context.sources.events_queue(address);
    let queue = queue.map_err(|finding| AppError::Aws(finding.to_string()))?;
    let context = Arc::clone(context);
    Ok(queue.run(stop, move |hint| {
        let (context, bindings) = (Arc::clone(&context), bindings.clone());
        async move {
            let tell = |who: &_| super::moved(&context, &bindings, who, Urgency::Now);
            context.sources.hint(&hint, tell).await
        }
    }))
}
