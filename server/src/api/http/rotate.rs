//! `sys/rotate`, `sys/rotate/config` and `sys/key-status`: the barrier key, and when it is rotated by
//! itself.

use serde_json::{Map, Value, json};
use tenure_proto::v1;

use super::{
    HttpCall,
    body::Input,
    envelope::Reply,
    route::{Route, read, write},
    time,
};
use crate::error::Error;

const CONFIG: &str = "/v1/sys/rotate/config";

impl HttpCall for v1::RotateRequest {
    const ROUTES: &'static [Route] = &[write("/v1/sys/rotate"), write("/v1/sys/rotate/keyring")];

    fn from_http(_input: &mut Input) -> Result<Self, Error> {
        Ok(Self {})
    }
}

impl HttpCall for v1::GetKeyStatusRequest {
    const ROUTES: &'static [Route] = &[read("/v1/sys/key-status")];

    fn from_http(_input: &mut Input) -> Result<Self, Error> {
        Ok(Self {})
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        Reply::data_and_fields(Map::from_iter([
            ("term".to_owned(), answer.term.into()),
            (
                "install_time".to_owned(),
                time(answer.install_time.as_ref()),
            ),
            ("encryptions".to_owned(), answer.operations.into()),
        ]))
    }
}

impl HttpCall for v1::GetRotationConfigRequest {
    const ROUTES: &'static [Route] = &[read(CONFIG)];

    fn from_http(_input: &mut Input) -> Result<Self, Error> {
        Ok(Self {})
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        // As the peers show it: 0, or a text of hours, minutes and seconds.
        let interval = answer.interval.map_or_else(
            || Value::from(0),
            |interval| {
                let (all, minute, hour) = (interval.seconds, 60, 3_600);
                let (minutes, seconds) = (all % hour / minute, all % minute);
                format!("{}h{minutes}m{seconds}s", all / hour).into()
            },
        );
        Reply::data(json!({
            "enabled": answer.enabled,
            "interval": interval,
            "max_operations": answer.max_operations,
        }))
    }
}

impl HttpCall for v1::WriteRotationConfigRequest {
    const ROUTES: &'static [Route] = &[write(CONFIG)];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let fields = &mut input.fields;
        let operations = fields.integer("max_operations")?.map(u64::try_from);
        let operations = operations.transpose();
        Ok(Self {
            enabled: fields.flag("enabled")?,
            max_operations: operations
                .map_err(|_| Error::invalid_argument("max_operations: can't be negative"))?,
            interval: fields.duration("interval")?,
        })
    }
}
