//! `config`: what holds for all secrets of a mount.

use serde_json::json;
use tenure_core::state::KvConfigs;

use super::{
    super::{Ask, EngineError, Reply, json},
    Call,
    metadata::max_versions,
};

impl Call<'_, '_> {
    pub(super) fn config(&mut self, ask: Ask<'_>) -> Result<Reply, EngineError> {
        let mut config = self.stored_config()?;
        let data = match ask {
            Ask::Read(_) => {
                let shown = json!({
                    "cas_required": config.cas_required,
                    "delete_version_after": json::go_duration(config.delete_after),
                    "max_versions": config.max_versions.unwrap_or(0),
                });
                return Ok(Reply::data(shown.to_string()));
            }
            Ask::Write(data) => data,
            _ => return Err(EngineError::Unsupported),
        };
        let fields = json::parse(data)?;
        if let Some(max) = max_versions(&fields)? {
            config.max_versions = max;
        }
        if let Some(required) = json::flag(&fields, "cas_required")? {
            config.cas_required = required;
        }
        if let Some(after) = json::duration(&fields, "delete_version_after")? {
            config.delete_after = Some(after).filter(|after| !after.is_zero());
        }
        let barrier = self.desk.context.view.barrier();
        let id = &self.spot.mount.id;
        self.txn
            .insert::<KvConfigs>(barrier, id, &config, self.random)?;
        let known = ["max_versions", "cas_required", "delete_version_after"];
        Ok(Reply {
            warnings: json::ignored(&fields, &known),
            ..Reply::default()
        })
    }
}
