//! Mounts and secrets through the whole cluster: any node serves them, a mount takes its secrets
//! with it, a cubbyhole ends with its token, and a change of leader loses none of them.

use tenure_client::proto::{MountRequest, WriteRequest, WriteResponse};
use tenure_client::{Client, Error};
use tenure_tests::server_cluster::Outcome;

use crate::{ensure, make, run, text, three, wish};

async fn mount(client: &Client, path: &str, kind: &str) -> Outcome<()> {
    let request = MountRequest {
        path: path.to_owned(),
        r#type: kind.to_owned(),
        ..MountRequest::default()
    };
    client.mount(request).await.map(drop).map_err(text)
}

async fn write(client: &Client, path: &str, data: &str) -> Result<WriteResponse, Error> {
    let request = WriteRequest {
        path: path.to_owned(),
        data: data.as_bytes().to_vec(),
        ..WriteRequest::default()
    };
    client.write(request).await
}

async fn read(client: &Client, path: &str) -> Outcome<String> {
    let read = client.read(path, b"").await.map_err(text)?;
    Ok(String::from_utf8_lossy(&read.data).into_owned())
}

/// The answer is a refusal with this reason.
fn refused<T>(answer: Result<T, Error>, reason: &str) -> Outcome<()> {
    match answer {
        Ok(_) => Err(format!("taken, not refused with {reason}")),
        Err(error) if error.reason() == Some(reason) => Ok(()),
        Err(error) => Err(format!("{error}, not {reason}")),
    }
}

/// Written through one node, read through each; moved, unmounted, mounted anew.
#[test]
fn secrets_through_every_node() {
    run("secrets::secrets_through_every_node", async |scenario| {
        let cluster = three(scenario).await?;
        for through in 0..3 {
            let root = cluster.root_at(through)?;
            let next = cluster.root_at((through + 1) % 3)?;
            let (one, two) = (format!("one{through}"), format!("team/two{through}"));
            mount(&root, &one, "kv").await?;
            // Another node takes a write under a mount that was made a moment ago.
            let path = format!("{one}/a/b");
            let data = r#"{"n":12345678901234567890123,"z":1,"a":2}"#;
            write(&next, &path, data).await.map_err(text)?;
            mount(&next, &two, "kv-v2").await?;
            let versioned = format!("{two}/data/a");
            let body = r#"{"data":{"k":"v"},"options":{"cas":0}}"#;
            write(&root, &versioned, body).await.map_err(text)?;
            refused(write(&next, &versioned, body).await, "CAS_MISMATCH")?;
            for index in 0..3 {
                let node = cluster.root_at(index)?;
                ensure(read(&node, &path).await? == data, || "other bytes".into())?;
                let shown = read(&node, &versioned).await?;
                ensure(shown.contains(r#""data":{"k":"v"}"#), || shown)?;
                let listed = node.list(&one, 0, "").await.map_err(text)?;
                ensure(listed.keys == ["a/"], || format!("{:?}", listed.keys))?;
                let found = node.get_mount(&path).await.map_err(text)?;
                ensure(found.path == format!("{one}/"), || found.path)?;
            }
            let moved = format!("moved{through}");
            next.remount(&one, &moved).await.map_err(text)?;
            refused(root.read(&path, b"").await, "MOUNT_NOT_FOUND")?;
            let now = read(&root, &format!("{moved}/a/b")).await?;
            ensure(now == data, || "other bytes after the move".into())?;
            next.unmount(&moved).await.map_err(text)?;
            mount(&root, &moved, "kv").await?;
            let gone = next.read(&format!("{moved}/a/b"), b"").await;
            refused(gone, "SECRET_NOT_FOUND")?;
            let listed = next.list(&moved, 0, "").await;
            refused(listed, "SECRET_NOT_FOUND")?;
        }
        Ok(())
    });
}

#[test]
fn a_cubbyhole_is_its_tokens_own_and_ends_with_it() {
    run(
        "secrets::a_cubbyhole_is_its_tokens_own_and_ends_with_it",
        async |scenario| {
            let cluster = three(scenario).await?;
            let root = cluster.root_at(0)?;
            let (token, accessor) = make(&root, wish("owner")).await?;
            let (other, _) = make(&root, wish("other")).await?;
            let own = cluster.node(1)?.client_of(&token);
            write(&own, "cubbyhole/a", r#"{"k":"v"}"#)
                .await
                .map_err(text)?;
            for index in 0..3 {
                let owner = cluster.node(index)?.client_of(&token);
                ensure(read(&owner, "cubbyhole/a").await? == r#"{"k":"v"}"#, || {
                    "other data".into()
                })?;
                let stranger = cluster.node(index)?.client_of(&other);
                for client in [stranger, cluster.root_at(index)?] {
                    refused(client.read("cubbyhole/a", b"").await, "SECRET_NOT_FOUND")?;
                }
                let kept = cluster.node(index)?.client_of(&other);
                refused(kept.read("secret/a", b"").await, "PERMISSION_DENIED")?;
                refused(kept.list_mounts().await, "PERMISSION_DENIED")?;
            }
            refused(root.unmount("cubbyhole").await, "BUILT_IN_MOUNT")?;
            root.revoke_accessor(&accessor).await.map_err(text)?;
            refused(own.read("cubbyhole/a", b"").await, "INVALID_TOKEN")
        },
    );
}

#[test]
fn a_change_of_leader_keeps_mounts_and_secrets() {
    run(
        "secrets::a_change_of_leader_keeps_mounts_and_secrets",
        async |scenario| {
            let mut cluster = three(scenario).await?;
            let client = cluster.root_at(0)?;
            mount(&client, "kv", "kv-v2").await?;
            for index in 0..20 {
                let path = format!("kv/data/f{}/{index}", index % 3);
                let body = format!(r#"{{"data":{{"n":{index}}}}}"#);
                write(&client, &path, &body).await.map_err(text)?;
            }
            let active = cluster.wait_active().await?;
            cluster.node_mut(active)?.kill();
            let new = cluster.wait_active_but(&[active]).await?;
            let root = cluster.root_at(new)?;
            for index in 0..20 {
                let shown = read(&root, &format!("kv/data/f{}/{index}", index % 3)).await?;
                ensure(shown.contains(&format!(r#"{{"n":{index}}}"#)), || shown)?;
            }
            let listed = root.list("kv/metadata/", 2, "").await.map_err(text)?;
            ensure(!listed.next_page_token.is_empty(), || "one page".into())?;
            let rest = root.list("kv/metadata/", 2, &listed.next_page_token).await;
            let rest = rest.map_err(text)?.keys.len();
            ensure(rest + listed.keys.len() == 3, || {
                format!("{rest} on page 2")
            })
        },
    );
}

/// Bad input at a real node: refused with the right reason, nothing changed.
#[test]
fn what_is_wrong_is_refused() {
    run("secrets::what_is_wrong_is_refused", async |scenario| {
        let cluster = three(scenario).await?;
        let root = cluster.root_at(1)?;
        mount(&root, "kv", "kv").await?;
        let deep = format!(r#"{{"k":{}"#, "[".repeat(100_000));
        for path in ["", "/", "kv/../kv/a", "kv//a", "kv/a\n", "kv/a/", "/kv/a"] {
            let wrong = write(&root, path, r#"{"k":1}"#).await;
            refused(wrong, "INVALID_ARGUMENT").map_err(|why| format!("{path:?}: {why}"))?;
        }
        for data in ["", "{}", "[]", "null", "{", deep.as_str()] {
            refused(write(&root, "kv/a", data).await, "INVALID_ARGUMENT")?;
        }
        let huge = format!(r#"{{"k":"{}"}}"#, "x".repeat(1 << 20));
        refused(write(&root, "kv/a", &huge).await, "TOO_LARGE")?;
        let large = format!(r#"{{"k":"{}"}}"#, "x".repeat(1_000_000));
        write(&root, "kv/large", &large).await.map_err(text)?;
        ensure(read(&root, "kv/large").await? == large, || "cut".into())?;
        refused(root.read("kv/a", b"").await, "SECRET_NOT_FOUND")?;
        for (path, kind, reason) in [
            ("kv", "kv", "MOUNT_PATH_IN_USE"),
            ("kv/under", "kv", "MOUNT_PATH_IN_USE"),
            ("sys/x", "kv", "INVALID_ARGUMENT"),
            ("a/..", "kv", "INVALID_ARGUMENT"),
            ("a", "cubbyhole", "INVALID_ARGUMENT"),
            ("a", "", "INVALID_ARGUMENT"),
        ] {
            let request = MountRequest {
                path: path.to_owned(),
                r#type: kind.to_owned(),
                ..MountRequest::default()
            };
            refused(root.mount(request).await, reason)?;
        }
        Ok(())
    });
}
