//! The table: operations a second of Tenure, of the bare stack under it and of OpenBao,
//! taken in turns in one run.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tenure_tests::server_cluster::Outcome;

use super::folder;
use crate::{
    bare::{Bare, Call},
    closed_loop::{Sample, Window},
    metrics::Written,
    openbao::OpenBao,
    operation::{Operation, Through},
    table::{Row, Table},
    tenure::{Counted, Tenure},
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
pub async fn run(arguments: Arguments, dir: &Path) -> Outcome<()> {
    println!(
        "{} s measured after {} s, median of {} rounds; in parentheses p50 / p99 and \
         the generator's share of a core.\n",
        arguments.seconds, arguments.warm, arguments.rounds
    );
    for nodes in &arguments.nodes {
        let stage = Stage::start(*nodes, &arguments, dir).await?;
        stage.measure(*nodes, &arguments).await?;
    }
    Ok(())
}

/// What takes turns.
#[derive(Clone, Copy)]
enum System {
    Plain,
    Bare,
    Tls,
    OpenBao,
}

const SYSTEMS: [System; 4] = [System::Plain, System::Bare, System::Tls, System::OpenBao];

/// The clusters that take turns.
struct Stage {
    plain: Tenure,
    tls: Option<Tenure>,
    bare: Option<Bare>,
    openbao: Option<OpenBao>,
    _folder: tempfile::TempDir,
}

impl Stage {
    async fn start(nodes: usize, arguments: &Arguments, dir: &Path) -> Outcome<Self> {
        let folder = folder(dir)?;
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
            let echo = match &self.bare {
                Some(bare) => {
                    let echo = bare.measure(Call::Echo, Through::Active, *clients, window);
                    Some(echo.await?)
                }
                None => None,
            };
            let mut table = Table {
                nodes,
                clients: *clients,
                echo,
                rows: Vec::new(),
            };
            for operation in arguments.operations.iter().copied() {
                for through in [Through::Active, Through::Standby] {
                    if through == Through::Standby && nodes == 1 {
                        continue;
                    }
                    let row = self.row(operation, through, *clients, arguments.rounds, window);
                    let row = row.await;
                    let row = row.map_err(|error| format!("{operation} ({through}): {error}"))?;
                    table.rows.push(row);
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
        let mut samples: [Vec<Sample>; 4] = Default::default();
        let (mut written, mut answered) = (Written::default(), Vec::new());
        for round in 0..rounds.max(1) {
            // Each round another one goes first, and meets the disk as the last one left it.
            // Tenure is the first of all: it says how much the bare stack has to write.
            for turn in 0..SYSTEMS.len() {
                let system = SYSTEMS[(round + turn) % SYSTEMS.len()];
                let measured = self.one(system, operation, through, clients, window, written);
                let (sample, counted) = measured.await?;
                samples[system as usize].extend(sample);
                if let Some(counted) = counted {
                    (written, answered) = (counted.written, counted.answered);
                }
            }
        }
        let [plain, bare, tls, peer] = samples;
        Ok(Row {
            operation,
            through,
            written,
            answered,
            tenure: Sample::median(plain),
            tls: Sample::median(tls),
            bare: Sample::median(bare),
            openbao: Sample::median(peer),
        })
    }

    /// Measures one system, if it takes part; says what Tenure counted.
    async fn one(
        &mut self,
        system: System,
        operation: Operation,
        through: Through,
        clients: usize,
        window: Window,
        written: Written,
    ) -> Outcome<(Option<Sample>, Option<Counted>)> {
        let sample = match system {
            System::Plain => {
                let measured = self.plain.measure(operation, through, clients, window);
                let (sample, counted) = measured.await?;
                return Ok((Some(sample), Some(counted)));
            }
            System::Bare => {
                let call = match operation.reads() {
                    true => Call::Get,
                    false => Call::Put(written),
                };
                let Some(cluster) = &self.bare else {
                    return Ok((None, None));
                };
                let measured = cluster.measure(call, through, clients, window);
                Some(measured.await?)
            }
            System::Tls => {
                let Some(cluster) = &mut self.tls else {
                    return Ok((None, None));
                };
                let measured = cluster.measure(operation, through, clients, window);
                Some(measured.await?.0)
            }
            System::OpenBao => match &self.openbao {
                Some(openbao) if operation.has_peer() => {
                    let measured = openbao.measure(operation, through, clients, window);
                    Some(measured.await?)
                }
                _ => None,
            },
        };
        Ok((sample, None))
    }
}
