//! `tenure operator …`.

mod generate_root;
mod init;
mod key_share;
mod key_status;
mod metrics;
mod pgp_key;
mod raft;
mod rekey;
mod rekey_backup;
mod rekey_proof;
mod rotate;
mod rotate_config;
mod seal;
mod snapshot;
mod step_down;
mod unseal;

use clap::Subcommand;

use super::Context;
use crate::failure::Failure;

/// The commands of an operator.
#[derive(Subcommand, Debug)]
pub(crate) enum OperatorCommand {
    /// Make a new cluster: shows the unseal keys and the first root token, once
    Init(init::InitArgs),
    /// Give a server one of the unseal keys; as many as the threshold open it
    Unseal(unseal::UnsealArgs),
    /// Seal a server: its keys are wiped from memory
    Seal(seal::SealArgs),
    /// Add a barrier key: it seals all that is written from then on
    Rotate(rotate::RotateArgs),
    /// Show when barrier keys are added without being asked for, or with flags set it
    RotateConfig(rotate_config::RotateConfigArgs),
    /// Show the term of the barrier key
    KeyStatus(key_status::KeyStatusArgs),
    /// Make the unseal keys anew, with the ones in force
    #[command(alias = "rotate-keys")]
    Rekey(rekey::RekeyArgs),
    /// Make a root token with the unseal keys
    GenerateRoot(generate_root::GenerateRootArgs),
    /// Make the active node hand over to another one
    StepDown(step_down::StepDownArgs),
    /// Show the metrics of a server, as Prometheus reads them
    Metrics(metrics::MetricsArgs),
    /// Show and change the members of the cluster; save and restore its state
    #[command(subcommand, arg_required_else_help = true)]
    Raft(raft::RaftCommand),
    /// Let expiration go on after a restore
    #[command(subcommand, arg_required_else_help = true)]
    Expiration(snapshot::ExpirationCommand),
}

pub(crate) async fn run(
    command: OperatorCommand,
    context: &mut Context<'_>,
) -> Result<u8, Failure> {
    match command {
        OperatorCommand::Init(args) => init::run(args, context).await,
        OperatorCommand::Unseal(args) => unseal::run(args, context).await,
        OperatorCommand::Seal(args) => seal::run(args, context).await,
        OperatorCommand::Rotate(args) => rotate::run(args, context).await,
        OperatorCommand::RotateConfig(args) => rotate_config::run(args, context).await,
        OperatorCommand::KeyStatus(args) => key_status::run(args, context).await,
        OperatorCommand::Rekey(args) => rekey::run(args, context).await,
        OperatorCommand::GenerateRoot(args) => generate_root::run(args, context).await,
        OperatorCommand::StepDown(args) => step_down::run(args, context).await,
        OperatorCommand::Metrics(args) => metrics::run(args, context).await,
        OperatorCommand::Raft(command) => raft::run(command, context).await,
        OperatorCommand::Expiration(command) => snapshot::expiration(command, context).await,
    }
}
