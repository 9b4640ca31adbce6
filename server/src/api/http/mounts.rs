//! `sys/mounts`, `sys/auth`, `sys/remount` and `sys/internal/ui/mounts`: MountService as Vault's
//! clients know it.

use prost_types::Duration;
use serde_json::{Map, Value, json};
use tenure_proto::v1;

use super::{
    HttpCall,
    body::{Fields, Input},
    envelope::Reply,
    route::{Route, delete, read, write},
    seconds,
};
use crate::error::Error;

const MOUNTS: &str = "/v1/sys/mounts";
const MOUNT: &str = "/v1/sys/mounts/{path...}";
const TUNE: &str = "/v1/sys/mounts/{path...}/tune";
const AUTHS: &str = "/v1/sys/auth";
const AUTH: &str = "/v1/sys/auth/{path...}";
const VISIBLE: &str = "/v1/sys/internal/ui/mounts";
const ANSWERING: &str = "/v1/sys/internal/ui/mounts/{path...}";
const MOVE: &str = "/v1/sys/remount/status/{id}";

/// What clients send of a mount that means nothing here, because all is sealed, replicated and
/// shown to whoever has a right in it.
const WITHOUT_MEANING: [&str; 7] = [
    "external_entropy_access",
    "force_no_cache",
    "listing_visibility",
    "local",
    "plugin_name",
    "plugin_version",
    "seal_wrap",
];

/// The path of a mount: an auth method's lies under `auth/`, which its route leaves out.
fn path(input: &Input) -> String {
    let path = input.capture().unwrap_or_default();
    match input.pattern {
        AUTH => format!("auth/{path}"),
        _ => path.to_owned(),
    }
}

/// A lifetime of a mount. Absent and empty: nothing is said; "system" is how the peers say 0.
fn lifetime(fields: &mut Fields, name: &'static str) -> Result<Option<Duration>, Error> {
    match fields.take_text(name, "system") {
        true => Ok(Some(Duration::default())),
        false => fields.duration(name),
    }
}

impl HttpCall for v1::MountRequest {
    const ROUTES: &'static [Route] = &[write(MOUNT), write(AUTH)];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let path = path(input);
        let fields = &mut input.fields;
        let mut config = fields.fields("config")?;
        let call = Self {
            path,
            r#type: fields.text("type")?,
            description: fields.text("description")?,
            config: Some(v1::MountConfig {
                default_lease_ttl: lifetime(&mut config, "default_lease_ttl")?,
                max_lease_ttl: lifetime(&mut config, "max_lease_ttl")?,
            }),
            options: fields.text_map("options")?.into_iter().collect(),
            request_id: String::new(),
        };
        config.ignore(&WITHOUT_MEANING);
        config.ignore(&["options"]);
        fields.ignore(&WITHOUT_MEANING);
        fields.leave("config", config);
        Ok(call)
    }
}

impl HttpCall for v1::UnmountRequest {
    const ROUTES: &'static [Route] = &[delete(MOUNT), delete(AUTH)];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self { path: path(input) })
    }
}

impl HttpCall for v1::TuneMountRequest {
    const ROUTES: &'static [Route] = &[write(TUNE)];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let path = path(input);
        let fields = &mut input.fields;
        let call = Self {
            path,
            description: fields.optional_text("description")?,
            default_lease_ttl: lifetime(fields, "default_lease_ttl")?,
            max_lease_ttl: lifetime(fields, "max_lease_ttl")?,
            options: fields.text_map("options")?.into_iter().collect(),
        };
        fields.ignore(&WITHOUT_MEANING);
        Ok(call)
    }
}

impl HttpCall for v1::RemountRequest {
    const ROUTES: &'static [Route] = &[write("/v1/sys/remount")];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self {
            from: input.fields.text("from")?,
            to: input.fields.text("to")?,
        })
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        // It is done. Clients ask on how it goes, by an id: the mount's own.
        let id = answer.mount.unwrap_or_default().uuid;
        Reply::data_and_fields(Map::from_iter([("migration_id".to_owned(), id.into())]))
    }
}

impl HttpCall for v1::ListMountsRequest {
    const ROUTES: &'static [Route] = &[read(MOUNTS), read(AUTHS), read(VISIBLE)];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let listing = match input.pattern {
            AUTHS => v1::MountListing::Auth,
            VISIBLE => v1::MountListing::Visible,
            _ => v1::MountListing::Unspecified,
        };
        Ok(Self {
            listing: listing.into(),
        })
    }

    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        let (mut secret, mut auth) = (Map::new(), Map::new());
        for found in answer.mounts {
            let (name, shown) = (found.path.clone(), shown(found));
            match name.strip_prefix("auth/") {
                Some(method) => auth.insert(method.to_owned(), shown),
                None => secret.insert(name, shown),
            };
        }
        match input.pattern {
            AUTHS => Reply::data_and_fields(auth),
            VISIBLE => Reply::data(json!({ "secret": secret, "auth": auth })),
            _ => Reply::data_and_fields(secret),
        }
    }
}

impl HttpCall for v1::GetMountRequest {
    const ROUTES: &'static [Route] = &[
        read(MOUNT),
        read(AUTH),
        read(TUNE),
        read(ANSWERING),
        read(MOVE),
    ];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let look = match input.pattern {
            ANSWERING => v1::MountLook::Unspecified,
            TUNE => v1::MountLook::Tuning,
            _ => v1::MountLook::Mount,
        };
        let (path, uuid) = match input.pattern {
            MOVE => (String::new(), path(input)),
            _ => (path(input), String::new()),
        };
        Ok(Self {
            path,
            look: look.into(),
            uuid,
        })
    }

    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        let found = answer.mount.unwrap_or_default();
        match input.pattern {
            MOVE => Reply::data(json!({
                "migration_id": found.uuid,
                "migration_info": {
                    "source_mount": found.moved_from,
                    "target_mount": found.path,
                    "status": "success",
                },
            })),
            ANSWERING => {
                let path = found.path.clone();
                let mut shown = shown(found);
                shown["path"] = path.into();
                Reply::data(shown)
            }
            TUNE => both(tuning(&found)),
            _ => both(shown(found)),
        }
    }
}

/// Beside the envelope's own fields and in its data.
fn both(value: Value) -> Reply {
    match value {
        Value::Object(fields) => Reply::data_and_fields(fields),
        other => Reply::data(other),
    }
}

/// A mount in the words of the peers, who write 0 where a mount leaves a lifetime to the system.
fn shown(found: v1::MountInfo) -> Value {
    let config = found.config.unwrap_or_default();
    let options = match found.options.is_empty() {
        true => Value::Null,
        false => json!(found.options),
    };
    json!({
        "accessor": found.accessor,
        "config": {
            "default_lease_ttl": seconds(config.default_lease_ttl.as_ref()),
            "force_no_cache": false,
            "max_lease_ttl": seconds(config.max_lease_ttl.as_ref()),
        },
        "description": found.description,
        "external_entropy_access": false,
        "local": false,
        "options": options,
        "seal_wrap": false,
        "type": found.r#type,
        "uuid": found.uuid,
    })
}

/// What a mount is tuned to: the lifetimes as they hold.
fn tuning(found: &v1::MountInfo) -> Value {
    let holds = found.effective.unwrap_or_default();
    let mut tuning = json!({
        "default_lease_ttl": seconds(holds.default_lease_ttl.as_ref()),
        "description": found.description,
        "force_no_cache": false,
        "max_lease_ttl": seconds(holds.max_lease_ttl.as_ref()),
    });
    if !found.options.is_empty() {
        tuning["options"] = json!(found.options);
    }
    tuning
}
