//! Init: makes a cluster of this node, a root key, its shares and the first root token, and
//! shows them once. The node is sealed afterwards.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
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
use tenure_raft::{
    clock::{SystemClock, WallClock},
    node::StartError,
};
use tokio::time::{Instant, sleep};
use tonic::Code;

use super::{
    Sealer,
    open_itself::seal_checked,
    pgp::{self, PgpKey},
};
use crate::{
    error::Error,
    pipeline::{StateView, transaction},
    random::SystemRandom,
};

/// How long a new cluster may take to elect its only node.
const ELECTION_WAIT: Duration = Duration::from_secs(10);

/// What init shows, once.
pub struct InitKeys {
    /// The shares: of the root key, or of the recovery key where a provider keeps that one. Encrypted,
    /// if that was asked for.
    pub shares: Vec<Secret<Vec<u8>>>,
    /// Whether they are recovery shares.
    pub recovery: bool,
    /// The first root token; a PGP message in base64 if that was asked for.
    pub root_token: Secret<String>,
}

/// How the keys of a new cluster are to be split and shown. One of both splits is given: it depends
/// on who opens its nodes.
#[derive(Clone, Debug, Default)]
pub struct InitPlan {
    /// Number of shares of the root key.
    pub shares: u32,
    /// How many of them open a node.
    pub threshold: u32,
    /// Number of shares of the recovery key.
    pub recovery_shares: u32,
    /// How many of them are a quorum.
    pub recovery_threshold: u32,
    /// OpenPGP public keys to show the shares of the root key under, one for each; or none.
    pub pgp_keys: Vec<Vec<u8>>,
    /// The same for the shares of the recovery key.
    pub recovery_pgp_keys: Vec<Vec<u8>>,
    /// OpenPGP public key to show the root token under; empty: none.
    pub root_token_pgp_key: Vec<u8>,
}

/// How the keys are split and shown.
struct Split {
    shares: u8,
    threshold: u8,
    pgp: Arc<[PgpKey]>,
    of_token: Option<PgpKey>,
}

impl InitPlan {
    /// Shares and threshold of the key that is split.
    fn checked(&self, has_provider: bool) -> Result<(u8, u8), Error> {
        let (shares, threshold, prefix) = if has_provider {
            if (self.shares, self.threshold) != (0, 0) || !self.pgp_keys.is_empty() {
                return Err(Error::invalid_argument(
                    "secret_shares, secret_threshold, pgp_keys: a provider opens this node: give \
                     recovery_shares, recovery_threshold and recovery_pgp_keys",
                ));
            }
            let (shares, threshold) = (self.recovery_shares, self.recovery_threshold);
            (shares, threshold, "recovery_")
        } else {
            let is_given = (self.recovery_shares, self.recovery_threshold) != (0, 0);
            if is_given || !self.recovery_pgp_keys.is_empty() {
                return Err(Error::invalid_argument(
                    "recovery_shares, recovery_threshold, recovery_pgp_keys: no provider opens this \
                     node: there is no seal stanza",
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

    /// The same, with the keys read.
    async fn ready(self, shares: u8, threshold: u8, has_provider: bool) -> Result<Split, Error> {
        // Nothing is replicated yet that could tell the time.
        let now = UnixMillis::new(SystemClock.wall_ms());
        let (field, keys) = if has_provider {
            ("recovery_pgp_keys", self.recovery_pgp_keys)
        } else {
            ("pgp_keys", self.pgp_keys)
        };
        Ok(Split {
            shares,
            threshold,
            pgp: pgp::keys_of(field, keys, shares, now).await?,
            of_token: pgp::key_of("root_token_pgp_key", self.root_token_pgp_key, now).await?,
        })
    }
}

impl Split {
    /// The root token as it is shown.
    fn shown(&self, token: &TokenId) -> Result<Secret<String>, Error> {
        let text = token.expose();
        let Some(key) = &self.of_token else {
            return Ok(Secret::new(text.to_owned()));
        };
        let message = key.encrypt(text.as_bytes());
        let message = message.map_err(|error| Error::internal(error.to_string()))?;
        Ok(Secret::new(STANDARD.encode(message)))
    }
}

impl Sealer {
    /// Initialises the cluster with this node as its first member.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for an impossible split or a PGP key that can't be used,
    /// FAILED_PRECONDITION if there is a cluster already.
    pub async fn init(&self, plan: InitPlan) -> Result<InitKeys, Error> {
        self.init_with(plan, None).await
    }

    /// As [`Sealer::init`], with a root token of the caller's choice (for dev mode).
    ///
    /// # Errors
    /// As [`Sealer::init`].
    pub async fn init_with(
        &self,
        plan: InitPlan,
        root_token: Option<TokenId>,
    ) -> Result<InitKeys, Error> {
        let (shares, threshold) = plan.checked(self.provider.is_some())?;
        let _one_at_a_time = self.attempt.lock().await;
        if self.split()?.is_some() {
            return Err(already_initialized());
        }
        let has_provider = self.provider.is_some();
        let split = plan.ready(shares, threshold, has_provider).await?;
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
        let made = self.found(&split, root_token).await;
        self.node.set_unsealed(false).await;
        if made.is_ok() {
            tracing::info!(shares, threshold, "the cluster is initialized");
        }
        made
    }

    async fn found(&self, plan: &Split, root_token: Option<TokenId>) -> Result<InitKeys, Error> {
        let (shares, threshold) = (plan.shares, plan.threshold);
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
        let split = pgp::shown(&plan.pgp, split)?;
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
            let made = token::create_root(context, root_token, &mut SystemRandom)?;
            txn.append(made.txn);
            (view.into_reads(), plan.shown(&made.response.id)?)
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
