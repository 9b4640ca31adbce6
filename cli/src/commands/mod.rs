//! The commands, one file each, and what they share: flags, the runtime, Ctrl-C.

mod auth;
mod delete;
mod kv;
mod lease;
mod list;
mod operator;
mod policy;
mod quota;
mod read;
mod secrets;
mod server;
mod status;
mod token;
mod version;
mod write;

use std::{
    future::Future,
    hash::{BuildHasher, Hasher, RandomState},
};

use clap::{Args, Subcommand};
use tenure_client::Client;

use crate::{
    connection::ConnectionArgs,
    console::Console,
    env::Env,
    failure::{Failure, code},
    output::OutputArgs,
};

/// Every command of `tenure`.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run a server
    Server(server::ServerArgs),
    /// Show whether a server is initialised and sealed. Exits 0 when it is unsealed, 2 when
    /// it is sealed or not initialised, 1 on an error
    Status(status::StatusArgs),
    /// Create, show, renew and revoke tokens
    #[command(subcommand, arg_required_else_help = true)]
    Token(token::TokenCommand),
    /// Tune auth methods
    #[command(subcommand, arg_required_else_help = true)]
    Auth(auth::AuthCommand),
    /// Read a path
    Read(read::ReadArgs),
    /// Write a path
    #[command(after_help = crate::data_input::HELP)]
    Write(write::WriteArgs),
    /// List the names under a path
    List(list::ListArgs),
    /// Delete a path
    Delete(delete::DeleteArgs),
    /// Read and write secrets of the key/value engine, of either version
    #[command(subcommand, arg_required_else_help = true)]
    Kv(kv::KvCommand),
    /// Mount, show, tune, move and unmount secrets engines
    #[command(subcommand, arg_required_else_help = true)]
    Secrets(secrets::SecretsCommand),
    /// Put resources on lease; show, renew, keep alive, revoke, list, count and watch leases
    #[command(subcommand, arg_required_else_help = true)]
    Lease(lease::LeaseCommand),
    /// Write, show, list, delete and format policies
    #[command(subcommand, arg_required_else_help = true)]
    Policy(policy::PolicyCommand),
    /// Set, show, list and remove quotas: rate limits and lease counts
    #[command(subcommand, arg_required_else_help = true)]
    Quota(quota::QuotaCommand),
    /// Initialise, unseal, seal and change the cluster
    #[command(subcommand, arg_required_else_help = true)]
    Operator(operator::OperatorCommand),
    /// Show the version
    Version(version::VersionArgs),
}

/// Flags of every command that calls a server.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct CommonArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// What a command works with.
pub(crate) struct Context<'a> {
    pub(crate) env: &'a Env,
    pub(crate) console: &'a mut Console,
}

impl Context<'_> {
    /// A client with the token of the environment.
    fn client(&mut self, common: &CommonArgs) -> Result<Client, Failure> {
        common.connection.client(self.env, self.console)
    }

    /// A client without a token.
    fn anonymous(&self, common: &CommonArgs) -> Result<Client, Failure> {
        common.connection.anonymous(self.env)
    }
}

/// Runs a command and answers with its exit code.
pub(crate) fn run(command: Command, env: &Env, console: &mut Console) -> Result<u8, Failure> {
    let mut context = Context { env, console };
    match command {
        // The server brings its own runtime and handles its own signals.
        Command::Server(args) => server::run(&args),
        Command::Version(args) => version::run(&args, &mut context),
        Command::Status(args) => interruptible(status::run(args, &mut context)),
        Command::Token(command) => interruptible(token::run(command, &mut context)),
        Command::Auth(command) => interruptible(auth::run(command, &mut context)),
        Command::Lease(command) => interruptible(lease::run(command, &mut context)),
        Command::Policy(command) => interruptible(policy::run(command, &mut context)),
        Command::Quota(command) => interruptible(quota::run(command, &mut context)),
        Command::Read(args) => interruptible(read::run(args, &mut context)),
        Command::Write(args) => interruptible(write::run(args, &mut context)),
        Command::List(args) => interruptible(list::run(args, &mut context)),
        Command::Delete(args) => interruptible(delete::run(args, &mut context)),
        Command::Kv(command) => interruptible(kv::run(command, &mut context)),
        Command::Secrets(command) => interruptible(secrets::run(command, &mut context)),
        Command::Operator(command) => interruptible(operator::run(command, &mut context)),
    }
}

/// Runs a command until it ends or Ctrl-C is pressed. Ctrl-C drops it, which gives the
/// terminal its echo back where a secret was asked for.
fn interruptible<F>(command: F) -> Result<u8, Failure>
where
    F: Future<Output = Result<u8, Failure>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::local(format!("Error starting: {error}")))?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = command => outcome,
            Ok(()) = tokio::signal::ctrl_c() => Err(Failure::quiet(code::INTERRUPTED)),
        }
    });
    // A thread may still wait for a key press: it must not hold the process.
    runtime.shutdown_background();
    outcome
}

/// An id that no other call of this caller has. It needs to be unique, not secret: fresh
/// hash states are seeded at random.
fn new_request_id() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("cli-{:016x}{:016x}", random(), random())
}
