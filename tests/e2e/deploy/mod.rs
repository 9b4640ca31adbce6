//! `deploy/`: the manifests and the image against the program, at rest and at work.

mod checks;
mod files;
mod image;
mod mistakes;
mod network;
mod pods;
mod template;
mod words;

use std::process::Command;

use tenure_tests::server_cluster::{Outcome, tenure_binary};

use crate::{ensure, run, text};
use checks::check;
use files::Files;
use mistakes::MISTAKES;
use pods::Pods;

#[test]
fn the_files_agree_with_the_program() {
    let found = check(&Files::read().unwrap());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Each mistake is found, and the finding says what it is about.
#[test]
fn planted_mistakes_are_found() {
    let files = Files::read().unwrap();
    for (file, from, to, wanted) in MISTAKES {
        let planted = files.planted(file, from, to).unwrap();
        let found = check(&planted).join("\n");
        assert!(
            found.contains(wanted),
            "{file}: {from:?} → {to:?}: {found:?}"
        );
    }
}

/// The image has no other shared libraries than these.
#[test]
fn the_image_has_the_libraries_of_the_program() {
    let listed = Command::new("ldd").arg(tenure_binary().unwrap()).output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    let names = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    // The vDSO is the kernel's.
    let files = names.map(|name| name.rsplit('/').next().unwrap_or(name));
    let needed: Vec<&str> = files
        .filter(|name| !name.starts_with("linux-vdso"))
        .collect();
    assert!(needed.contains(&"libc.so.6"), "{listed}");
    for library in needed {
        assert!(image::LIBRARIES.contains(&library), "{library}");
    }
}

/// The pods of the manifests, run as processes: their own arguments, environments and
/// configuration, with addresses of loopback and folders of the test in place of the cluster's.
#[test]
fn the_pods_form_a_cluster() {
    run("deploy::the_pods_form_a_cluster", async |scenario| {
        let mut pods = Pods::start(scenario, &Files::read()?)?;
        pods.listen_where_the_manifests_say().await?;
        for index in 0..pods.len() {
            // Sealed: alive, and not ready.
            pods.answer_probes(index, false).await?;
            let (code, said) = pods.tenure(index, &["status"], "")?;
            ensure(code == Some(2), || format!("status: {code:?}: {said}"))?;
        }
        scenario.say("all listen, alive and sealed");
        let keys = pods.init()?;
        for index in 0..pods.len() {
            pods.unseal(index, &keys).await?;
            pods.answer_probes(index, true).await?;
        }
        scenario.say("all are ready");
        pods.are_all_voters(&keys).await?;
        restart_the_active(&mut pods, &keys).await?;
        scenario.say("the active node was restarted");
        Ok(())
    });
}

/// As in an upgrade: the active node goes within the grace, another one takes over, and it
/// comes back sealed.
async fn restart_the_active(pods: &mut Pods, keys: &pods::Keys) -> Outcome<()> {
    let active = pods.active(keys)?;
    let end = pods.stop(active)?;
    ensure(end.success(), || format!("it ended: {end}"))?;
    pods.answer_probes((active + 1) % 3, true).await?;
    pods.launch(active).map_err(text)?;
    pods.answer_probes(active, false).await?;
    pods.unseal(active, keys).await?;
    pods.are_all_voters(keys).await
}
