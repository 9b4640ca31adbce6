//! MountService.

use std::collections::BTreeMap;

use prost_types::Duration;
use tenure_core::{
    mount::{self, Change, ManageMounts, MountInfo, NewMount},
    policy::{Number, Parameters, Value},
    state::{Engine, KvEngine},
    token::authorize,
    types::{MountId, Path, Ttl},
};
use tenure_proto::v1;

use super::{
    Services,
    convert::{duration, ttl},
};
use crate::{
    error::Error,
    pipeline::{Access, Call, Planned, Scope, off_the_tasks},
};

serve! {
    v1::mount_service_server::MountService:
    mount: MountRequest -> MountResponse,
    unmount: UnmountRequest -> UnmountResponse,
    tune_mount: TuneMountRequest -> TuneMountResponse,
    remount: RemountRequest -> RemountResponse,
    list_mounts: ListMountsRequest -> ListMountsResponse,
    get_mount: GetMountRequest -> GetMountResponse,
}

impl Call for v1::MountRequest {
    const METHOD: &'static str = "/tenure.v1.MountService/Mount";
    const ACCESS: Access = Access::Write;
    type Answer = v1::MountResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let path = path("path", &self.path)?;
        let permit = authorize(
            scope.context,
            scope.caller,
            ManageMounts::Mount(path.clone(), parameters(self)),
        )?;
        let config = self.config.unwrap_or_default();
        let new = NewMount {
            path,
            engine: engine(&self.r#type, &self.options)?,
            description: self.description.clone(),
            default_ttl: lifetime("default_lease_ttl", config.default_lease_ttl.as_ref())?,
            max_ttl: lifetime("max_lease_ttl", config.max_lease_ttl.as_ref())?,
        };
        let plan = mount::mount(&permit, new, &mut scope.random())?;
        Ok(Planned {
            txn: plan.txn,
            answer: v1::MountResponse {
                mount: Some(info(plan.response)),
            },
        })
    }

    fn request_id(&self) -> &str {
        &self.request_id
    }
}

impl Call for v1::UnmountRequest {
    const METHOD: &'static str = "/tenure.v1.MountService/Unmount";
    const ACCESS: Access = Access::Write;
    type Answer = v1::UnmountResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let path = path("path", &self.path)?;
        let permit = authorize(
            scope.context,
            scope.caller,
            ManageMounts::Unmount(path.clone()),
        )?;
        let plan = mount::unmount(&permit, &path, &mut scope.random())?;
        let warnings = match plan.response {
            true => Vec::new(),
            false => vec!["nothing was mounted there".to_owned()],
        };
        Ok(Planned {
            txn: plan.txn,
            answer: v1::UnmountResponse { warnings },
        })
    }
}

impl Call for v1::TuneMountRequest {
    const METHOD: &'static str = "/tenure.v1.MountService/TuneMount";
    const ACCESS: Access = Access::Write;
    type Answer = v1::TuneMountResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let path = path("path", &self.path)?;
        let permit = authorize(
            scope.context,
            scope.caller,
            ManageMounts::Tune(path.clone(), tuned(self)),
        )?;
        let given = |field, duration: &Option<Duration>| {
            let duration = duration.as_ref();
            duration
                .map(|asked| lifetime(field, Some(asked)))
                .transpose()
        };
        let change = Change {
            description: self.description.clone(),
            default_ttl: given("default_lease_ttl", &self.default_lease_ttl)?,
            max_ttl: given("max_lease_ttl", &self.max_lease_ttl)?,
            kv: kv_version(&self.options)?,
        };
        let plan = mount::tune(&permit, &path, change, &mut scope.random())?;
        Ok(Planned {
            txn: plan.txn,
            answer: v1::TuneMountResponse {
                mount: Some(info(plan.response)),
            },
        })
    }
}

impl Call for v1::RemountRequest {
    const METHOD: &'static str = "/tenure.v1.MountService/Remount";
    const ACCESS: Access = Access::Write;
    type Answer = v1::RemountResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let (from, to) = (path("from", &self.from)?, path("to", &self.to)?);
        let action = ManageMounts::Remount(from.clone(), to.clone());
        let permit = authorize(scope.context, scope.caller, action)?;
        let plan = mount::remount(&permit, &from, to, &mut scope.random())?;
        Ok(Planned {
            txn: plan.txn,
            answer: v1::RemountResponse {
                mount: Some(info(plan.response)),
            },
        })
    }
}

impl Call for v1::ListMountsRequest {
    const METHOD: &'static str = "/tenure.v1.MountService/ListMounts";
    const ACCESS: Access = Access::Read;
    type Answer = v1::ListMountsResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let (context, caller) = (scope.context, scope.caller);
        let mounts = match v1::MountListing::try_from(self.listing) {
            Ok(v1::MountListing::Unspecified) => {
                mount::list(&authorize(context, caller, ManageMounts::List)?)?
            }
            Ok(v1::MountListing::Auth) => {
                let mut all = mount::list(&authorize(context, caller, ManageMounts::ListAuth)?)?;
                all.retain(|found| found.path.starts_with("auth/"));
                all
            }
            // As many looks at the policies as there are mounts.
            Ok(v1::MountListing::Visible) => off_the_tasks(|| mount::visible(context, caller))?,
            Err(_) => return Err(Error::invalid_argument("listing: unknown")),
        };
        Ok(Planned::answer(v1::ListMountsResponse {
            mounts: mounts.into_iter().map(info).collect(),
        }))
    }
}

impl Call for v1::GetMountRequest {
    const METHOD: &'static str = "/tenure.v1.MountService/GetMount";
    const ACCESS: Access = Access::Read;
    type Answer = v1::GetMountResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let (context, caller) = (scope.context, scope.caller);
        let found = if self.uuid.is_empty() {
            // Any path may be asked for, and that of a secret is longer than a mount's.
            let look = v1::MountLook::try_from(self.look);
            let path = match look {
                Ok(v1::MountLook::Unspecified) => logical(&self.path)?,
                _ => path("path", &self.path)?,
            };
            let read = |action| authorize(context, caller, action);
            match look {
                Ok(v1::MountLook::Unspecified) => mount::answering(context, caller, &path)?,
                Ok(v1::MountLook::Mount) => {
                    mount::read(&read(ManageMounts::Read(path.clone()))?, &path)?
                }
                Ok(v1::MountLook::Tuning) => {
                    mount::read(&read(ManageMounts::ReadTuning(path.clone()))?, &path)?
                }
                Err(_) => return Err(Error::invalid_argument("look: unknown")),
            }
        } else {
            let id = MountId::parse(&self.uuid);
            let id = id.ok_or_else(|| Error::invalid_argument("uuid: not one"))?;
            let permit = authorize(context, caller, ManageMounts::ReadMove(id))?;
            mount::by_id(&permit, id)?
        };
        Ok(Planned::answer(v1::GetMountResponse {
            mount: Some(info(found)),
        }))
    }
}

/// What policies see of a new mount: its fields that are set, under the peers' names.
fn parameters(call: &v1::MountRequest) -> Parameters<'_> {
    let config = call.config.unwrap_or_default();
    let mut parameters = Parameters::default();
    parameters.push("type", call.r#type.as_str().into());
    if !call.description.is_empty() {
        parameters.push("description", call.description.as_str().into());
    }
    options(&call.options, &mut parameters);
    let mut set = Parameters::default();
    lifetimes(config.default_lease_ttl, config.max_lease_ttl, &mut set);
    // The peers' clients send them in "config": rules may speak of that, or of each.
    if !set.is_empty() {
        parameters.push("config", Value::Map(BTreeMap::new()));
        parameters.extend(set);
    }
    parameters
}

fn tuned(call: &v1::TuneMountRequest) -> Parameters<'_> {
    let mut parameters = Parameters::default();
    if let Some(description) = &call.description {
        parameters.push("description", description.as_str().into());
    }
    options(&call.options, &mut parameters);
    lifetimes(call.default_lease_ttl, call.max_lease_ttl, &mut parameters);
    parameters
}

fn options<'a>(options: &'a BTreeMap<String, String>, parameters: &mut Parameters<'a>) {
    if !options.is_empty() {
        let all = options.iter();
        let all = all.map(|(name, value)| (name.as_str().into(), value.as_str().into()));
        parameters.push("options", Value::Map(all.collect()));
    }
}

fn lifetimes(default: Option<Duration>, max: Option<Duration>, parameters: &mut Parameters<'_>) {
    for (name, time) in [("default_lease_ttl", default), ("max_lease_ttl", max)] {
        if let Some(time) = time {
            parameters.push(name, Value::Number(Number::whole(time.seconds.into())));
        }
    }
}

/// A mount's path may be given with "/" at its end.
fn trimmed(text: &str) -> &str {
    text.strip_suffix('/').unwrap_or(text)
}

fn path(field: &str, text: &str) -> Result<Path, Error> {
    Path::parse(trimmed(text)).map_err(|error| Error::invalid_argument(format!("{field}: {error}")))
}

fn logical(text: &str) -> Result<Path, Error> {
    let path = Path::parse_logical(trimmed(text));
    path.map_err(|error| Error::invalid_argument(format!("path: {error}")))
}

/// Zero and nothing: the system's.
fn lifetime(field: &str, asked: Option<&Duration>) -> Result<Option<Ttl>, Error> {
    Ok(ttl(field, asked)?.asked())
}

fn engine(name: &str, options: &BTreeMap<String, String>) -> Result<Engine, Error> {
    let named = match name {
        "kv" => None,
        "kv-v1" => Some(KvEngine::V1),
        "kv-v2" => Some(KvEngine::V2),
        _ => {
            return Err(Error::invalid_argument(
                "type: no engine that can be mounted",
            ));
        }
    };
    let asked = kv_version(options)?;
    if named.is_some() && asked.is_some() && named != asked {
        return Err(Error::invalid_argument(
            "options: another version than the type's",
        ));
    }
    Ok(Engine::Kv(named.or(asked).unwrap_or(KvEngine::V1)))
}

fn kv_version(options: &BTreeMap<String, String>) -> Result<Option<KvEngine>, Error> {
    let unknown = options.keys().any(|name| name != "version");
    if unknown {
        return Err(Error::invalid_argument(
            "options: kv knows \"version\" alone",
        ));
    }
    let Some(text) = options.get("version") else {
        return Ok(None);
    };
    text.parse()
        .ok()
        .and_then(KvEngine::of)
        .map(Some)
        .ok_or_else(|| Error::invalid_argument("options: version is 1 or 2"))
}

fn info(info: MountInfo) -> v1::MountInfo {
    let kv = info.kind.kv();
    let options = kv.map(|kv| ("version".to_owned(), kv.number().to_string()));
    v1::MountInfo {
        path: format!("{}/", info.path),
        r#type: info.kind.name().to_owned(),
        description: info.description,
        accessor: info.accessor,
        uuid: info.id.to_string(),
        config: Some(v1::MountConfig {
            default_lease_ttl: info.configured.0.map(duration),
            max_lease_ttl: info.configured.1.map(duration),
        }),
        effective: Some(v1::MountConfig {
            default_lease_ttl: Some(duration(info.effective.0)),
            max_lease_ttl: Some(duration(info.effective.1)),
        }),
        options: options.into_iter().collect(),
        moved_from: info
            .moved_from
            .map_or_else(String::new, |path| format!("{path}/")),
    }
}

#[cfg(test)]
mod tests {
    use tenure_core::policy::{Acl, Operation, parse};

    use super::*;

    #[test]
    fn rules_may_speak_of_the_config_of_a_new_mount_and_of_what_is_in_it() {
        let allows = |rule: &str, call: &v1::MountRequest| {
            let text = format!(r#"path "m" {{ capabilities = ["update"] {rule} }}"#);
            let acl = Acl::compile(&[&parse(&text).unwrap()], None);
            let decision = acl.decide("m", Operation::Update, Some(&parameters(call)));
            decision.allowed()
        };
        let bare = v1::MountRequest::default();
        let tuned = v1::MountRequest {
            config: Some(v1::MountConfig {
                max_lease_ttl: Some(duration(Ttl::from_seconds(60).unwrap())),
                ..Default::default()
            }),
            ..Default::default()
        };
        let rule = r#"required_parameters = ["config"]"#;
        assert!(allows(rule, &tuned) && !allows(rule, &bare));
        let rule = r#"denied_parameters = { "config" = [] }"#;
        assert!(!allows(rule, &tuned) && allows(rule, &bare));
        let rule = r#"denied_parameters = { "max_lease_ttl" = [60] }"#;
        assert!(!allows(rule, &tuned) && allows(rule, &bare));
    }
}
