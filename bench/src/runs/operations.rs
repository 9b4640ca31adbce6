//! The table: operations a second of Tenure, of the bare stack under it and of OpenBao,
//! taken in turns in one run.

use std::{path::PathBuf, time::Duration};

use tenure_tests::server_cluster::Outcome;

use super::folder;
use crate::{
    bare::{Bare, Call},
    closed_loop::{Sample, Window},
    openbao::OpenBao,
    operation::{Operation, Through},
    table::{Row, Table},
    tenure::Tenure,
};

/// What the table holds.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Clusters of so many nodes
    #[arg(long, value_delimiter = ',', default_value = "3,1")]
    nodes: Vec<usize>,
    /// So many clients at once
    #[arg(long, value_delimiter = ',', default_value = "64,16,1")]
    clients: Vec<usize>,
    /// Seconds that are measured, each time
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Seconds before that
    #[arg(long, default_value_t = 1)]
    warm: u64,
    /// Times that each point is measured, the systems taking turns; the median is shown
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The program `bao`; without it OpenBao is left out
    #[arg(long)]
    openbao: Option<PathBuf>,
    /// Only these operations: create, lookup-self, renew-self, revoke, grant-lease
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Operation::ALL)]
    operations: Vec<Operation>,
    /// Leave the bare stack out
    #[arg(long)]
    no_bare: bool,
    /// Leave TLS out
    #[arg(long)]
    no_tls: bool,
}

/// Prints the table.
///
/// # Errors
/// What didn't work, for people.
pub async fn run(arguments: Arguments) -> Outcome<()> {
    println!(
        "{} s measured after {} s, median of {} rounds; ms are p50 / p99.\n",
        arguments.seconds, arguments.warm, arguments.rounds
    );
    for nodes in &arguments.nodes {
        let stage = Stage::start(*nodes, &arguments).await?;
        stage.measure(*nodes, &arguments).await?;
    }
    Ok(())
}

/// The clusters that take turns.
struct Stage {
    plain: Tenure,
    tls: Option<Tenure>,
    bare: Option<Bare>,
    openbao: Option<OpenBao>,
    _folder: tempfile::TempDir,
}

impl Stage {
    async fn start(nodes: usize, arguments: &Arguments) -> Outcome<Self> {
        let folder = folder()?;
        let path = folder.path();
        let openbao = match &arguments.openbao {
            Some(program) => Some(OpenBao::start(program, &path.join("openbao"), nodes).await?),
            None => None,
        };
        let tls = match arguments.no_tls {
            true => None,
            false => Some(Tenure::start(&path.join("tls"), nodes, true).await?),
        };
        let bare = match arguments.no_bare {
            true => None,
            false => Some(Bare::start(&path.join("bare"), nodes).await?),
        };
        Ok(Self {
            plain: Tenure::start(&path.join("plain"), nodes, false).await?,
            tls,
            bare,
            openbao,
            _folder: folder,
        })
    }

    async fn measure(mut self, nodes: usize, arguments: &Arguments) -> Outcome<()> {
        let window = Window {
            warm: Duration::from_secs(arguments.warm),
            measured: Duration::from_secs(arguments.seconds),
        };
        for clients in &arguments.clients {
            let mut table = Table::new(nodes, *clients);
            if let Some(bare) = &self.bare {
                let echo = bare.measure(Call::Echo, Through::Active, *clients, window);
                table.echo(echo.await?);
            }
            for operation in arguments.operations.iter().copied() {
                for through in [Through::Active, Through::Standby] {
                    if through == Through::Standby && nodes == 1 {
                        continue;
                    }
                    let row = self.row(operation, through, *clients, arguments.rounds, window);
                    let row = row.await;
                    table.push(row.map_err(|error| format!("{operation} ({through}): {error}"))?);
                }
            }
            println!("{table}");
        }
        Ok(())
    }

    async fn row(
        &mut self,
        operation: Operation,
        through: Through,
        clients: usize,
        rounds: usize,
        window: Window,
    ) -> Outcome<Row> {
        let (mut plain, mut tls, mut bare, mut peer) = (vec![], vec![], vec![], vec![]);
        let mut written = Default::default();
        for _ in 0..rounds.max(1) {
            let measured = self.plain.measure(operation, through, clients, window);
            let (sample, wrote) = measured.await?;
            plain.push(sample);
            written = wrote;
            let call = match operation.reads() {
                true => Call::Get,
                false => Call::Put(written),
            };
            if let Some(cluster) = &self.bare {
                bare.push(cluster.measure(call, through, clients, window).await?);
            }
            if let Some(cluster) = &mut self.tls {
                let measured = cluster.measure(operation, through, clients, window);
                tls.push(measured.await?.0);
            }
            if let Some(openbao) = &self.openbao
                && operation.has_peer()
            {
                let measured = openbao.measure(operation, through, clients, window);
                peer.push(measured.await?);
            }
        }
        Ok(Row {
            operation,
            through,
            written,
            tenure: Sample::median(plain),
            tls: Sample::median(tls),
            bare: Sample::median(bare),
            openbao: Sample::median(peer),
        })
    }
}
