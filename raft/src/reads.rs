//! Linearizable reads. The active node answers under its leader lease or after a quorum's
//! word; the others ask the leader for a ReadIndex and wait until they have applied it.
//! Reads that wait at the same time share one round, and a read joins only a round that
//! begins after it: never an answer from before it was asked.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use openraft::{
    Raft,
    async_runtime::watch::WatchReceiver,
    errors::{LinearizableReadError, RaftError},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use crate::{
    clock::{ClusterClock, suspended},
    options::{Timing, lease_read, quorum_read},
    peers::Peers,
    state::{State, StateError, StateMachine},
    types::TypeConfig,
    view::{View, ViewError},
};

/// How a read proves that it is current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// On the leader, by its lease; elsewhere by ReadIndex. Assumes that clocks of voters
    /// run at about the same rate (within two fifths over half a second).
    Lease,
    /// By a quorum that was asked after the read began. No assumption about clocks.
    Quorum,
}

/// Why a read can't be answered here and now. Reads change nothing: all may be retried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader is known, or it answers no more.
    #[error("no leader could confirm the read")]
    NoLeader,
    /// The deadline passed.
    #[error("the deadline passed before the read was confirmed")]
    Expired,
    /// A snapshot is being installed: try again in a moment.
    #[error("the state is being replaced by a snapshot")]
    Replacing,
    /// The state can't be read.
    #[error("the state can't be read: {0}")]
    State(String),
}

/// Why a state gives no view.
pub(crate) fn unreadable(error: StateError) -> ReadError {
    match error {
        StateError::View(ViewError::GenerationEnded) => ReadError::Replacing,
        other => ReadError::State(other.to_string()),
    }
}

/// A confirmed point: reads may be served from any state that has applied `index`.
#[derive(Clone, Copy, Debug)]
pub struct ReadPoint {
    /// Log index to be applied first.
    pub index: u64,
    /// Cluster time on the leader when it confirmed, milliseconds since the epoch.
    pub time_ms: u64,
}

type Waiter = oneshot::Sender<Result<ReadPoint, ReadError>>;

/// A queue of reads that share rounds of one kind.
#[derive(Clone)]
struct Rounds(mpsc::UnboundedSender<Waiter>);

impl Rounds {
    /// `round` confirms once for all that waited when it began. Bounded by its submitters:
    /// each request has one waiter, and requests are limited at the edge.
    fn start<F, Fut>(round: F) -> Self
    where
        F: Fn() -> Fut + Send + 'static,
        Fut: Future<Output = Result<ReadPoint, ReadError>> + Send,
    {
        let (queue, mut waiting) = mpsc::unbounded_channel::<Waiter>();
        tokio::spawn(async move {
            while let Some(first) = waiting.recv().await {
                let mut sharing = vec![first];
                while let Ok(next) = waiting.try_recv() {
                    sharing.push(next);
                }
                sharing.retain(|waiter| !waiter.is_closed());
                if sharing.is_empty() {
                    continue;
                }
                let result = round().await;
                for waiter in sharing {
                    let _ = waiter.send(result.clone());
                }
            }
        });
        Self(queue)
    }

    async fn wait(&self, deadline: Instant) -> Result<ReadPoint, ReadError> {
        let (waiter, answer) = oneshot::channel();
        self.0.send(waiter).map_err(|_| ReadError::NoLeader)?;
        match timeout_at(deadline, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(ReadError::NoLeader),
            Err(_) => Err(ReadError::Expired),
        }
    }
}

/// The reads of one node.
#[derive(Clone)]
pub struct Reads {
    state: State,
    clock: Arc<ClusterClock>,
    lease: Rounds,
    quorum: Rounds,
}

impl Reads {
    /// Starts the rounds of a node whose raft runs.
    pub fn start(
        raft: Raft<TypeConfig, StateMachine>,
        state: State,
        clock: Arc<ClusterClock>,
        peers: Peers,
        timing: Timing,
    ) -> Self {
        let rounds = |consistency| {
            let confirm = Confirm {
                raft: raft.clone(),
                clock: Arc::clone(&clock),
                peers: peers.clone(),
                timing,
                consistency,
                suspend: Arc::default(),
            };
            Rounds::start(move || {
                let confirm = confirm.clone();
                async move { confirm.anywhere().await }
            })
        };
        let (lease, quorum) = (rounds(Consistency::Lease), rounds(Consistency::Quorum));
        Self {
            state,
            clock,
            lease,
            quorum,
        }
    }

    /// A view that shows every write acknowledged before the call, and cluster time.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read(
        &self,
        consistency: Consistency,
        deadline: Instant,
    ) -> Result<(View, u64), ReadError> {
        let rounds = match consistency {
            Consistency::Lease => &self.lease,
            Consistency::Quorum => &self.quorum,
        };
        let point = rounds.wait(deadline).await?;
        self.clock.anchor(point.time_ms);
        if self.state.applied().index < point.index {
            let mut applied = self.state.watch_applied();
            timeout_at(deadline, applied.wait_for(|now| now.index >= point.index))
                .await
                .map_err(|_| ReadError::Expired)?
                .map_err(|_| ReadError::NoLeader)?;
        }
        let view = self.state.view().map_err(unreadable)?;
        let time_ms = self.clock.now_ms().max(point.time_ms).max(view.time_ms());
        Ok((view, time_ms))
    }
}

/// Confirms read points: on the leader itself, or by asking it.
#[derive(Clone)]
pub struct Confirm {
    /// Raft of this node.
    pub raft: Raft<TypeConfig, StateMachine>,
    /// Its clock.
    pub clock: Arc<ClusterClock>,
    /// Its peers.
    pub peers: Peers,
    /// Raft's timing.
    pub timing: Timing,
    /// What the leader must prove.
    pub consistency: Consistency,
    /// Notices that the machine slept.
    pub suspend: Arc<SuspendWatch>,
}

/// Notices that the machine slept. The runtime's clock doesn't count sleep, so an
/// acknowledgement from before it looks young: leases can't be trusted until one has passed.
#[derive(Default)]
pub struct SuspendWatch(Mutex<Option<(Duration, Instant)>>);

impl SuspendWatch {
    /// Whether the machine may have slept since an acknowledgement of at most `lease` ago.
    fn slept_within(&self, lease: Duration) -> bool {
        let (total, now) = (suspended(), Instant::now());
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *seen {
            Some((before, _)) if total <= *before + SUSPEND_NOISE => {}
            // The first look knows nothing of what was before it.
            other => *other = Some((total, now)),
        }
        seen.is_none_or(|(_, at)| now.duration_since(at) < lease)
    }
}

/// The two clocks are read one after the other: differences below this mean nothing.
const SUSPEND_NOISE: Duration = Duration::from_millis(5);

impl Confirm {
    async fn anywhere(&self) -> Result<ReadPoint, ReadError> {
        let leader = self.raft.server_metrics().borrow_watched().current_leader;
        match leader {
            None => Err(ReadError::NoLeader),
            Some(id) if id == *self.raft.node_id() => self.as_leader().await,
            Some(id) => self.ask(id).await,
        }
    }

    async fn ask(&self, leader: u64) -> Result<ReadPoint, ReadError> {
        let request = tenure_proto::internal::ReadIndexRequest {};
        let mut client = self
            .peers
            .raft_client(leader)
            .map_err(|_| ReadError::NoLeader)?;
        let asked = tokio::time::timeout(self.wait(), client.read_index(request)).await;
        match asked {
            Ok(Ok(answer)) => {
                let answer = answer.into_inner();
                Ok(ReadPoint {
                    index: answer.index,
                    time_ms: answer.time_ms,
                })
            }
            Ok(Err(_)) | Err(_) => Err(ReadError::NoLeader),
        }
    }

    fn wait(&self) -> Duration {
        self.timing.lease()
    }

    /// Confirms that this node is the leader still.
    ///
    /// # Errors
    /// It is not, or can't reach a quorum.
    pub async fn as_leader(&self) -> Result<ReadPoint, ReadError> {
        if self.consistency == Consistency::Lease {
            let point = self.confirm(lease_read(self.timing, self.wait())).await?;
            if !self.suspend.slept_within(self.timing.lease()) {
                return Ok(point);
            }
        }
        self.confirm(quorum_read(self.wait())).await
    }

    async fn confirm(
        &self,
        option: openraft::raft::linearizable_read::LinearizerOption,
    ) -> Result<ReadPoint, ReadError> {
        let confirmed = self.raft.get_read_linearizer(option).await;
        let linearizer = confirmed.map_err(
            |_: RaftError<TypeConfig, LinearizableReadError<TypeConfig>>| ReadError::NoLeader,
        )?;
        Ok(ReadPoint {
            index: linearizer.read_log_id().index(),
            time_ms: self.clock.now_ms(),
        })
    }
}
