//! What ends the process or has it read its certificates again: signals, and a store that stopped.

use tenure_raft::node::Node;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::RunError;
use crate::listen::TlsReload;

/// The signals that the process heeds.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub fn listen() -> Result<Self, RunError> {
        let on = |kind| {
            signal(kind).map_err(|source| RunError::Io {
                what: "listening for signals",
                source,
            })
        };
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hangup: on(SignalKind::hangup())?,
        })
    }
}

/// Waits for a reason to stop. SIGHUP reads certificates again.
pub(super) async fn until_stopped(
    mut signals: Signals,
    node: &Node,
    reloads: Vec<TlsReload>,
) -> Result<(), RunError> {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return Ok(()),
            _ = signals.interrupt.recv() => return Ok(()),
            () = node.stopped() => return Err(RunError::Stopped),
            _ = signals.hangup.recv() => {
                for reload in &reloads {
                    match reload.reload().await {
                        Ok(()) => tracing::info!("certificates were read again"),
                        Err(error) => {
                            tracing::error!(%error, "the old certificates stay");
                        }
                    }
                }
            }
        }
    }
}
