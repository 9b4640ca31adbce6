//! Opening a node by its shares: joined if need be, judged against the state, and judged again
//! when the state wasn't known to be current.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use tenure_core::{
    barrier::{
        Keyring, KeyringError, RootKey,
        shamir::{self, Share},
    },
    state::{Keyrings, SealConfigs, StoredRootKeys, read_plain},
};
use tenure_raft::{
    node::{JoinCredential, JoinError, Node},
    reads::Consistency,
};
use tokio::{
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};
use tonic::Code;

use super::{CATCH_UP_WAIT, Keys, Sealer, Solver, Unsealed, seal, wrong_shares};
use crate::{api::grpc::join_error, error::Error, pipeline::StateView};

/// How long a call waits for shares to be judged again, after they opened a node that reached no
/// leader. A cluster that has none yet must be opened node by node.
const JUDGE_AGAIN_WAIT: Duration = Duration::from_secs(5);
/// How often it is looked whether there is a leader.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How long a new node waits for the keyring to reach it.
const REPLICATION_WAIT: Duration = Duration::from_secs(30);

impl Sealer {
    pub(super) async fn open(&self, shares: &[Share]) -> Result<(), Error> {
        let combined = shamir::combine(shares).map_err(|_| wrong_shares())?;
        let root = RootKey::from_slice(combined.expose()).ok_or_else(wrong_shares)?;
        // Of an opening before this one.
        if let Some(judging) = self.judging().take() {
            judging.abort();
        }
        let mut is_current = true;
        if self.node.is_initialized() {
            // Shares are judged against the current keys, if a leader can be reached.
            let deadline = Instant::now() + CATCH_UP_WAIT;
            is_current = self.node.read(Consistency::Quorum, deadline).await.is_ok();
        } else {
            let candidate = self.candidate().ok_or_else(Error::not_initialized)?;
            self.join_with(&candidate.addresses, &root).await?;
        }
        self.open_with(&root).await?;
        if is_current {
            return Ok(());
        }
        self.judge_again(root).await
    }

    /// Judges the key that opened this node once more, when its state is known to be current:
    /// the end of its log may have made the shares anew. Waits a while for that; where no leader
    /// comes meanwhile, it is judged as soon as there is one.
    async fn judge_again(&self, root: RootKey) -> Result<(), Error> {
        let (node, keys) = (self.node.clone(), self.keys.clone());
        let judged = tokio::spawn(async move { opens_for_good(&node, &keys, &root).await });
        *self.judging() = Some(judged.abort_handle());
        match timeout(JUDGE_AGAIN_WAIT, judged).await {
            Ok(Ok(false)) => Err(wrong_shares()),
            Ok(Ok(true)) | Err(_) => Ok(()),
            Ok(Err(_)) => Err(Error::internal("the shares could not be judged")),
        }
    }

    fn judging(&self) -> std::sync::MutexGuard<'_, Option<AbortHandle>> {
        self.judging.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the cluster that was found, by proof of the quorum.
    pub(super) async fn join_with(
        &self,
        addresses: &[String],
        root: &RootKey,
    ) -> Result<(), Error> {
        let solver = Solver::new(root).map_err(|_| wrong_shares())?;
        let credential = JoinCredential::Quorum(Arc::new(solver));
        let joined = self.node.join(addresses, &credential).await;
        match joined {
            // A join token may have been faster.
            Ok(()) | Err(JoinError::Initialized) => Ok(()),
            Err(error) => Err(join_error(&error)),
        }
    }

    /// Opens the keyring of the own state; a new node waits until it has come.
    pub(super) async fn open_with(&self, root: &RootKey) -> Result<(), Error> {
        let deadline = Instant::now() + REPLICATION_WAIT;
        loop {
            if let Some((keys, revision)) = self.keys_of_state(root)?
                && self.keys.open(keys, revision)
            {
                break;
            }
            if Instant::now() >= deadline {
                let message = "the keyring has not been replicated to this node yet";
                return Err(Error::new(Code::Unavailable, "NOT_REPLICATED", message));
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.node.set_unsealed(true).await;
        tracing::info!("this node is unsealed");
        Ok(())
    }

    /// The keys that the root key opens in the own state, and its revision. `None` until they
    /// have come.
    pub(super) fn keys_of_state(&self, root: &RootKey) -> Result<Option<(Unsealed, u64)>, Error> {
        let state = StateView(self.node.view()?);
        let sealed = read_plain::<Keyrings>(&state, &())?;
        let config = read_plain::<SealConfigs>(&state, &())?;
        let (Some(sealed), Some(config)) = (sealed, config) else {
            return Ok(None);
        };
        let stored = read_plain::<StoredRootKeys>(&state, &())?;
        let keyring = Keyring::open(root, &sealed).map_err(|error| match error {
            KeyringError::WrongKey => wrong_shares(),
            other => Error::new(Code::FailedPrecondition, "KEYRING", other.to_string()),
        })?;
        let keys = Unsealed::new(root, &keyring, config, stored)
            .map_err(|error| Error::internal(error.to_string()))?;
        Ok(Some((keys, state.0.revision())))
    }
}

/// Waits for a state that is known to be current, and seals the node if the key doesn't open it.
/// `false` then. Ends when the node is sealed.
async fn opens_for_good(node: &Node, keys: &Keys, root: &RootKey) -> bool {
    while !keys.is_sealed() {
        let deadline = Instant::now() + CATCH_UP_WAIT;
        let read = node.read(Consistency::Quorum, deadline).await;
        let Ok((view, _)) = read else {
            sleep(LOOK_AGAIN_AFTER).await;
            continue;
        };
        match read_plain::<Keyrings>(&StateView(view), &()) {
            Ok(Some(sealed)) if Keyring::open(root, &sealed).is_ok() => return true,
            Ok(Some(_)) => {
                tracing::warn!("the shares that opened this node are no longer in force");
                seal(node, keys).await;
                return false;
            }
            // It can't be told yet.
            Ok(None) | Err(_) => sleep(LOOK_AGAIN_AFTER).await,
        }
    }
    true
}
