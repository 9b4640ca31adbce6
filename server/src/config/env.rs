//! The environment's word: `TENURE_…`, and the `VAULT_` forms where that is not set. A variable
//! that is set but empty counts as not set. Reads no secret.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::{ConfigError, Origin};
use super::read::Draft;
use super::section::Set;
use super::units::{ApiUrl, HostPort, NodeName};
use super::{LogFormat, LogLevel, defaults};

/// The variables that a configuration may look at.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    host_name: Option<String>,
}

impl Environment {
    /// The environment of this process, and the host name.
    pub fn of_process() -> Self {
        let ours = |name: &str| name.starts_with("TENURE_") || name.starts_with("VAULT_");
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| ours(name) && !name.ends_with("_TOKEN"))
            .collect();
        // Linux; elsewhere node_id has to be set.
        let host_name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        Self {
            variables,
            host_name: host_name.map(|name| name.trim().to_owned()),
        }
    }

    /// An environment made by hand.
    pub fn of<const N: usize>(variables: [(&str, &str); N], host_name: Option<&str>) -> Self {
        let variables = variables
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Self {
            variables,
            host_name: host_name.map(str::to_owned),
        }
    }

    /// The name of this machine.
    pub(super) fn host_name(&self) -> Option<&str> {
        self.host_name.as_deref()
    }

    /// `TENURE_<name>`, else `VAULT_<name>`.
    fn get(&self, name: &str) -> Option<(String, &str)> {
        ["TENURE_", "VAULT_"].into_iter().find_map(|prefix| {
            let full = format!("{prefix}{name}");
            let value = self
                .variables
                .get(&full)
                .filter(|value| !value.is_empty())?;
            Some((full, value.as_str()))
        })
    }
}

pub(super) fn apply(env: &Environment, draft: &mut Draft) -> Result<(), ConfigError> {
    let cluster = |text: &str| HostPort::parse(text, Some(defaults::CLUSTER_PORT));
    set(
        env,
        "API_ADDR",
        "api_addr",
        ApiUrl::parse,
        &mut draft.api_addr,
    )?;
    set(
        env,
        "CLUSTER_ADDR",
        "cluster_addr",
        cluster,
        &mut draft.cluster_addr,
    )?;
    set(
        env,
        "LOG_LEVEL",
        "log_level",
        LogLevel::parse,
        &mut draft.log_level,
    )?;
    set(
        env,
        "LOG_FORMAT",
        "log_format",
        LogFormat::parse,
        &mut draft.log_format,
    )?;
    set(
        env,
        "RAFT_NODE_ID",
        "storage \"raft\": node_id",
        NodeName::parse,
        &mut draft.node_id_env,
    )?;
    let path = |text: &str| Ok(PathBuf::from(text));
    set(
        env,
        "RAFT_PATH",
        "storage \"raft\": path",
        path,
        &mut draft.path_env,
    )
}

fn set<T>(
    env: &Environment,
    name: &str,
    key: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
    slot: &mut Option<Set<T>>,
) -> Result<(), ConfigError> {
    let Some((variable, text)) = env.get(name) else {
        return Ok(());
    };
    let origin = Origin::Environment(variable);
    match parse(text) {
        Ok(value) => *slot = Some(Set { value, origin }),
        Err(problem) => {
            return Err(ConfigError::Key {
                origin,
                key: key.to_owned(),
                problem,
            });
        }
    }
    Ok(())
}
