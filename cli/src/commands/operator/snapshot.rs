//! `tenure operator raft snapshot …`. A file that is there is a whole one: it gets its name
//! after its last byte is on the disk and was verified.

use std::{
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, Hasher, RandomState},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde::Serialize;
use tenure_client::Client;
use tenure_server::backup::{Decoder, FormatError, Summary};

use super::super::{CommonArgs, Context};
use crate::{
    connection::ConnectionArgs,
    failure::{Failure, code},
    output::{OutputArgs, Report, key_values, time},
};

/// Bytes that are read of a file at a time.
const READ_BYTES: usize = 256 << 10;
/// A snapshot is for its owner alone, although it holds ciphertext only.
const FILE_MODE: u32 = 0o600;

/// The commands on snapshots.
#[derive(Subcommand, Debug)]
pub(crate) enum SnapshotCommand {
    /// Save a snapshot of the cluster's state, while it goes on
    Save(SaveArgs),
    /// Put the state of a snapshot in the place of the cluster's. Expiration is held afterwards:
    /// see tenure operator expiration resume
    Restore(RestoreArgs),
    /// Show what a snapshot is, and whether it is whole. Needs no server
    Inspect(InspectArgs),
}

/// Flags of `tenure operator raft snapshot save`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SaveArgs {
    /// File to be written
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Flags of `tenure operator raft snapshot restore`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RestoreArgs {
    /// File to be restored
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Also a snapshot that was made under other unseal keys: then all servers are sealed, and
    /// open with the unseal keys of the snapshot
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    common: CommonArgs,
}

/// Flags of `tenure operator raft snapshot inspect`.
#[derive(Args, Clone, Debug)]
pub(crate) struct InspectArgs {
    /// File to be looked at
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) async fn run(
    command: SnapshotCommand,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    match command {
        SnapshotCommand::Save(args) => save(args, context).await,
        SnapshotCommand::Restore(args) => restore(args, context).await,
        SnapshotCommand::Inspect(args) => inspect(&args, context),
    }
}

async fn save(args: SaveArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let client = args.connection.client(context.env, context.console)?;
    let summary = save_to(&client, &args.file).await?;
    context.console.line(&format!(
        "Success! Saved {} records in {} bytes, revision {}, to {}",
        summary.records,
        summary.bytes,
        summary.revision,
        args.file.display()
    ))
}

async fn save_to(client: &Client, path: &Path) -> Result<Summary, Failure> {
    let failed = |error: std::io::Error| {
        Failure::local(format!("Error writing {}: {error}", path.display()))
    };
    let call = |error: &_| Failure::call("saving the snapshot", error);
    // Before anything is asked of the server: a folder that can't be written to is known now.
    let mut partial = Partial::create(path).map_err(failed)?;
    let mut snapshot = client.save_snapshot().await.map_err(|e| call(&e))?;
    let mut decoder = Decoder::default();
    while let Some(piece) = snapshot.piece().await.map_err(|e| call(&e))? {
        let piece = piece.as_ref();
        follow(&mut decoder, piece).map_err(|error| not_one(path, &error))?;
        partial.file.write_all(piece).map_err(failed)?;
    }
    let summary = decoder.finish().map_err(|error| not_one(path, &error))?;
    partial.keep(path).map_err(failed)?;
    Ok(summary)
}

fn follow(decoder: &mut Decoder, piece: &[u8]) -> Result<(), FormatError> {
    decoder.push(piece);
    while decoder.part()?.is_some() {}
    Ok(())
}

fn not_one(path: &Path, error: &FormatError) -> Failure {
    Failure::local(format!("Error: {}: {error}", path.display()))
}

/// A file without its name yet. It goes unless it is kept: Ctrl-C leaves nothing.
struct Partial {
    file: File,
    path: Option<PathBuf>,
}

impl Partial {
    fn create(target: &Path) -> std::io::Result<Self> {
        let random = RandomState::new().build_hasher().finish();
        let mut name = target.as_os_str().to_owned();
        name.push(format!(".{random:016x}.partial"));
        let path = PathBuf::from(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(FILE_MODE);
        Ok(Self {
            file: options.open(&path)?,
            path: Some(path),
        })
    }

    fn keep(mut self, target: &Path) -> std::io::Result<()> {
        self.file.sync_all()?;
        if let Some(path) = &self.path {
            fs::rename(path, target)?;
        }
        self.path = None;
        let folder = target.parent().filter(|it| !it.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            // Nothing more can be done about it here.
            let _ = fs::remove_file(path);
        }
    }
}

#[derive(Serialize)]
struct RestoreBody {
    revision: u64,
    snapshot_revision: u64,
    snapshot_time: Option<String>,
    records: u64,
}

async fn restore(args: RestoreArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let client = context.client(&args.common)?;
    // A file that isn't whole needs no server to be refused.
    summary_of(&args.file)?;
    let path = args.file.clone();
    let restored = client
        .restore_snapshot(args.force, move || File::open(&path))
        .await
        .map_err(|error| Failure::call("restoring the snapshot", &error))?;
    let body = RestoreBody {
        revision: restored.revision,
        snapshot_revision: restored.snapshot_revision,
        snapshot_time: restored.snapshot_time.as_ref().map(time),
        records: restored.records,
    };
    let rows = [
        ("revision", body.revision.to_string()),
        ("snapshot_revision", body.snapshot_revision.to_string()),
        (
            "snapshot_time",
            body.snapshot_time.clone().unwrap_or_default(),
        ),
        ("records", body.records.to_string()),
    ];
    let rows = rows.map(|(key, value)| (key.to_owned(), value));
    let report = Report::flat(key_values(&rows), body)?;
    let output = &args.common.output;
    output.show(&report, context.env, context.console)?;
    context.console.error(
        "The snapshot is restored. Expiration is held: nothing that has ended is cleared away \
         until you run `tenure operator expiration resume`.",
    );
    Ok(())
}

#[derive(Serialize)]
struct InspectBody {
    cluster_id: String,
    revision: u64,
    time_ms: u64,
    version: String,
    records: u64,
    bytes: u64,
    sha256: String,
}

fn inspect(args: &InspectArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let summary = summary_of(&args.file)?;
    let body = InspectBody {
        cluster_id: hex::encode(&summary.cluster_id),
        revision: summary.revision,
        time_ms: summary.time_ms,
        version: summary.version,
        records: summary.records,
        bytes: summary.bytes,
        sha256: hex::encode(summary.sha256),
    };
    let rows = [
        ("cluster_id", body.cluster_id.clone()),
        ("revision", body.revision.to_string()),
        ("time", shown(body.time_ms)),
        ("version", body.version.clone()),
        ("records", body.records.to_string()),
        ("bytes", body.bytes.to_string()),
        ("sha256", body.sha256.clone()),
    ];
    let rows = rows.map(|(key, value)| (key.to_owned(), value));
    let report = Report::flat(key_values(&rows), body)?;
    args.output.show(&report, context.env, context.console)
}

fn shown(ms: u64) -> String {
    let nanos = i32::try_from(ms % 1_000 * 1_000_000).unwrap_or(0);
    time(&prost_types::Timestamp {
        seconds: i64::try_from(ms / 1_000).unwrap_or(i64::MAX),
        nanos,
    })
}

/// Reads a whole file and verifies it.
fn summary_of(path: &Path) -> Result<Summary, Failure> {
    let failed = |error: std::io::Error| {
        Failure::local(format!("Error reading {}: {error}", path.display()))
    };
    let mut file = File::open(path).map_err(failed)?;
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let length = file.read(&mut buffer).map_err(failed)?;
        let piece = buffer.get(..length).unwrap_or_default();
        if piece.is_empty() {
            break;
        }
        follow(&mut decoder, piece).map_err(|error| not_one(path, &error))?;
    }
    decoder.finish().map_err(|error| not_one(path, &error))
}

/// Flags of `tenure operator expiration resume`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The commands on expiration.
#[derive(Subcommand, Debug)]
pub(crate) enum ExpirationCommand {
    /// Let expiration go on after a restore
    Resume(ResumeArgs),
}

pub(crate) async fn expiration(
    command: ExpirationCommand,
    context: &mut Context<'_>,
) -> Result<u8, Failure> {
    let ExpirationCommand::Resume(args) = command;
    let client = args.connection.client(context.env, context.console)?;
    let held = client
        .resume_expiration()
        .await
        .map_err(|error| Failure::call("resuming expiration", &error))?;
    let since = held.as_ref().map_or_else(|| "n/a".to_owned(), time);
    context.console.line(&format!(
        "Success! Expiration goes on. It was held since {since}."
    ))?;
    Ok(code::OK)
}
