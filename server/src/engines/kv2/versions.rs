//! `delete/`, `undelete/`, `destroy/`: single versions by their numbers.

use tenure_core::state::KvVersions;

use super::{
    super::{Ask, EngineError, Reply, json},
    Call,
    known::Known,
};

impl Call<'_, '_> {
    /// Does to the versions what the part of the path says. Versions that aren't there are no
    /// error, and what is destroyed stays so.
    pub(super) fn versions(&mut self, part: &str, ask: Ask<'_>) -> Result<Reply, EngineError> {
        let Ask::Write(data) = ask else {
            return Err(EngineError::Unsupported);
        };
        let fields = json::parse(data)?;
        let numbers = json::versions(&fields)?;
        let reply = Reply {
            warnings: json::ignored(&fields, &["versions"]),
            ..Reply::default()
        };
        let (view, now) = (self.desk.context.view, self.desk.context.now);
        let Some(mut known) = Known::load(view, self.place.key())? else {
            return Ok(reply);
        };
        let (mut changed, mut gone) = (false, Vec::new());
        for number in numbers.into_iter().filter(|number| *number > 0) {
            let Some(info) = known.version_mut(number).filter(|info| !info.destroyed) else {
                continue;
            };
            match part {
                "delete" if info.is_readable(now) => info.deletion = Some(now),
                "undelete" if info.deletion.is_some() => info.deletion = None,
                "destroy" => {
                    info.destroyed = true;
                    gone.push(info.version);
                }
                _ => continue,
            }
            changed = true;
        }
        if changed {
            known.record.updated = now;
            let key = known.key;
            known.store(view, &mut self.txn, self.random)?;
            for version in gone {
                self.txn.delete::<KvVersions>(&(key, version));
            }
        }
        Ok(reply)
    }
}
