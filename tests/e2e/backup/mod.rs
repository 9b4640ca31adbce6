//! Snapshots saved and restored through the real program: exact on every node, refused when
//! they aren't whole or under other keys, and without a trace where they broke off (G23).

mod broken;
mod exact;
mod held;
mod ways;

use std::collections::BTreeMap;
use std::io::Cursor;

use tenure_client::proto::{MountRequest, RestoreSnapshotResponse, WriteRequest};
use tenure_client::{Client, Error};
use tenure_server::backup::{Decoder, Part};
use tenure_tests::server_cluster::Outcome;

use crate::text;

/// A record as a snapshot holds it: value, and the revisions that created and last wrote it.
type Record = (Vec<u8>, u64, u64);

/// Key of the record that says that expiration is held: a restore writes it.
const HOLD: [u8; 2] = [2, 4];
/// Key of the record that says since when the state is a restored one.
const RESTORE_MARK: [u8; 2] = [2, 64];

/// Saves a snapshot.
async fn save(client: &Client) -> Outcome<Vec<u8>> {
    let mut snapshot = client.save_snapshot().await.map_err(text)?;
    let mut file = Vec::new();
    while let Some(piece) = snapshot.piece().await.map_err(text)? {
        file.extend_from_slice(piece.as_ref());
    }
    Ok(file)
}

/// Restores one.
async fn restore(
    client: &Client,
    file: &[u8],
    force: bool,
) -> Result<RestoreSnapshotResponse, Error> {
    let file = file.to_vec();
    let open = move || Ok(Cursor::new(file.clone()));
    client.restore_snapshot(force, open).await
}

/// All that a snapshot holds, but for what a restore writes.
fn records(file: &[u8]) -> Outcome<BTreeMap<Vec<u8>, Record>> {
    let mut decoder = Decoder::default();
    decoder.push(file);
    let mut found = BTreeMap::new();
    while let Some(part) = decoder.part().map_err(text)? {
        let Part::Records(records) = part else {
            continue;
        };
        for row in records {
            let record = (row.value.to_vec(), row.create_revision, row.mod_revision);
            found.insert(row.key.to_vec(), record);
        }
    }
    decoder.finish().map_err(text)?;
    found.remove(HOLD.as_slice());
    found.remove(RESTORE_MARK.as_slice());
    Ok(found)
}

/// The state as it is now.
async fn state(client: &Client) -> Outcome<BTreeMap<Vec<u8>, Record>> {
    records(&save(client).await?)
}

/// Writes a secret to the cubbyhole of the client's token.
async fn keep(client: &Client, path: &str, value: &str) -> Outcome<()> {
    let request = WriteRequest {
        path: format!("cubbyhole/{path}"),
        data: format!(r#"{{"value":"{value}"}}"#).into_bytes(),
        ..WriteRequest::default()
    };
    client.write(request).await.map_err(text)?;
    Ok(())
}

/// Makes a mount and writes so many secrets of 256 KiB to it.
async fn fill(client: &Client, count: usize) -> Outcome<()> {
    let request = MountRequest {
        path: "large".to_owned(),
        r#type: "kv".to_owned(),
        ..MountRequest::default()
    };
    client.mount(request).await.map_err(text)?;
    let value = "x".repeat(256 << 10);
    for n in 0..count {
        let request = WriteRequest {
            path: format!("large/{n}"),
            data: format!(r#"{{"value":"{value}"}}"#).into_bytes(),
            ..WriteRequest::default()
        };
        client.write(request).await.map_err(text)?;
    }
    Ok(())
}

/// The secret of the client's token.
async fn kept(client: &Client, path: &str) -> Outcome<String> {
    let path = format!("cubbyhole/{path}");
    let found = client.read(&path, b"").await.map_err(text)?;
    String::from_utf8(found.data).map_err(text)
}
