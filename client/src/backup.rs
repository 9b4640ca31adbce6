//! The calls of `BackupService`: a snapshot as a stream of bytes, out and in. It holds a piece
//! or two in memory, however large the snapshot is.

use std::{
    io::Read,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tenure_proto::v1::{
    self, backup_service_client::BackupServiceClient, restore_snapshot_request::Part,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Channel};

use crate::{
    call::{Client, Scope},
    error::Error,
    limits::{ANSWER_BYTES_MAX, RESTORE_PIECE_BYTES, RESTORE_PIECES_QUEUED, SNAPSHOT_DEADLINE_MS},
    retry::Effect,
};

/// A snapshot on its way. Its pieces one after the other are a file, which says itself whether
/// it is whole.
pub struct Snapshot {
    pieces: Streaming<v1::SaveSnapshotResponse>,
}

impl Snapshot {
    /// The next piece; none when the server has sent all.
    ///
    /// # Errors
    /// The stream broke off: what came is no whole snapshot.
    pub async fn piece(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, Error> {
        let piece = self.pieces.message().await;
        let piece = piece.map_err(|status| Error::from_status(&status, ""))?;
        Ok(piece.map(|piece| piece.data))
    }
}

impl Client {
    /// Starts to save a snapshot of the state, from any node.
    pub async fn save_snapshot(&self) -> Result<Snapshot, Error> {
        let pieces = self
            .for_snapshots()
            .call(
                Scope::Cluster,
                // Not for one attempt's time alone, as a read: the stream lives as long as it.
                Effect::Once,
                v1::SaveSnapshotRequest {},
                |channel: Channel, request| async move {
                    BackupServiceClient::new(channel)
                        .max_decoding_message_size(ANSWER_BYTES_MAX)
                        .save_snapshot(request)
                        .await
                },
            )
            .await?;
        Ok(Snapshot { pieces })
    }

    /// Restores a snapshot, which `open` begins to read: again for each attempt, and never after
    /// one that may have restored it. With `force` also one that was made under other keys.
    pub async fn restore_snapshot<R>(
        &self,
        force: bool,
        open: impl Fn() -> std::io::Result<R> + Send + Sync + 'static,
    ) -> Result<v1::RestoreSnapshotResponse, Error>
    where
        R: Read + Send + 'static,
    {
        let failed: Arc<Mutex<Option<String>>> = Arc::default();
        let note = Arc::clone(&failed);
        let open = Arc::new(open);
        let answer = self
            .for_snapshots()
            .call(
                Scope::Cluster,
                Effect::Once,
                open,
                move |channel: Channel, request| {
                    let note = Arc::clone(&note);
                    let request = request.map(|open| {
                        let (parts, queue) = mpsc::channel(RESTORE_PIECES_QUEUED);
                        tokio::task::spawn_blocking(move || {
                            if let Err(error) = send_file(force, &*open, &parts) {
                                let mut failed =
                                    note.lock().unwrap_or_else(PoisonError::into_inner);
                                *failed = Some(error.to_string());
                            }
                        });
                        ReceiverStream::new(queue)
                    });
                    async move {
                        BackupServiceClient::new(channel)
                            .restore_snapshot(request)
                            .await
                    }
                },
            )
            .await;
        // A file that can't be read ends the stream; the server's complaint is not the cause.
        let failed = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        match failed {
            Some(reason) => Err(Error::config(format!(
                "the snapshot can't be read: {reason}"
            ))),
            None => answer,
        }
    }

    /// Lets the expiration manager go on after a restore. Answers since when it was held.
    pub async fn resume_expiration(&self) -> Result<Option<prost_types::Timestamp>, Error> {
        let answer = self
            .call(
                Scope::Cluster,
                Effect::Once,
                v1::ResumeExpirationRequest {},
                |channel: Channel, request| async move {
                    BackupServiceClient::new(channel)
                        .resume_expiration(request)
                        .await
                },
            )
            .await?;
        Ok(answer.held_since)
    }

    /// The same client with the time that a snapshot may take; what fails is tried again for as
    /// long as other calls are.
    fn for_snapshots(&self) -> Self {
        let mut client = self.with_deadline(Duration::from_millis(SNAPSHOT_DEADLINE_MS));
        let window = self.settings.retry_window;
        client.settings.retry_window = Some(window.unwrap_or(self.settings.deadline));
        client
    }
}

fn send_file<R: Read>(
    force: bool,
    open: &impl Fn() -> std::io::Result<R>,
    parts: &mpsc::Sender<v1::RestoreSnapshotRequest>,
) -> std::io::Result<()> {
    let send = |part| {
        let part = v1::RestoreSnapshotRequest { part: Some(part) };
        // Nobody receives any more: the call has its answer.
        parts.blocking_send(part).is_ok()
    };
    let mut file = open()?;
    if !send(Part::Options(v1::RestoreOptions { force })) {
        return Ok(());
    }
    loop {
        let mut piece = vec![0; RESTORE_PIECE_BYTES];
        let length = file.read(&mut piece)?;
        piece.truncate(length);
        if length == 0 || !send(Part::Data(piece.into())) {
            return Ok(());
        }
    }
}
