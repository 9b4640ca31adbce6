//! Init: makes a cluster of this node, a root key, its shares and the first root token, and
//! shows them once. The node is sealed afterwards.

use std::time::Duration;

use tenure_core::{
    barrier::{Barrier, Keyring, RootKey, shamir},
    policy::AclMemo,
    state::{
        Keyrings, RecoveryKeys, RootKeys, SealConfig, SealConfigs, StoredRootKeys, Txn, View,
        read_plain,
    },
    token::{self, Revocations, TtlConfig},
    types::{Secret, TokenId, UnixMillis},
};
use tenure_raft::node::StartError;
use tokio::time::{Instant, sleep};
use tonic::Code;

use super::{Sealer, open_itself::seal_checked};
use crate::{
    error::Error,
    pipeline::{StateView, transaction},
    random::SystemRandom,
};

/// How long a new cluster may take to elect its only node.
const ELECTION_WAIT: Duration = Duration::from_secs(10);

/// What init shows, once.
pub struct InitKeys {
    /// The shares: of the root key, or of the recovery key where a provider keeps that one.
    pub shares: Vec<Secret<Vec<u8>>>,
    /// Whether they are recovery shares.
    pub recovery: bool,
    /// The first root token.
    pub root_token: TokenId,
}

/// How the keys of a new cluster are to be split. One of both is given: it depends on who opens
/// its nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct InitSplit {
    /// Number of shares of the root key.
    pub shares: u32,
    /// How many of them open a node.
    pub threshold: u32,
    /// Number of shares of the recovery key.
    pub recovery_shares: u32,
    /// How many of them are a quorum.
    pub recovery_threshold: u32,
}

impl InitSplit {
    /// Shares and threshold of the key that is split.
    fn checked(self, has_provider: bool) -> Result<(u8, u8), Error> {
        let (shares, threshold, prefix) = if has_provider {
            if (self.shares, self.threshold) != (0, 0) {
                return Err(Error::invalid_argument(
                    "secret_shares, secret_threshold: a provider opens this node: give \
                     recovery_shares and recovery_threshold",
                ));
            }
            let (shares, threshold) = (self.recovery_shares, self.recovery_threshold);
            (shares, threshold, "recovery_")
        } else {
            if (self.recovery_shares, self.recovery_threshold) != (0, 0) {
                return Err(Error::invalid_argument(
                    "recovery_shares, recovery_threshold: no provider opens this node: there is no \
                     seal stanza",
                ));
            }
            (self.shares, self.threshold, "secret_")
        };
        let number = |field: &str, value: u32| {
            u8::try_from(value)
                .map_err(|_| Error::invalid_argument(format!("{prefix}{field}: at most 255")))
        };
        let shares = number("shares", shares)?;
        let threshold = number("threshold", threshold)?;
        shamir::check_split(shares, threshold)
            .map_err(|error| Error::invalid_argument(error.to_string()))?;
        Ok((shares, threshold))
    }
}

impl Sealer {
    /// Initialises the cluster with this node as its first member.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for an impossible split, FAILED_PRECONDITION if there is a cluster
    /// already.
    pub async fn init(&self, split: InitSplit) -> Result<InitKeys, Error> {
        self.init_with(split, None).await
    }

    /// As [`Sealer::init`], with a root token of the caller's choice (for dev mode).
    ///
    /// # Errors
    /// As [`Sealer::init`].
    pub async fn init_with(
        &self,
        split: InitSplit,
        root_token: Option<TokenId>,
    ) -> Result<InitKeys, Error> {
        let (shares, threshold) = split.checked(self.provider.is_some())?;
        let _one_at_a_time = self.attempt.lock().await;
        if self.split()?.is_some() {
            return Err(already_initialized());
        }
        match self.node.bootstrap().await {
            // A member already: of a cluster that init has not reached yet.
            Ok(()) | Err(StartError::Initialized) => {}
            Err(error) => {
                tracing::error!(%error, "the cluster could not be made");
                return Err(Error::internal("the cluster could not be made"));
            }
        }
        // Raft may lead and write for a moment; the server itself stays sealed throughout.
        self.node.set_unsealed(true).await;
        let made = self.found(shares, threshold, root_token).await;
        self.node.set_unsealed(false).await;
        if made.is_ok() {
            tracing::info!(shares, threshold, "the cluster is initialized");
        }
        made
    }

    async fn found(
        &self,
        shares: u8,
        threshold: u8,
        root_token: Option<TokenId>,
    ) -> Result<InitKeys, Error> {
        let deadline = Instant::now() + ELECTION_WAIT;
        while self.node.activate().await.is_err() {
            if Instant::now() >= deadline {
                return Err(Error::no_active_node());
            }
            sleep(Duration::from_millis(20)).await;
        }
        let now = UnixMillis::new(self.node.cluster_time_ms());
        let root = RootKey::generate(&mut SystemRandom);
        let keyring = Keyring::generate(now, &mut SystemRandom);
        let kept = match &self.provider {
            Some(provider) => {
                let stored = seal_checked(provider.as_ref(), &root).await?;
                Some((stored, RootKey::generate(&mut SystemRandom)))
            }
            None => None,
        };
        let guarding = kept.as_ref().map_or(&root, |(_, recovery)| recovery);
        let split = shamir::split(guarding.expose(), shares, threshold, &mut SystemRandom)
            .map_err(|error| Error::internal(error.to_string()))?;
        let sealed = keyring
            .seal(&root, &mut SystemRandom)
            .map_err(|error| Error::internal(error.to_string()))?;
        let barrier = Barrier::new(&keyring)?;
        let config = SealConfig {
            shares,
            threshold,
            created: now,
        };
        let mut txn = Txn::default();
        txn.insert_plain::<SealConfigs>(&(), &config)?;
        txn.insert_plain::<Keyrings>(&(), &sealed.into())?;
        txn.insert::<RootKeys>(&barrier, &(), &root, &mut SystemRandom)?;
        if let Some((stored, recovery)) = &kept {
            txn.insert_plain::<StoredRootKeys>(&(), stored)?;
            txn.insert::<RecoveryKeys>(&barrier, &(), recovery, &mut SystemRandom)?;
        }
        let (reads, root_token) = {
            let state = StateView(self.node.view()?);
            let view = View::new(&state, &barrier);
            // The opening entry is applied here, so that this is the truth.
            if read_plain::<SealConfigs>(&state, &())?.is_some() {
                return Err(already_initialized());
            }
            view.note::<SealConfigs>(&());
            let context = token::Context {
                view: &view,
                revocations: &Revocations::default(),
                acls: &AclMemo::default(),
                ttl: &TtlConfig::default(),
                now,
                remote: None,
            };
            let plan = token::create_root(context, root_token, &mut SystemRandom)?;
            txn.append(plan.txn);
            (view.into_reads(), plan.response.id)
        };
        let txn = transaction(reads, txn, &barrier)?;
        self.node.submit(txn, deadline).await?;
        Ok(InitKeys {
            shares: split,
            recovery: kept.is_some(),
            root_token,
        })
    }
}

fn already_initialized() -> Error {
    Error::new(
        Code::FailedPrecondition,
        "ALREADY_INITIALIZED",
        "the cluster is initialized already",
    )
}
