//! `grpc.health.v1`: `""` = the process lives and its disk answers, sealed or not; `tenure.ready` =
//! unsealed and able to serve; `tenure.active` = the active node. Answers three yes-or-no
//! questions and shows nothing else; never blocks the reactor on the disk.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use futures_util::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::limits::{
    DISK_PROBE_CACHE_MS, DISK_PROBE_MS_MAX, HEALTH_REQUEST_BYTES_MAX, HEALTH_WATCHES_MAX,
};
use crate::listen::{Applied, refusal};

/// Health of the process.
pub const SERVICE_LIVE: &str = "";
/// Health of serving.
pub const SERVICE_READY: &str = "tenure.ready";
/// Health of being active.
pub const SERVICE_ACTIVE: &str = "tenure.active";

/// What this node can do now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HealthState {
    /// Unsealed and able to serve, as active node or standby.
    pub ready: bool,
    /// The active node.
    pub active: bool,
}

/// A small real read of the data disk.
pub trait DiskProbe: Send + Sync + 'static {
    /// Reads something. May block: it runs on a thread of its own.
    fn probe(&self) -> Result<(), String>;
}

/// The last finished probe, and the one that runs.
#[derive(Clone, Debug, Default)]
struct ProbeState {
    running_since: Option<Instant>,
    last: Option<(Instant, bool)>,
}

/// Asks the disk, at most one question at a time and not more often than the cache allows.
#[derive(Debug)]
struct Disk {
    ask: SyncSender<()>,
    state: watch::Sender<ProbeState>,
}

impl Disk {
    fn start(probe: Arc<dyn DiskProbe>) -> std::io::Result<Self> {
        let (ask, asked) = sync_channel::<()>(1);
        let state = watch::Sender::new(ProbeState::default());
        let results = state.clone();
        // A thread and not the blocking pool: a disk that hangs for ever must hold neither a pool
        // thread nor the end of the process.
        std::thread::Builder::new()
            .name("disk-probe".into())
            .spawn(move || {
                while asked.recv().is_ok() {
                    let result = probe.probe();
                    if let Err(error) = &result {
                        tracing::error!(error, "the disk doesn't answer the health probe");
                    }
                    results.send_modify(|state| {
                        // The answer is as old as its question.
                        let began = state.running_since.take().unwrap_or_else(Instant::now);
                        state.last = Some((began, result.is_ok()));
                    });
                }
            })?;
        Ok(Self { ask, state })
    }

    async fn answers(&self) -> bool {
        let cache = Duration::from_millis(DISK_PROBE_CACHE_MS);
        let patience = Duration::from_millis(DISK_PROBE_MS_MAX);
        let mut state = self.state.subscribe();
        let mut ask = false;
        let now = Instant::now();
        let mut fresh = None;
        self.state.send_modify(|state| {
            fresh = state
                .last
                .filter(|(began, _)| began.elapsed() < cache)
                .map(|(_, good)| good);
            if fresh.is_none() && state.running_since.is_none() {
                state.running_since = Some(now);
                ask = true;
            }
        });
        if let Some(good) = fresh {
            return good;
        }
        if ask && self.ask.try_send(()).is_err() {
            // The probing thread is gone: nobody can vouch for the disk.
            self.state.send_modify(|state| state.running_since = None);
            return false;
        }
        let began = self.state.borrow().running_since.unwrap_or(now);
        // Whoever comes while a probe hangs shares its deadline and waits no longer than that.
        let answer = state.wait_for(|state| state.last.is_some_and(|(at, _)| at >= began));
        match tokio::time::timeout_at(began + patience, answer).await {
            Ok(Ok(state)) => state.last.is_some_and(|(_, good)| good),
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

/// The health service. Clones share the probe and the bound on watches.
#[derive(Clone)]
pub struct HealthService {
    state: watch::Receiver<HealthState>,
    disk: Arc<Disk>,
    watches: Arc<Semaphore>,
    stop: CancellationToken,
}

impl std::fmt::Debug for HealthService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HealthService")
            .field("state", &*self.state.borrow())
            .finish_non_exhaustive()
    }
}

impl HealthService {
    /// Makes the service and the thread that probes the disk. When `stop` is cancelled, ready and
    /// active turn to NOT_SERVING and watches end.
    pub fn new(
        state: watch::Receiver<HealthState>,
        probe: Arc<dyn DiskProbe>,
        stop: CancellationToken,
    ) -> std::io::Result<Self> {
        let disk = Arc::new(Disk::start(probe)?);
        Ok(Self {
            state,
            disk,
            watches: Arc::new(Semaphore::new(HEALTH_WATCHES_MAX)),
            stop,
        })
    }

    /// The gRPC service, with its small message limit.
    pub fn into_server(self) -> HealthServer<Self> {
        HealthServer::new(self).max_decoding_message_size(HEALTH_REQUEST_BYTES_MAX)
    }

    /// The health of one service now; `None` if there is no such service.
    pub async fn status(&self, service: &str) -> Option<bool> {
        let state = *self.state.borrow();
        // A state whose source is gone, or that of a node that is leaving, is no state to rely on.
        let serving = !self.stop.is_cancelled() && self.state.has_changed().is_ok();
        match service {
            SERVICE_LIVE => Some(self.disk.answers().await),
            SERVICE_READY => Some(serving && state.ready),
            SERVICE_ACTIVE => Some(serving && state.active),
            _ => None,
        }
    }

    async fn watch_loop(
        mut self,
        service: String,
        out: mpsc::Sender<Result<HealthCheckResponse, Status>>,
        _slot: OwnedSemaphorePermit,
    ) {
        let mut told: Option<ServingStatus> = None;
        loop {
            // Before the look, so that no change falls between look and wait.
            self.state.mark_unchanged();
            let now = match self.status(&service).await {
                Some(good) => serving(good),
                None => ServingStatus::ServiceUnknown,
            };
            if told != Some(now) {
                told = Some(now);
                if out.send(Ok(response(now))).await.is_err() {
                    return;
                }
            }
            let stop = self.stop.clone();
            if stop.is_cancelled() {
                return;
            }
            let changed = async {
                if service == SERVICE_LIVE || self.state.changed().await.is_err() {
                    tokio::time::sleep(Duration::from_millis(DISK_PROBE_CACHE_MS)).await;
                }
            };
            tokio::select! {
                // Looks once more: the watcher is told NOT_SERVING before the stream ends.
                () = stop.cancelled() => {}
                () = changed => {}
                () = out.closed() => return,
            }
        }
    }
}

fn serving(good: bool) -> ServingStatus {
    if good {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match self.status(&request.get_ref().service).await {
            Some(good) => Ok(Response::new(response(serving(good)))),
            None => {
                let message = "there is no such service";
                Err(refusal(
                    Code::NotFound,
                    "SERVICE_UNKNOWN",
                    message,
                    Applied::No,
                ))
            }
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let Ok(slot) = self.watches.clone().try_acquire_owned() else {
            let message = "there are too many health watches";
            return Err(refusal(
                Code::ResourceExhausted,
                "TOO_MANY_WATCHES",
                message,
                Applied::No,
            ));
        };
        let (out, stream) = mpsc::channel(1);
        tokio::spawn(
            self.clone()
                .watch_loop(request.into_inner().service, out, slot),
        );
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

#[cfg(test)]
mod tests;
