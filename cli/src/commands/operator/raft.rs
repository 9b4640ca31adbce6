//! `tenure operator raft …`.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Map, Value};
use tenure_client::{
    Peer,
    proto::{GetClusterStatusResponse, Member, MemberRole},
};

use super::{
    super::{CommonArgs, Context},
    snapshot,
};
use crate::{
    connection::ConnectionArgs,
    duration,
    failure::{Failure, code},
    output::{Envelope, Report, columns, key_values, time},
    secret_input::Source,
};

/// The commands on the cluster's members.
#[derive(Subcommand, Debug)]
pub(crate) enum RaftCommand {
    /// Mint a short-lived token with which new servers may join
    JoinToken(JoinTokenArgs),
    /// Tell a server that is not initialised to join a cluster
    Join(JoinArgs),
    /// Show the members
    ListPeers(ListPeersArgs),
    /// Take a member out of the cluster for good
    RemovePeer(RemovePeerArgs),
    /// Save, restore and look at snapshots of the cluster's state
    #[command(subcommand, arg_required_else_help = true)]
    Snapshot(snapshot::SnapshotCommand),
}

/// Flags of `tenure operator raft join-token`.
#[derive(Args, Clone, Debug)]
pub(crate) struct JoinTokenArgs {
    /// How long the token is good for. 0 or not given: the server's default
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    ttl: Option<Duration>,

    #[command(flatten)]
    common: CommonArgs,
}

/// Flags of `tenure operator raft join`.
#[derive(Args, Clone, Debug)]
pub(crate) struct JoinArgs {
    /// Peer addresses of members, tried in turn
    #[arg(value_name = "HOST:PORT", required = true)]
    peers: Vec<String>,

    /// The join token: - to read it from standard input, @file to read it from a file. Not
    /// given: the server proves that you hold the unseal keys; give it those with `tenure
    /// operator unseal` next
    #[arg(long, value_name = "-|@FILE", allow_hyphen_values = true)]
    join_token: Option<String>,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Flags of `tenure operator raft list-peers`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ListPeersArgs {
    #[command(flatten)]
    common: CommonArgs,
}

/// Flags of `tenure operator raft remove-peer`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RemovePeerArgs {
    /// Name of the member
    #[arg(required_unless_present = "node_id", conflicts_with = "node_id")]
    name: Option<String>,

    /// Its number, instead of its name
    #[arg(long, value_name = "NUMBER")]
    node_id: Option<u64>,

    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(command: RaftCommand, context: &mut Context<'_>) -> Result<u8, Failure> {
    match command {
        RaftCommand::JoinToken(args) => join_token(args, context).await?,
        RaftCommand::Join(args) => join(args, context).await?,
        RaftCommand::ListPeers(args) => list_peers(args, context).await?,
        RaftCommand::RemovePeer(args) => remove_peer(args, context).await?,
        RaftCommand::Snapshot(command) => snapshot::run(command, context).await?,
    }
    Ok(code::OK)
}

#[derive(Serialize)]
struct JoinTokenBody {
    join_token: String,
    expire_time: Option<String>,
}

async fn join_token(args: JoinTokenArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let client = context.client(&args.common)?;
    let minted = client
        .create_join_token(args.ttl.filter(|ttl| !ttl.is_zero()))
        .await
        .map_err(|error| Failure::call("minting join token", &error))?;
    let body = JoinTokenBody {
        join_token: minted.token.expose().to_owned(),
        expire_time: minted.expire_time.as_ref().map(time),
    };
    let shown = body.expire_time.clone().unwrap_or_else(|| "n/a".to_owned());
    let table = key_values(&[
        ("join_token".to_owned(), body.join_token.clone()),
        ("expire_time".to_owned(), shown),
    ]);
    let report = Report::flat(table, body)?;
    args.common
        .output
        .show(&report, context.env, context.console)
}

async fn join(args: JoinArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let token = match &args.join_token {
        None => None,
        Some(source) => {
            let source = Source::parse(source, "Join token")?;
            Some(source.read("Join token", context.console).await?)
        }
    };
    let client = args.connection.anonymous(context.env)?;
    let node_id = client
        .join(&args.peers, token.as_ref())
        .await
        .map_err(|error| Failure::call("joining", &error))?;
    let text = match node_id {
        Some(id) => format!("Success! The server has joined as node {id}."),
        None => "The server will join once it is given the unseal keys: tenure operator unseal"
            .to_owned(),
    };
    context.console.line(&text)
}

/// The shape of `vault operator raft list-peers -format=json`, with more in it.
#[derive(Clone, Serialize)]
struct PeersBody {
    config: PeersConfig,
}

#[derive(Clone, Serialize)]
struct PeersConfig {
    index: u64,
    servers: Vec<PeerBody>,
}

#[derive(Clone, Serialize)]
struct PeerBody {
    node_id: String,
    id: u64,
    address: String,
    api_address: String,
    leader: bool,
    active: bool,
    voter: bool,
    sealed: Option<bool>,
    applied_index: Option<u64>,
    clock_skew_ms: Option<i64>,
    version: Option<String>,
}

async fn list_peers(args: ListPeersArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let client = context.client(&args.common)?;
    let status = client
        .cluster_status()
        .await
        .map_err(|error| Failure::call("listing peers", &error))?;
    let report = peers_report(&status, client.last_request_id());
    args.common
        .output
        .show(&report, context.env, context.console)
}

fn peers_report(
    status: &GetClusterStatusResponse,
    request_id: Option<String>,
) -> Report<Envelope<PeersBody, ()>> {
    let servers: Vec<PeerBody> = status.members.iter().map(peer).collect();
    let rows: Vec<Vec<String>> = servers.iter().map(row).collect();
    let body = PeersBody {
        config: PeersConfig {
            index: status.committed_index,
            servers,
        },
    };
    let fields = match serde_json::to_value(&body) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    Report {
        table: columns(
            &["Node", "Address", "State", "Voter", "Sealed", "Applied"],
            &rows,
        ),
        document: Envelope::data(body).with_request_id(request_id),
        fields,
        warnings: Vec::new(),
    }
}

fn peer(member: &Member) -> PeerBody {
    let state = member.state.as_ref();
    PeerBody {
        node_id: member.name.clone(),
        id: member.node_id,
        address: member.peer_address.clone(),
        api_address: member.api_address.clone(),
        leader: member.leader,
        active: member.active,
        voter: member.role() == MemberRole::Voter,
        sealed: state.map(|state| state.sealed),
        applied_index: state.map(|state| state.applied_index),
        clock_skew_ms: state.and_then(|state| {
            let skew = state.clock_skew.as_ref()?;
            Some(skew.seconds * 1000 + i64::from(skew.nanos) / 1_000_000)
        }),
        version: state.map(|state| state.version.clone()),
    }
}

fn row(peer: &PeerBody) -> Vec<String> {
    let state = match (peer.leader, peer.sealed) {
        (true, _) => "leader",
        (false, Some(_)) => "follower",
        (false, None) => "unreachable",
    };
    let known = |value: Option<String>| value.unwrap_or_else(|| "n/a".to_owned());
    vec![
        peer.node_id.clone(),
        peer.address.clone(),
        state.to_owned(),
        peer.voter.to_string(),
        known(peer.sealed.map(|sealed| sealed.to_string())),
        known(peer.applied_index.map(|index| index.to_string())),
    ]
}

async fn remove_peer(args: RemovePeerArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let peer = match (args.node_id, args.name) {
        (Some(id), _) => Peer::Id(id),
        (None, name) => Peer::Name(name.unwrap_or_default()),
    };
    let client = args.connection.client(context.env, context.console)?;
    client
        .remove_peer(peer)
        .await
        .map_err(|error| Failure::call("removing peer", &error))?;
    context.console.line("Peer removed successfully!")
}
