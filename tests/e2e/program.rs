//! The program itself: `tenure server -dev`, the commands of its users, their exit codes.

use std::path::Path;
use std::process::{Command, Output};

use tenure_tests::Process;
use tenure_tests::ports::free_address;
use tenure_tests::server_cluster::{
    Outcome, SOON, ServerCluster, ServerOptions, tenure_binary, until,
};

use crate::{ensure, run, run_with_input, text};

/// A user at a terminal: an address, a home folder, perhaps a token.
pub struct User<'a> {
    pub home: &'a Path,
    pub address: String,
    pub ca: Option<String>,
    pub token: Option<String>,
}

impl User<'_> {
    fn run(&self, arguments: &[&str]) -> Outcome<Output> {
        self.run_with(arguments, "")
    }

    fn run_with(&self, arguments: &[&str], input: &str) -> Outcome<Output> {
        let mut command = Command::new(tenure_binary()?);
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.home)
            .env("TENURE_ADDR", &self.address);
        if let Some(ca) = &self.ca {
            command.env("TENURE_CACERT", ca);
        }
        if let Some(token) = &self.token {
            command.env("TENURE_TOKEN", token);
        }
        run_with_input(&mut command, input)
    }

    /// Runs it, expects success, and gives what it printed.
    pub fn good(&self, arguments: &[&str]) -> Outcome<String> {
        self.good_with(arguments, "")
    }

    pub fn good_with(&self, arguments: &[&str], input: &str) -> Outcome<String> {
        let output = self.run_with(arguments, input)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        let what = || format!("tenure {arguments:?}: {}\n{said}{complaint}", output.status);
        ensure(output.status.success(), what)?;
        Ok(said)
    }

    pub fn code(&self, arguments: &[&str]) -> Outcome<Option<i32>> {
        Ok(self.run(arguments)?.status.code())
    }
}

/// Two terminals: a development server, and a user who makes a token.
#[test]
fn a_development_server_and_its_user() {
    run(
        "program::a_development_server_and_its_user",
        async |scenario| {
            let home = scenario.dir().join("home");
            std::fs::create_dir_all(&home).map_err(text)?;
            let address = free_address();
            let mut command = Command::new(tenure_binary()?);
            command
                .args(["server", "-dev", &format!("-dev-listen-address={address}")])
                .env_clear()
                .env("HOME", &home);
            let mut server = Process::spawn(command, &scenario.logs(), "dev").map_err(text)?;
            let user = User {
                home: &home,
                address: format!("http://{address}"),
                ca: None,
                token: None,
            };
            until("the development server is unsealed", SOON, async || {
                if let Some(end) = server.exited() {
                    return Ok(Err(format!("it ended: {end}")));
                }
                match user.code(&["status"])? {
                    Some(0) => Ok(Ok(())),
                    code => Err(format!("status exits {code:?}")),
                }
            })
            .await??;
            until("its token is stored", SOON, async || {
                user.good(&["token", "lookup"]).map(drop)
            })
            .await?;
            let said = std::fs::read_to_string(server.stdout()).map_err(text)?;
            ensure(
                said.contains("Root token") && said.contains("TENURE_ADDR"),
                || said,
            )?;

            // As in the manual, with the token of ~/.tenure-token.
            let table = user.good(&["token", "create", "-ttl=10h", "-policy=default"])?;
            ensure(
                table.contains("token_duration") && table.contains("10h"),
                || table.clone(),
            )?;
            for arguments in [
                ["token", "create", "--ttl", "10h", "-format=json"],
                ["token", "create", "-ttl", "36000", "-format=json"],
            ] {
                let json: serde_json::Value =
                    serde_json::from_str(&user.good(&arguments)?).map_err(text)?;
                ensure(json["auth"]["lease_duration"] == 36_000, || {
                    format!("{json}")
                })?;
            }
            let token = user.good(&["token", "create", "-ttl=1h", "-field=token"])?;
            let holder = User {
                token: Some(token.trim().to_owned()),
                address: user.address.clone(),
                ..user
            };
            let shown = holder.good(&["token", "lookup", "-format=yaml"])?;
            ensure(shown.contains("display_name"), || shown.clone())?;
            holder.good(&["token", "renew", "-increment=2h"])?;
            let user = User {
                home: &home,
                token: None,
                ca: None,
                address: holder.address.clone(),
            };
            user.good_with(&["token", "revoke", "-"], &token)?;
            ensure(holder.code(&["token", "lookup"])? == Some(2), || {
                "a revoked token works".into()
            })?;

            server.terminate();
            let end = server.wait_exit(SOON)?;
            ensure(end.success(), || {
                format!("the development server ended with {end}")
            })?;
            ensure(user.code(&["status"])? == Some(1), || {
                "status without a server".into()
            })
        },
    );
}

/// A whole cluster by its commands alone, and the exit codes of status.
#[test]
fn an_operator_at_work() {
    run("program::an_operator_at_work", async |scenario| {
        let mut cluster =
            ServerCluster::spawn(scenario.dir(), &scenario.logs(), ServerOptions::new(3)?).await?;
        let ca = scenario.dir().join("ca.pem");
        std::fs::write(&ca, cluster.authority.pem()).map_err(text)?;
        let at = |index: usize, token: Option<&str>| -> Outcome<User<'_>> {
            Ok(User {
                home: scenario.dir(),
                address: cluster.node(index)?.url(),
                ca: Some(ca.display().to_string()),
                token: token.map(str::to_owned),
            })
        };
        ensure(at(0, None)?.code(&["status"])? == Some(2), || {
            "status before init".into()
        })?;
        let made = at(0, None)?.good(&[
            "operator",
            "init",
            "-key-shares=5",
            "-key-threshold=3",
            "-format=json",
        ])?;
        let made: serde_json::Value = serde_json::from_str(&made).map_err(text)?;
        let root = made["root_token"]
            .as_str()
            .ok_or("no root token")?
            .to_owned();
        let shares: Vec<String> = made["unseal_keys_b64"]
            .as_array()
            .ok_or("no shares")?
            .iter()
            .filter_map(|share| share.as_str().map(str::to_owned))
            .collect();
        ensure(shares.len() == 5, || format!("{} shares", shares.len()))?;
        ensure(at(0, None)?.code(&["status"])? == Some(2), || {
            "status while sealed".into()
        })?;
        for index in 0..3 {
            let node = cluster.node(index)?;
            until(
                "the node knows how many shares it needs",
                SOON,
                async || match node.status().await {
                    Ok(status) if status.threshold == 3 => Ok(()),
                    Ok(status) => Err(format!("{status:?}")),
                    Err(error) => Err(error.to_string()),
                },
            )
            .await?;
            for share in &shares[..3] {
                at(index, None)?.good_with(&["operator", "unseal", "-"], share)?;
            }
            until("status exits 0", SOON, async || {
                match at(index, None)?.code(&["status"])? {
                    Some(0) => Ok(()),
                    code => Err(format!("{code:?}")),
                }
            })
            .await?;
        }
        let admin = at(1, Some(&root))?;
        until("three peers are listed", SOON, async || {
            let peers = admin.good(&["operator", "raft", "list-peers", "-format=json"])?;
            let count = (1..=3)
                .filter(|n| peers.contains(&format!("node-{n}")))
                .count();
            if count == 3 { Ok(()) } else { Err(peers) }
        })
        .await?;
        let token = admin.good(&["token", "create", "-policy=default", "-field=token"])?;
        let denied = at(2, Some(token.trim()))?.code(&["operator", "seal"])?;
        ensure(denied == Some(2), || {
            format!("seal without root: {denied:?}")
        })?;
        until("it steps down", SOON, async || {
            admin.good(&["operator", "step-down"]).map(drop)
        })
        .await?;
        at(2, Some(&root))?.good(&["operator", "seal"])?;
        ensure(at(2, None)?.code(&["status"])? == Some(2), || {
            "status after seal".into()
        })?;
        // Errors of the caller's side exit 1; a server that says no, 2.
        let nobody = User {
            address: format!("https://{}", free_address()),
            ..at(0, None)?
        };
        ensure(nobody.code(&["status"])? == Some(1), || {
            "status of nobody".into()
        })?;
        let stranger = User {
            ca: None,
            ..at(0, None)?
        };
        ensure(stranger.code(&["status"])? == Some(1), || {
            "status of an unknown issuer".into()
        })?;
        let unknown = at(0, Some("hvs.unknown"))?.code(&["token", "lookup"])?;
        ensure(unknown == Some(2), || {
            format!("lookup of an unknown token: {unknown:?}")
        })?;
        ensure(admin.code(&["no-such-command"])? == Some(127), || {
            "an unknown command".into()
        })?;
        for bad in [
            vec!["token", "create", "-ttl=-5s"],
            vec!["token", "create", "-ttl=eternity"],
            vec!["token", "create", "-no-such-flag"],
            vec!["server", "-config=/nonexistent/file.hcl"],
            vec!["server"],
        ] {
            let code = admin.code(&bad)?;
            ensure(code == Some(1), || format!("{bad:?} exits {code:?}"))?;
        }
        for node in &mut cluster.nodes {
            ensure(node.runs(), || format!("{} died", node.name))?;
        }
        Ok(())
    });
}
