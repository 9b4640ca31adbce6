//! The development server: what it needs to be used at once. Never part of a server with a
//! configuration.

use std::time::Duration;

use tenure_core::types::{Secret, TokenId};
use tenure_proto::v1;
use tokio::time::{Instant, sleep};
use tonic::Request;

use super::{LOOK_EVERY, RunError};
use crate::{
    config::{Config, DevOptions},
    error::Error,
    listen::Deadline,
    pipeline::Pipeline,
    seal::{InitPlan, Sealer},
};

/// How long the mount of a development server may take.
const DEV_MOUNT_WAIT: Duration = Duration::from_secs(10);

/// A development server: plain text on loopback, data in a folder that goes at the end.
pub struct Dev {
    /// Where it listens.
    pub options: DevOptions,
    /// Its root token; a random one if none is given.
    pub root_token: Option<String>,
    /// Told once it is ready.
    pub on_ready: Box<dyn FnOnce(DevReady<'_>) + Send>,
}

/// What a person needs to use a development server.
pub struct DevReady<'a> {
    /// URL of the server.
    pub address: &'a str,
    /// Its root token.
    pub root_token: &'a str,
    /// The one key share, hex.
    pub share: &'a str,
}

/// Initialises and unseals a development server, and waits until it is active.
pub(super) async fn set_up(
    sealer: &Sealer,
    pipeline: &Pipeline,
    config: &Config,
    dev: Dev,
) -> Result<(), RunError> {
    let failed = |error: Error| RunError::Dev(error.message);
    let root = dev
        .root_token
        .as_deref()
        .map(TokenId::custom)
        .transpose()
        .map_err(|error| RunError::Dev(format!("root token: {error}")))?;
    let plan = InitPlan {
        shares: 1,
        threshold: 1,
        ..InitPlan::default()
    };
    let made = sealer.init_with(plan, root).await.map_err(failed)?;
    for share in &made.shares {
        sealer.unseal(share.clone()).await.map_err(failed)?;
    }
    while !pipeline.node.is_active() {
        sleep(LOOK_EVERY).await;
    }
    let mounted = pipeline.call(mount_secret(&made.root_token)?).await;
    mounted.map_err(|status| RunError::Dev(status.message().to_owned()))?;
    let share = made
        .shares
        .first()
        .map_or_else(String::new, |share| hex::encode(share.expose()));
    let address = config.api_addr.to_string();
    (dev.on_ready)(DevReady {
        address: &address,
        root_token: made.root_token.expose(),
        share: &share,
    });
    Ok(())
}

/// The call that mounts kv at secret/, as Vault's development server has it.
fn mount_secret(root: &Secret<String>) -> Result<Request<v1::MountRequest>, RunError> {
    let mut request = Request::new(v1::MountRequest {
        path: "secret".to_owned(),
        r#type: "kv-v2".to_owned(),
        description: "key/value secret storage".to_owned(),
        ..v1::MountRequest::default()
    });
    let token = root.expose().parse();
    let token = token.map_err(|_| RunError::Dev("the root token is no header".to_owned()))?;
    request.metadata_mut().insert("x-vault-token", token);
    let deadline = Instant::now() + DEV_MOUNT_WAIT;
    request.extensions_mut().insert(Deadline(deadline));
    Ok(request)
}
