//! `tenure operator rekey -backup-retrieve` and `-backup-delete`: the encrypted keys that the cluster was
//! told to keep.

use std::{collections::BTreeMap, fmt::Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use tenure_client::{Client, proto::RekeyTarget};

use super::super::{CommonArgs, Context};
use crate::{
    failure::{Failure, code},
    output::Report,
};

/// The keys of Vault's backup: by fingerprint, since somebody may hold several.
#[derive(Serialize)]
struct BackupBody {
    nonce: String,
    keys: BTreeMap<String, Vec<String>>,
    keys_base64: BTreeMap<String, Vec<String>>,
}

/// Shows them.
pub(super) async fn retrieve(
    client: &Client,
    target: RekeyTarget,
    common: &CommonArgs,
    context: &mut Context<'_>,
) -> Result<u8, Failure> {
    let backup = client.rekey_backup(target).await;
    let backup = backup.map_err(|error| Failure::call("retrieving the backed-up keys", &error))?;
    let mut body = BackupBody {
        nonce: backup.nonce,
        keys: BTreeMap::new(),
        keys_base64: BTreeMap::new(),
    };
    let mut text = format!("Nonce: {}\n", body.nonce);
    for share in backup.shares {
        let (fingerprint, base64) = (share.pgp_fingerprint, STANDARD.encode(&share.message));
        // Writing to a string can't fail.
        let _ = writeln!(text, "\nFingerprint: {fingerprint}\nKey: {base64}");
        let hex = body.keys.entry(fingerprint.clone()).or_default();
        hex.push(hex::encode(&share.message));
        body.keys_base64
            .entry(fingerprint)
            .or_default()
            .push(base64);
    }
    let report = Report::flat(text, body)?;
    common.output.show(&report, context.env, context.console)?;
    Ok(code::OK)
}

/// Deletes them.
pub(super) async fn delete(
    client: &Client,
    target: RekeyTarget,
    context: &mut Context<'_>,
) -> Result<u8, Failure> {
    let deleted = client.delete_rekey_backup(target).await;
    deleted.map_err(|error| Failure::call("deleting the backed-up keys", &error))?;
    context
        .console
        .line("Success! Deleted the backed-up keys (if there were any)")?;
    Ok(code::OK)
}
