//! Being asked to stop: Ctrl-C, SIGTERM, or the terminal going away.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens from its creation on; from then on these signals do not end the process by themselves.
pub(crate) struct Stop(Vec<Signal>);

impl Stop {
    /// # Errors
    /// When the operating system refuses.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        kinds
            .into_iter()
            .map(signal)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Comes back when somebody asks.
    pub(crate) async fn asked(&mut self) {
        let Self(signals) = self;
        std::future::poll_fn(|context| {
            match signals.iter_mut().any(|s| s.poll_recv(context).is_ready()) {
                true => std::task::Poll::Ready(()),
                false => std::task::Poll::Pending,
            }
        })
        .await;
    }
}
