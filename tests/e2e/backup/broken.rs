//! What isn't a whole snapshot changes nothing, and a restore that breaks off leaves nothing
//! behind, whoever broke it off.

use std::io::Read;
use std::sync::mpsc;
use std::time::Duration;

use tenure_client::{Client, Code};
use tenure_tests::server_cluster::{Outcome, SOON, until};

use super::{keep, records, restore, save, state};
use crate::{ensure, run, text, three};

#[test]
fn what_is_not_a_whole_snapshot_changes_nothing() {
    run(
        "backup::broken::what_is_not_a_whole_snapshot_changes_nothing",
        async |scenario| {
            let mut cluster = three(scenario).await?;
            let root = cluster.client()?;
            keep(&root, "x", "before").await?;
            let file = save(&root).await?;
            keep(&root, "x", "after").await?;
            let before = state(&root).await?;

            let with = |at: usize, bits: u8| {
                let mut bad = file.clone();
                bad[at] ^= bits;
                bad
            };
            let middle = file.len() / 2;
            let mut newer = file.clone();
            newer[11] = 9;
            let cases = [
                ("nothing", Vec::new(), "DAMAGED_SNAPSHOT"),
                (
                    "cut off",
                    file[..file.len() - 1].to_vec(),
                    "DAMAGED_SNAPSHOT",
                ),
                ("half", file[..middle].to_vec(), "DAMAGED_SNAPSHOT"),
                ("a flipped bit", with(middle, 1), "DAMAGED_SNAPSHOT"),
                ("more", [file.as_slice(), b"x"].concat(), "DAMAGED_SNAPSHOT"),
                (
                    "a gzip",
                    b"\x1f\x8b\x08\x00 of a peer".to_vec(),
                    "NOT_A_SNAPSHOT",
                ),
                ("newer", newer, "NEWER_SNAPSHOT"),
            ];
            let active = cluster.wait_active().await?;
            for (what, bad, reason) in cases {
                for through in [active, (active + 1) % 3] {
                    for force in [false, true] {
                        let refused = restore(&cluster.root_at(through)?, &bad, force).await;
                        let refused = refused.err().ok_or(format!("{what} was restored"))?;
                        ensure(refused.reason() == Some(reason), || {
                            format!("{what}: {refused}")
                        })?;
                    }
                }
            }
            ensure(state(&root).await? == before, || "changed".into())?;
            restore(&root, &file, false).await.map_err(text)?;
            ensure(state(&root).await? == records(&file)?, || {
                "not the saved one".into()
            })
        },
    );
}

/// A file whose last part comes when the test says so.
struct Slow {
    first: std::io::Cursor<Vec<u8>>,
    go_on: mpsc::Receiver<()>,
}

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.first.read(buffer)?;
        if length == 0 {
            let _ = self.go_on.recv_timeout(SOON);
        }
        Ok(length)
    }
}

/// Begins to restore most of a file, and keeps the rest back.
fn begin(client: Client, file: &[u8]) -> (tokio::task::JoinHandle<Outcome<()>>, mpsc::Sender<()>) {
    let (go_on, wait) = mpsc::channel();
    let most = file[..file.len() - 1].to_vec();
    let slow = std::sync::Mutex::new(Some(Slow {
        first: std::io::Cursor::new(most),
        go_on: wait,
    }));
    let open = move || {
        let mut slow = slow.lock().map_err(|_| std::io::Error::other("poisoned"))?;
        slow.take()
            .ok_or_else(|| std::io::Error::other("opened twice"))
    };
    let client = client.with_retry_window(Duration::ZERO);
    let task = tokio::spawn(async move {
        client.restore_snapshot(false, open).await.map_err(text)?;
        Ok(())
    });
    (task, go_on)
}

/// The client goes away, and the active node dies, in the middle. Another restore can begin
/// at once; meanwhile there is only one.
#[test]
fn a_restore_that_breaks_off_changes_nothing() {
    run(
        "backup::broken::a_restore_that_breaks_off_changes_nothing",
        async |scenario| {
            let mut cluster = three(scenario).await?;
            let root = cluster.client()?;
            // More than one piece.
            super::fill(&root, 12).await?;
            let file = save(&root).await?;
            ensure(file.len() > 2 << 20, || format!("{} bytes", file.len()))?;
            keep(&root, "x", "after").await?;
            let before = state(&root).await?;

            let active = cluster.wait_active().await?;
            for through in [active, (active + 1) % 3] {
                let (task, _go_on) = begin(cluster.root_at(through)?, &file);
                until("a second one is refused", SOON, async || {
                    let once = root.with_retry_window(Duration::ZERO);
                    let second = restore(&once, b"", false).await;
                    let error = second.err().ok_or("nothing was restored")?;
                    let busy = error.reason() == Some("RESTORE_UNDER_WAY");
                    ensure(busy && error.code() == Code::Aborted, || text(&error))
                })
                .await?;
                task.abort();
                until("the next one may begin", SOON, async || {
                    let next = restore(&root, b"", false).await;
                    let error = next.err().ok_or("nothing was restored")?;
                    ensure(error.reason() == Some("DAMAGED_SNAPSHOT"), || text(&error))
                })
                .await?;
            }
            ensure(state(&root).await? == before, || "changed".into())?;

            let (task, go_on) = begin(cluster.root_at(active)?, &file);
            until("it is under way", SOON, async || {
                let error = restore(&root.with_retry_window(Duration::ZERO), b"", false).await;
                let error = error.err().ok_or("nothing was restored")?;
                ensure(error.reason() == Some("RESTORE_UNDER_WAY"), || text(&error))
            })
            .await?;
            cluster.node_mut(active)?.kill();
            drop(go_on);
            ensure(task.await.map_err(text)?.is_err(), || {
                "it was restored".into()
            })?;
            cluster.wait_active_but(&[active]).await?;
            ensure(state(&root).await? == before, || "changed".into())?;
            restore(&root, &file, false).await.map_err(text)?;
            cluster.restart(active).await?;
            cluster.unseal(active).await?;
            cluster.wait_complete().await?;
            for index in 0..3 {
                let now = state(&cluster.root_at(index)?).await?;
                ensure(now == records(&file)?, || format!("node {index}"))?;
            }
            Ok(())
        },
    );
}
