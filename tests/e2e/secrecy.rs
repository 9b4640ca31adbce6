//! Disks and logs hold no secret and no name: distinctive strings go in through every field,
//! and every byte that the nodes wrote is searched for them, raw, in base64 and in hex.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use tenure_client::Secret;
use tenure_client::proto::{
    CreateTokenRequest, GrantLeaseRequest, MountRequest, RekeyTarget, StartRekeyRequest,
    WriteRequest,
};
use tenure_tests::Scenario;
use tenure_tests::server_cluster::{Outcome, ServerCluster, ServerOptions};

use crate::http_client::Http;
use crate::{ensure, make, run, start, text, wish};

/// Planted bugs: the token of a forwarded call in a TRACE line; the URI of an HTTP request in one.
/// Caught. The scan itself is
/// tested on planted canaries in each run.
#[test]
fn no_name_and_no_secret_on_disk_or_in_logs() {
    run(
        "secrecy::no_name_and_no_secret_on_disk_or_in_logs",
        async |scenario| {
            let options = ServerOptions {
                log_level: "trace".to_owned(),
                ..ServerOptions::new(3)?
            };
            let mut cluster = start(scenario, options).await?;
            let mut canaries = work(&mut cluster).await?;
            quorum(&mut cluster, &mut canaries).await?;
            let keys = cluster.keys()?.clone();
            canaries.push(("the root token", keys.root.expose().as_bytes().to_vec()));
            for share in keys.shares {
                canaries.push(("a share", share));
            }
            // On a clean end all that is in memory reaches the disk.
            for node in &mut cluster.nodes {
                node.process()?.terminate();
            }
            for node in &mut cluster.nodes {
                let end = node
                    .process()?
                    .wait_exit(std::time::Duration::from_secs(30))?;
                ensure(end.success(), || format!("{} ended with {end}", node.name))?;
            }
            let mut files = Vec::new();
            for node in &cluster.nodes {
                list(&node.data, &mut files)?;
            }
            let data = files.len();
            ensure(data > 10, || {
                format!("only {data} data files: the scan proves nothing")
            })?;
            list(&scenario.logs(), &mut files)?;
            planted_canary_is_found(scenario)?;
            let searched = Canaries::new(&canaries);
            let mut bytes = 0;
            for file in &files {
                bytes += searched.scan(file)?;
            }
            scenario.say(format!(
                "{} canaries, {} files, {bytes} bytes",
                canaries.len(),
                files.len()
            ));
            ensure(bytes > 100_000, || {
                format!("only {bytes} bytes: the scan proves nothing")
            })
        },
    );
}

/// The same of the fields of leases; all their canaries are alike.
async fn leases(cluster: &ServerCluster, index: usize) -> Outcome<()> {
    let root = cluster.root_at(index)?;
    let name = |what: &str| format!("QZJXKlease{what}{index}VWPTGH");
    let path = format!("{}/{}", name("a"), name("b"));
    let request = GrantLeaseRequest {
        path: path.clone(),
        payload: name("payload").into_bytes(),
        request_id: name("request"),
        ..GrantLeaseRequest::default()
    };
    let granted = root.grant_lease(request).await.map_err(text)?;
    let elsewhere = cluster.root_at((index + 1) % 3)?;
    let found = elsewhere.lookup_lease(&granted.lease_id).await;
    let payload = found.map_err(text)?.payload;
    ensure(payload == Some(name("payload").into_bytes()), || {
        "another payload".into()
    })?;
    let listed = elsewhere.list_leases(&path, 0, "").await.map_err(text)?;
    ensure(listed.leases.len() == 1, || {
        format!("{} leases", listed.leases.len())
    })?;
    elsewhere
        .renew_lease(&granted.lease_id, None)
        .await
        .map_err(text)?;
    let unknown = format!("{path}/{}", "a".repeat(24));
    ensure(root.lookup_lease(&unknown).await.is_err(), || {
        "an unknown lease is shown".into()
    })?;
    root.revoke_prefix(&path).await.map_err(text)
}

/// The same at the HTTP door: in the path, the query, the headers and the body, well and badly.
async fn over_http(cluster: &ServerCluster, index: usize) -> Outcome<()> {
    let name = |what: &str| format!("QZJXKhttp{what}{index}VWPTGH");
    let root = cluster.root();
    let mut http = Http::to(cluster, index, root.expose()).await?;
    let grant = format!("sys/leases/grant/{}", name("path"));
    let granted = http.ask("PUT", &grant, "").await?.must_be(200)?;
    let renew = format!("sys/leases/renew/{}", granted.text("/lease_id")?);
    http.ask("PUT", &renew, "").await?.must_be(200)?;
    let body = format!(
        r#"{{"id":"{}","meta":{{"{}":"{}"}},"{}":1}}"#,
        name("id"),
        name("key"),
        name("value"),
        name("unknown")
    );
    let made = http.ask("POST", "auth/token/create", &body).await?;
    made.must_be(200)?;
    let query = format!("auth/token/lookup?token={}&{}=1", name("id"), name("query"));
    http.ask("GET", &query, "").await?.must_be(200)?;
    for (verb, path, body, status) in [
        ("GET", name("mount"), String::new(), 404),
        ("GET", format!("a/../{}", name("dots")), String::new(), 400),
        (
            "POST",
            "auth/token/create".to_owned(),
            format!(r#"{{"ttl":"{}""#, name("broken")),
            400,
        ),
        (
            "POST",
            "auth/token/create".to_owned(),
            format!(r#"{{"ttl":"{}"}}"#, name("ttl")),
            400,
        ),
        (
            "POST",
            "sys/unseal".to_owned(),
            format!(r#"{{"key":"{}"}}"#, name("share")),
            400,
        ),
    ] {
        http.ask(verb, &path, &body).await?.must_be(status)?;
    }
    let headers = format!(
        "x-vault-token: {}\r\nx-vault-namespace: {}\r\n",
        name("token"),
        name("namespace")
    );
    let target = "/v1/auth/token/lookup-self";
    http.send("GET", target, &headers, "").await?.must_be(404)?;
    let wrong = name("wrong");
    http.with(&wrong)
        .ask("GET", "auth/token/lookup-self", "")
        .await?
        .must_be(403)?;
    Ok(())
}

/// The same of mounts, kv of both versions and the cubbyhole.
async fn secrets(cluster: &ServerCluster, index: usize) -> Outcome<()> {
    let root = cluster.root_at(index)?;
    let elsewhere = cluster.root_at((index + 1) % 3)?;
    let name = |what: &str| format!("QZJXKsecret{what}{index}VWPTGH");
    let data = format!(r#"{{"{}":"{}"}}"#, name("key"), name("value"));
    let versioned = format!(r#"{{"data":{data},"{}":1}}"#, name("unknown"));
    for kind in ["kv-v1", "kv-v2"] {
        let mount = name(kind);
        root.mount(MountRequest {
            path: mount.clone(),
            r#type: kind.to_owned(),
            description: name("description"),
            ..MountRequest::default()
        })
        .await
        .map_err(text)?;
        let (part, body) = match kind {
            "kv-v1" => (String::new(), data.clone()),
            _ => ("/data".to_owned(), versioned.clone()),
        };
        let path = format!("{mount}{part}/{}/{}", name("folder"), name("name"));
        let write = |path: &str, body: &str| WriteRequest {
            path: path.to_owned(),
            data: body.as_bytes().to_vec(),
            request_id: format!("{}{kind}", name("request")),
        };
        root.write(write(&path, &body)).await.map_err(text)?;
        let read = elsewhere.read(&path, b"").await.map_err(text)?;
        let shown = String::from_utf8_lossy(&read.data).contains(&name("value"));
        ensure(shown, || "another secret is read".into())?;
        // What is wrong must not be written down either.
        let broken = format!("{body}{}", name("broken"));
        let wrong = root.write(write(&format!("{path}x"), &broken)).await;
        let unknown = root.read(&name("nomount"), b"").await;
        ensure(wrong.is_err() && unknown.is_err(), || {
            "what is wrong is taken".into()
        })?;
    }
    let own = WriteRequest {
        path: format!("cubbyhole/{}", name("cubbyhole")),
        data: data.into_bytes(),
        ..WriteRequest::default()
    };
    root.write(own).await.map(drop).map_err(text)
}

/// What a quorum gives and is given: shares in force and wrong ones, new shares, the root key
/// itself (as the only share), one-time passwords, a root token, encoded and not.
async fn quorum(
    cluster: &mut ServerCluster,
    canaries: &mut Vec<(&'static str, Vec<u8>)>,
) -> Outcome<()> {
    let standby = cluster.standby().await?;
    let root = cluster.root_at(standby)?;
    let keys = cluster.keys()?.clone();
    root.rotate().await.map_err(text)?;

    let otp = "QZJXKotp012345678901234567VWPTGH";
    let begun = root.start_generate_root(otp).await.map_err(text)?;
    let nonce = begun.status.ok_or("no status")?.nonce;
    let mut wrong = keys.shares[0].clone();
    wrong[1] ^= 0x55;
    for share in [&wrong, &keys.shares[1]] {
        root.update_generate_root(&nonce, share)
            .await
            .map_err(text)?;
    }
    let refused = root.update_generate_root(&nonce, &keys.shares[2]).await;
    ensure(refused.is_err(), || {
        "a wrong share made a root token".into()
    })?;
    let mut encoded = String::new();
    for share in keys.quorum() {
        let given = root.update_generate_root(&nonce, share).await;
        encoded = given.map_err(text)?.encoded_token;
    }
    let token = STANDARD_NO_PAD.decode(&encoded).map_err(text)?;
    let token = token.iter().zip(otp.bytes()).map(|(a, b)| a ^ b).collect();
    canaries.push(("an encoded root token", encoded.into_bytes()));
    canaries.push(("a generated root token", token));
    canaries.push(("a wrong share", wrong));

    // One share alone: that is the root key.
    let request = StartRekeyRequest {
        shares: 1,
        threshold: 1,
        require_verification: true,
        ..StartRekeyRequest::default()
    };
    let target = RekeyTarget::Root;
    let nonce = root.start_rekey(request).await.map_err(text)?.nonce;
    let mut made = None;
    for share in keys.quorum() {
        made = Some(
            root.update_rekey(target, &nonce, share)
                .await
                .map_err(text)?,
        );
    }
    let made = made.ok_or("nothing was made")?;
    let nonce = made.status.ok_or("no status")?.verification_nonce;
    let share = made.shares.first().ok_or("no share")?;
    let proven = root.verify_rekey(target, &nonce, share).await;
    ensure(proven.map_err(text)?.complete, || "not proven".into())?;
    canaries.push(("the root key", share.clone()));
    Ok(())
}

/// Uses every field that holds text, through every node, well and badly.
async fn work(cluster: &mut ServerCluster) -> Outcome<Vec<(&'static str, Vec<u8>)>> {
    let mut canaries: Vec<(&'static str, Vec<u8>)> = Vec::new();
    for index in 0..3 {
        let root = cluster.root_at(index)?;
        let (id, other) = (
            format!("QZJXKcustom{index}VWPTGH"),
            format!("QZJXKwrong{index}VWPTGH"),
        );
        let request = CreateTokenRequest {
            id: Some(id.clone()),
            policies: vec![format!("qzjxkpolicy{index}vwptgh"), "service".to_owned()],
            meta: [(
                format!("QZJXKkey{index}VWPTGH"),
                format!("QZJXKvalue{index}VWPTGH"),
            )]
            .into(),
            display_name: format!("QZJXKdisplay{index}VWPTGH"),
            request_id: format!("QZJXKrequest{index}VWPTGH"),
            ..wish("")
        };
        let rule = format!(r#"path "sys/QZJXKrule{index}VWPTGH/*" {{ capabilities = ["read"] }}"#);
        let policy = format!("qzjxkpolicy{index}vwptgh");
        root.write_policy(&policy, &rule).await.map_err(text)?;
        ensure(
            root.read_policy(&policy).await.map_err(text)? == rule,
            || "another policy is shown".into(),
        )?;
        ensure(
            root.write_policy(&policy, &format!("{rule} QZJXKrule{index}VWPTGH"))
                .await
                .is_err(),
            || "a malformed policy was written".into(),
        )?;
        let (token, accessor) = make(&root, request.clone()).await?;
        make(&root, request).await?;
        let (made, made_accessor) = make(&cluster.node(index)?.client_of(&token), wish("")).await?;
        for token in [&token, &made] {
            cluster.node((index + 1) % 3)?.accepts(token).await?;
            root.renew_token(token, None).await.map_err(text)?;
        }
        leases(cluster, index).await?;
        over_http(cluster, index).await?;
        secrets(cluster, index).await?;
        let (dead, dead_accessor) = make(&root, wish("")).await?;
        root.revoke_accessor(&dead_accessor).await.map_err(text)?;
        // What is wrong must not be written down either.
        let wrong = Secret::new(other.clone());
        let refused = root.lookup_token(&wrong).await.is_err()
            && root
                .lookup_accessor(&format!("QZJXKaccessor{index}VWPTGH"))
                .await
                .is_err()
            && cluster
                .node(index)?
                .client_of(&wrong)
                .lookup_self()
                .await
                .is_err()
            && cluster
                .node(index)?
                .client_of(&dead)
                .lookup_self()
                .await
                .is_err();
        ensure(refused, || "a wrong token is accepted".into())?;
        let minted = root.create_join_token(None).await.map_err(text)?;
        let _ = root
            .unseal(format!("QZJXKshare{index}VWPTGH").as_bytes())
            .await;
        for (what, token) in [("a token", &made), ("a revoked token", &dead)] {
            canaries.push((what, token.expose().as_bytes().to_vec()));
            // The random part alone, too.
            let random = token.expose().rsplit('.').next().unwrap_or_default();
            canaries.push((what, random.as_bytes().to_vec()));
        }
        for accessor in [accessor, made_accessor, dead_accessor] {
            canaries.push(("an accessor", accessor.into_bytes()));
        }
        canaries.push(("a join token", minted.token.expose().as_bytes().to_vec()));
    }
    canaries.push(("a canary", b"QZJXK".to_vec()));
    canaries.push(("a canary", b"qzjxk".to_vec()));
    canaries.push(("a canary's end", b"VWPTGH".to_vec()));
    canaries.push(("a canary's end", b"vwptgh".to_vec()));
    Ok(canaries)
}

fn list(dir: &Path, files: &mut Vec<PathBuf>) -> Outcome<()> {
    for entry in fs::read_dir(dir).map_err(text)? {
        let path = entry.map_err(text)?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// What is searched for, by its first two bytes: each file is read through once.
struct Canaries {
    /// (what it is, its spelling, its bytes), by the first two bytes.
    by_start: Vec<Vec<(&'static str, &'static str, Vec<u8>)>>,
}

impl Canaries {
    fn new(canaries: &[(&'static str, Vec<u8>)]) -> Self {
        let mut by_start = vec![Vec::new(); 1 << 16];
        for (what, canary) in canaries {
            for (spelling, text) in spellings(canary) {
                let start = usize::from(text[0]) << 8 | usize::from(text[1]);
                by_start[start].push((*what, spelling, text));
            }
        }
        Self { by_start }
    }

    /// Searches a file, its name too.
    fn scan(&self, file: &Path) -> Outcome<usize> {
        let mut bytes = fs::read(file).map_err(text)?;
        let len = bytes.len();
        bytes.extend_from_slice(file.to_string_lossy().as_bytes());
        for (at, pair) in bytes.windows(2).enumerate() {
            let start = usize::from(pair[0]) << 8 | usize::from(pair[1]);
            for (what, spelling, text) in &self.by_start[start] {
                if bytes[at..].starts_with(text) {
                    return Err(format!(
                        "{what} ({spelling}) is in {} at {at}",
                        file.display()
                    ));
                }
            }
        }
        Ok(len)
    }
}

fn spellings(canary: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = vec![
        ("raw", canary.to_vec()),
        ("hex", hex::encode(canary).into_bytes()),
        ("HEX", hex::encode_upper(canary).into_bytes()),
    ];
    // Base64 depends on where the text stands within three bytes: the inner part of each of
    // the three cases, without the characters that its neighbours share.
    for shift in 0..3 {
        let padded = [&[0_u8; 2][..shift], canary].concat();
        for (spelling, coded) in [
            ("base64", STANDARD_NO_PAD.encode(&padded)),
            ("base64url", URL_SAFE_NO_PAD.encode(&padded)),
        ] {
            let inner = coded.as_bytes();
            let from = if shift == 0 { 0 } else { shift + 1 };
            let to = inner
                .len()
                .saturating_sub(usize::from(padded.len() % 3 != 0));
            // Too short to mean anything: a short canary has a longer fellow.
            if to > from + 6 {
                all.push((spelling, inner[from..to].to_vec()));
            }
        }
    }
    all
}

/// The scan finds what it looks for, in each spelling.
fn planted_canary_is_found(scenario: &Scenario) -> Outcome<()> {
    let file = scenario.dir().join("planted");
    let canary: [(&'static str, Vec<u8>); 1] = [("planted", b"QZJXKplantedVWPTGH".to_vec())];
    let secret = &canary[0].1;
    for before in ["", "x", "xy", "xyz"] {
        let line = [before.as_bytes(), secret, b"tail"].concat();
        let spelled: [Vec<u8>; 4] = [
            line.clone(),
            hex::encode(&line).into_bytes(),
            STANDARD_NO_PAD.encode(&line).into_bytes(),
            URL_SAFE_NO_PAD.encode(&line).into_bytes(),
        ];
        for bytes in spelled {
            fs::write(&file, [b"noise ".as_slice(), &bytes, b" noise"].concat()).map_err(text)?;
            ensure(Canaries::new(&canary).scan(&file).is_err(), || {
                "the scan misses a canary".into()
            })?;
        }
    }
    fs::remove_file(&file).map_err(text)
}
