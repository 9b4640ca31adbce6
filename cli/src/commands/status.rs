//! `tenure status`, and the seal status that `operator unseal` shows too.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tenure_client::proto::{HaStatus, SealStatus};

use super::{CommonArgs, Context};
use crate::{
    failure::{Failure, code},
    output::{Report, key_values},
};

/// Flags of `tenure status`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    common: CommonArgs,
}

pub(crate) async fn run(args: StatusArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    // Once: who asks for the status wants to know now.
    let client = context
        .anonymous(&args.common)?
        .with_retry_window(Duration::ZERO);
    // Whatever went wrong, the seal's state isn't known: 1, not 2, which means "sealed".
    let status = client.seal_status().await.map_err(|error| {
        Failure::local(format!("Error checking seal status: {error}")).with_hint(&error)
    })?;
    let report = seal_report(&status)?;
    args.common
        .output
        .show(&report, context.env, context.console)?;
    Ok(if status.sealed || !status.initialized {
        code::REFUSED
    } else {
        code::OK
    })
}

/// The keys of Vault's seal-status and leader, together, as `vault status -format=json`
/// shows them.
#[derive(Serialize)]
pub(crate) struct StatusBody {
    r#type: String,
    initialized: bool,
    sealed: bool,
    t: u32,
    n: u32,
    progress: u32,
    nonce: String,
    version: String,
    migration: bool,
    recovery_seal: bool,
    storage_type: String,
    cluster_name: String,
    cluster_id: String,
    ha_enabled: bool,
    is_self: bool,
    leader_address: String,
    leader_cluster_address: String,
    raft_committed_index: u64,
    raft_applied_index: u64,
    expiration_held: bool,
}

/// What `status` and `operator unseal` show.
pub(crate) fn seal_report(status: &SealStatus) -> Result<Report<StatusBody>, Failure> {
    let ha = status.ha.clone().unwrap_or_default();
    let body = StatusBody {
        r#type: status.r#type.clone(),
        initialized: status.initialized,
        sealed: status.sealed,
        t: status.threshold,
        n: status.shares,
        progress: status.progress,
        nonce: status.nonce.clone(),
        version: status.version.clone(),
        migration: false,
        recovery_seal: status.recovery_seal,
        storage_type: status.storage_type.clone(),
        cluster_name: status.cluster_name.clone(),
        cluster_id: status.cluster_id.clone(),
        ha_enabled: true,
        is_self: ha.active,
        leader_address: ha.leader_address.clone(),
        leader_cluster_address: ha.leader_cluster_address.clone(),
        raft_committed_index: ha.committed_index,
        raft_applied_index: ha.applied_index,
        expiration_held: ha.expiration_held,
    };
    Report::flat(key_values(&rows(status, &ha)), body)
}

fn rows(status: &SealStatus, ha: &HaStatus) -> Vec<(String, String)> {
    let known = |text: &str| {
        if text.is_empty() {
            "n/a".to_owned()
        } else {
            text.to_owned()
        }
    };
    let mut rows = vec![
        ("Seal Type", known(&status.r#type)),
        ("Initialized", status.initialized.to_string()),
        ("Sealed", status.sealed.to_string()),
    ];
    if status.recovery_seal {
        rows.insert(1, ("Recovery Seal Type", "shamir".to_owned()));
        rows.push(("Total Recovery Shares", status.shares.to_string()));
    } else {
        rows.push(("Total Shares", status.shares.to_string()));
    }
    rows.push(("Threshold", status.threshold.to_string()));
    if status.sealed && !status.recovery_seal {
        let progress = format!("{}/{}", status.progress, status.threshold);
        rows.push(("Unseal Progress", progress));
        rows.push(("Unseal Nonce", known(&status.nonce)));
    }
    rows.push(("Version", known(&status.version)));
    rows.push(("Storage Type", known(&status.storage_type)));
    if !status.sealed && status.initialized {
        rows.push(("Cluster Name", known(&status.cluster_name)));
        rows.push(("Cluster ID", known(&status.cluster_id)));
    }
    rows.push(("HA Enabled", "true".to_owned()));
    if !status.sealed && status.initialized {
        let mode = if ha.active { "active" } else { "standby" };
        let leader = match ha.leader_address.as_str() {
            "" => "<none>",
            address => address,
        };
        let cluster = match ha.leader_cluster_address.as_str() {
            "" => "<none>",
            address => address,
        };
        rows.push(("HA Cluster", cluster.to_owned()));
        rows.push(("HA Mode", mode.to_owned()));
        rows.push(("Active Node Address", leader.to_owned()));
    }
    if status.initialized {
        rows.push(("Raft Committed Index", ha.committed_index.to_string()));
        rows.push(("Raft Applied Index", ha.applied_index.to_string()));
    }
    if ha.expiration_held {
        let held = "held after a restore: tenure operator expiration resume";
        rows.push(("Expiration", held.to_owned()));
    }
    rows.into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_node_shows_its_progress_and_an_open_one_its_cluster() {
        let mut status = SealStatus {
            r#type: "shamir".into(),
            initialized: true,
            sealed: true,
            shares: 5,
            threshold: 3,
            progress: 1,
            version: "0.1.0".into(),
            storage_type: "raft".into(),
            ..Default::default()
        };
        let table = seal_report(&status).unwrap().table;
        assert!(table.contains("Unseal Progress         1/3\n"), "{table}");
        assert!(table.contains("Unseal Nonce            n/a\n"), "{table}");
        assert!(!table.contains("Cluster Name"), "{table}");
        status.sealed = false;
        status.cluster_name = "c".into();
        let report = seal_report(&status).unwrap();
        assert!(report.table.contains("Cluster Name            c\n"));
        assert!(report.table.contains("HA Mode                 standby\n"));
        assert!(report.table.contains("Active Node Address     <none>\n"));
        assert!(!report.table.contains("Unseal"));
        assert_eq!(report.fields["t"], 3);
        assert_eq!(report.fields["sealed"], false);
    }
}
