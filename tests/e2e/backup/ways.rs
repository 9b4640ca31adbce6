//! The same through the command line and over HTTP, and who may.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tenure_client::proto::CreateTokenRequest;
use tenure_client::{Client, Code, Error};
use tenure_tests::server_cluster::{Outcome, ServerCluster, tenure_binary};

use super::{keep, kept, records, restore, save, state};
use crate::http_client::Http;
use crate::{ensure, make, run, text, three, wish};

fn tenure(cluster: &ServerCluster, index: usize, arguments: &[&str]) -> Outcome<Output> {
    let ca = cluster.node(index)?.dir.join("ca.pem");
    fs::write(&ca, cluster.authority.pem()).map_err(text)?;
    let mut command = Command::new(tenure_binary()?);
    command
        .args(arguments)
        .env_clear()
        .env("HOME", &cluster.node(index)?.dir)
        .env("TENURE_ADDR", cluster.node(index)?.url())
        .env("TENURE_CACERT", ca)
        .env("TENURE_TOKEN", cluster.root().expose());
    command.output().map_err(text)
}

fn good(cluster: &ServerCluster, index: usize, arguments: &[&str]) -> Outcome<String> {
    let output = tenure(cluster, index, arguments)?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure(output.status.success(), || {
        format!("{arguments:?}: {complaint}")
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The files of a folder.
fn names(dir: &Path) -> Outcome<Vec<String>> {
    let entries = fs::read_dir(dir).map_err(text)?;
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

/// Save, inspect, restore and resume as an operator does it. A file is for its owner alone; a
/// save that fails or is interrupted leaves nothing.
#[test]
fn the_command_line_saves_and_restores() {
    run(
        "backup::ways::the_command_line_saves_and_restores",
        async |scenario| {
            let mut cluster = three(scenario).await?;
            let root = cluster.client()?;
            keep(&root, "x", "before").await?;
            let active = cluster.wait_active().await?;
            let standby = (active + 1) % 3;
            let dir = scenario.dir().join("snapshots");
            fs::create_dir_all(&dir).map_err(text)?;
            let file = dir.join("a.snap");
            let path = file.to_str().ok_or("a path")?;
            let verb = ["operator", "raft", "snapshot"];
            let with = |last: &[&'static str]| {
                let mut all: Vec<&str> = verb.to_vec();
                all.extend(last);
                all.push(path);
                all.into_iter().map(str::to_owned).collect::<Vec<_>>()
            };
            let call = |words: Vec<String>, index: usize| {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                good(&cluster, index, &words)
            };
            call(with(&["save"]), standby)?;
            ensure(names(&dir)? == ["a.snap"], || "more than the file".into())?;
            let mode = fs::metadata(&file).map_err(text)?.permissions().mode() & 0o777;
            ensure(mode == 0o600, || format!("{mode:o}"))?;
            let saved = records(&fs::read(&file).map_err(text)?)?;
            let shown = call(with(&["inspect"]), standby)?;
            let id = cluster.members().await?.cluster_id;
            ensure(shown.contains(&id) && shown.contains("sha256"), || shown)?;

            keep(&root, "x", "after").await?;
            call(with(&["restore"]), standby)?;
            cluster.wait_active().await?;
            ensure(state(&root).await? == saved, || "not the saved one".into())?;
            let shown = good(&cluster, active, &["status"])?;
            ensure(shown.contains("expiration resume"), || shown)?;
            good(&cluster, standby, &["operator", "expiration", "resume"])?;
            let shown = good(&cluster, active, &["status"])?;
            ensure(!shown.contains("expiration resume"), || shown)?;

            // What is cut off is found out without a server.
            let whole = fs::read(&file).map_err(text)?;
            fs::write(&file, &whole[..whole.len() - 3]).map_err(text)?;
            for verb in [["inspect"], ["restore"]] {
                let words = with(&verb);
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let refused = tenure(&cluster, active, &words)?;
                let said = String::from_utf8_lossy(&refused.stderr).into_owned();
                ensure(refused.status.code() == Some(1), || said.clone())?;
                ensure(said.contains("cut off"), || said)?;
            }
            // A save that is refused.
            let lost = dir.join("lost.snap");
            let lost = lost.to_str().ok_or("a path")?;
            let words = ["operator", "raft", "snapshot", "save", lost];
            cluster.root_at(standby)?.seal().await.map_err(text)?;
            let refused = tenure(&cluster, standby, &words)?;
            ensure(!refused.status.success(), || "a sealed node saved".into())?;
            ensure(names(&dir)? == ["a.snap"], || format!("{:?}", names(&dir)))?;
            interrupted(&cluster, &dir).await
        },
    );
}

/// Ctrl-C while the server says nothing yet.
async fn interrupted(cluster: &ServerCluster, dir: &Path) -> Outcome<()> {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").map_err(text)?;
    let address = format!("http://{}", silent.local_addr().map_err(text)?);
    let file = dir.join("never.snap");
    let mut child = Command::new(tenure_binary()?)
        .args(["operator", "raft", "snapshot", "save"])
        .arg(&file)
        .env_clear()
        .env("HOME", dir)
        .env("TENURE_ADDR", address)
        .env("TENURE_TOKEN", cluster.root().expose())
        .spawn()
        .map_err(text)?;
    // It has begun: its file is there without its name.
    let begun = async || {
        let names = names(dir)?;
        ensure(names.iter().any(|name| name.ends_with(".partial")), || {
            format!("{names:?}")
        })
    };
    tenure_tests::server_cluster::until("it has begun", tenure_tests::server_cluster::SOON, begun)
        .await?;
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).map_err(text)?;
    let ended = child.wait().map_err(text)?;
    ensure(ended.code() == Some(130), || format!("{ended:?}"))?;
    ensure(names(dir)? == ["a.snap"], || format!("{:?}", names(dir)))
}

/// Row `snapshot`: over HTTP through any node, also through a standby; 204, older data back.
#[test]
fn http_saves_and_restores() {
    run("backup::ways::http_saves_and_restores", async |scenario| {
        let mut cluster = three(scenario).await?;
        let root = cluster.client()?;
        let token = cluster.root();
        // More than any message may have.
        super::fill(&root, 24).await?;
        keep(&root, "x", "before").await?;
        let active = cluster.wait_active().await?;
        for (through, n) in [(active, 0), ((active + 1) % 3, 1)] {
            let target = "/v1/sys/storage/raft/snapshot";
            let mut http = Http::to(&cluster, through, token.expose()).await?;
            let file = http.download(target).await?;
            let saved = records(&file)?;
            keep(&root, "x", "after").await?;
            let mut http = Http::to(&cluster, through, token.expose()).await?;
            let half = http.upload("POST", target, &file[..file.len() / 2]).await?;
            half.must_be(400)?;
            ensure(kept(&root, "x").await?.contains("after"), || {
                "restored".into()
            })?;
            let mut http = Http::to(&cluster, through, token.expose()).await?;
            let verb = ["POST", "PUT"][n];
            http.upload(verb, target, &file).await?.must_be(204)?;
            cluster.wait_active().await?;
            ensure(state(&root).await? == saved, || "not the saved one".into())?;
            for index in 0..3 {
                let value = kept(&cluster.root_at(index)?, "x").await?;
                ensure(value.contains("before"), || value)?;
            }
            let mut http = Http::to(&cluster, through, token.expose()).await?;
            let resumed = http.ask("POST", "sys/expiration/resume", "").await?;
            resumed.must_be(200)?.text("/data/held_since")?;
            let again = http.ask("POST", "sys/expiration/resume", "").await?;
            again.must_be(400)?;
        }
        for target in [
            "/v1/sys/storage/raft/snapshot",
            "/v1/sys/storage/raft/snapshot-force",
        ] {
            let mut http = Http::to(&cluster, active, "hvs.none").await?;
            http.upload("POST", target, b"x").await?.must_be(403)?;
        }
        Ok(())
    });
}

/// Each of them needs its operation with sudo on its own path; a call that is refused takes in
/// nothing.
#[test]
fn who_may() {
    run("backup::ways::who_may", async |scenario| {
        let cluster = three(scenario).await?;
        let root = cluster.client()?;
        let file = save(&root).await?;
        let snapshot = "sys/storage/raft/snapshot";
        let force = "sys/storage/raft/snapshot-force";
        let resume = "sys/expiration/resume";
        // Path, capabilities; may it save, restore, restore by force, resume?
        for (n, (path, capabilities, may)) in [
            (snapshot, r#""read", "sudo""#, [true, false, false, false]),
            (
                snapshot,
                r#""read", "update""#,
                [false, false, false, false],
            ),
            (snapshot, r#""update", "sudo""#, [false, true, false, false]),
            (force, r#""update", "sudo""#, [false, false, true, false]),
            (resume, r#""update", "sudo""#, [false, false, false, true]),
            (resume, r#""update""#, [false, false, false, false]),
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("who-{n}");
            let policy = format!(r#"path "{path}" {{ capabilities = [{capabilities}] }}"#);
            root.write_policy(&name, &policy).await.map_err(text)?;
            let request = CreateTokenRequest {
                policies: vec![name],
                ..wish("who")
            };
            let (token, _) = make(&root, request).await?;
            for index in 0..3 {
                let client = cluster.node(index)?.client_of(&token);
                // What is allowed fails by what it is given, and never changes anything.
                let answers = [
                    client.save_snapshot().await.err(),
                    restore(&client, &file[..20], false).await.err(),
                    restore(&client, &file[..20], true).await.err(),
                    client.resume_expiration().await.err(),
                ];
                for (which, (answer, may)) in answers.into_iter().zip(may).enumerate() {
                    let denied = answer.as_ref().map(Error::code) == Some(Code::PermissionDenied);
                    ensure(denied != may, || {
                        format!("{path} {capabilities}, call {which} on {index}: {answer:?}")
                    })?;
                }
            }
        }
        limited(&cluster, &root, &file).await
    });
}

/// A token with limited uses pays for a save wherever it asks, and needs one use more than it
/// pays to restore.
async fn limited(cluster: &ServerCluster, root: &Client, file: &[u8]) -> Outcome<()> {
    for (uses, restores) in [(1, false), (2, true)] {
        let request = CreateTokenRequest {
            policies: vec!["root".to_owned()],
            num_uses: Some(uses),
            ..CreateTokenRequest::default()
        };
        let (token, _) = make(root, request).await?;
        let client = cluster.node(uses as usize)?.client_of(&token);
        let restored = restore(&client, file, false).await;
        ensure(restored.is_ok() == restores, || {
            format!("{uses}: {restored:?}")
        })?;
    }
    let request = CreateTokenRequest {
        policies: vec!["root".to_owned()],
        num_uses: Some(1),
        ..CreateTokenRequest::default()
    };
    let (token, _) = make(root, request).await?;
    let client = cluster.node(1)?.client_of(&token);
    records(&save(&client).await?)?;
    let again = save(&client).await;
    ensure(again.is_err(), || "a second use".into())
}
