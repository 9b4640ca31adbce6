//! The client of a raft node's control port: a line for a call, a line for its answer
//! (`ok …` or `err <kind> …`).

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::ledger::Records;

const CONNECT_BOUND: Duration = Duration::from_secs(2);

/// Why a call gave no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The node refused, and nothing was applied: another leader is named if it knows one.
    NotActive(Option<u64>),
    /// Read set changed, or compare-and-set met another value: nothing was applied.
    Conflict(String),
    /// Nothing was applied.
    NotApplied(String),
    /// It may have been applied, or be applied later.
    Unknown(String),
    /// The node answered with another error; nothing was applied.
    Refused(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl CallError {
    /// Whether the write may take effect.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }
}

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Its id; 0 before it has one.
    pub id: u64,
    /// Its term.
    pub term: u64,
    /// Whether it leads.
    pub leads: bool,
    /// Whether it leads and has activated.
    pub active: bool,
    /// The leader that it knows.
    pub leader: Option<u64>,
    /// Index of the last applied entry.
    pub applied: u64,
    /// Revision of its state.
    pub revision: u64,
    /// Cluster time of its state.
    pub time_ms: u64,
    /// Index of the last entry in its log.
    pub last_log: u64,
    /// Index that its last snapshot covers.
    pub snapshot: u64,
    /// Voters that it knows.
    pub voters: Vec<u64>,
    /// Learners that it knows.
    pub learners: Vec<u64>,
    /// Generation of its state: grows when a snapshot is installed.
    pub generation: u64,
}

/// A connection to a node's control port.
pub struct Control {
    reader: BufReader<TcpStream>,
}

impl Control {
    /// Connects; calls give up after `bound`.
    pub fn connect(address: SocketAddr, bound: Duration) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, CONNECT_BOUND)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(bound))?;
        stream.set_write_timeout(Some(bound))?;
        Ok(Self {
            reader: BufReader::new(stream),
        })
    }

    /// One call. After a transport error the connection is of no more use.
    pub fn call(&mut self, line: &str) -> Result<String, CallError> {
        self.send(line)?;
        self.receive()
    }

    /// Sends a call without waiting for its answer: a paused node finds it when it wakes.
    pub fn send(&mut self, line: &str) -> Result<(), CallError> {
        let sent = self
            .reader
            .get_mut()
            .write_all(format!("{line}\n").as_bytes());
        sent.map_err(|error| CallError::Unknown(error.to_string()))
    }

    /// The answer to the call that was sent first.
    pub fn receive(&mut self) -> Result<String, CallError> {
        let unknown = |error: std::io::Error| CallError::Unknown(error.to_string());
        let mut answer = String::new();
        let n = self.reader.read_line(&mut answer).map_err(unknown)?;
        if n == 0 || !answer.ends_with('\n') {
            return Err(CallError::Unknown("connection closed".to_owned()));
        }
        parse(answer.trim_end())
    }

    /// Writes a key without a condition.
    pub fn put(&mut self, key: &str, value: &str) -> Result<u64, CallError> {
        number(self.call(&format!("put {key} {value}"))?)
    }

    /// Writes `new` if the key holds `expected` (`None`: if there is no such key).
    pub fn cas(&mut self, key: &str, expected: Option<&str>, new: &str) -> Result<u64, CallError> {
        number(self.call(&format!("cas {key} {} {new}", expected.unwrap_or("-")))?)
    }

    /// Reads by `how`: `get` (lease), `getri` (ReadIndex) or `getlocal` (whatever the node
    /// has: not linearizable).
    pub fn read(&mut self, how: &str, key: &str) -> Result<Option<String>, CallError> {
        self.call(&format!("{how} {key}"))
            .map(|answer| value_of(&answer))
    }

    /// All records, read through ReadIndex: the state's revision, and value and revision by
    /// key.
    pub fn dump(&mut self) -> Result<(u64, Records), CallError> {
        let broken = || CallError::Refused("not a dump".to_owned());
        let text = self.call("dump")?;
        let value: Value = serde_json::from_str(&text).map_err(|_| broken())?;
        let revision = value["revision"].as_u64().ok_or_else(broken)?;
        let mut records = Records::new();
        for row in value["records"].as_array().ok_or_else(broken)? {
            let key = row[0].as_str().ok_or_else(broken)?.to_owned();
            let value = row[1].as_str().ok_or_else(broken)?.to_owned();
            records.insert(key, (value, row[2].as_u64().ok_or_else(broken)?));
        }
        Ok((revision, records))
    }

    /// The node's status.
    pub fn status(&mut self) -> Result<Status, CallError> {
        let text = self.call("status")?;
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| CallError::Refused(format!("{error}: {text}")))?;
        let ids = |name: &str| {
            let items = value[name].as_array().cloned().unwrap_or_default();
            items.iter().filter_map(Value::as_u64).collect()
        };
        let number = |name: &str| value[name].as_u64().unwrap_or_default();
        Ok(Status {
            id: number("id"),
            term: number("term"),
            leads: value["role"] == "leader",
            active: value["active"].as_bool().unwrap_or_default(),
            leader: value["leader"].as_u64(),
            applied: number("applied"),
            last_log: number("last_log"),
            snapshot: number("snapshot"),
            revision: number("revision"),
            time_ms: number("time_ms"),
            voters: ids("voters"),
            learners: ids("learners"),
            generation: number("generation"),
        })
    }
}

/// The value in the answer to a read.
pub fn value_of(answer: &str) -> Option<String> {
    answer
        .split_once(' ')
        .map(|(_revision, value)| value.to_owned())
}

fn number(text: String) -> Result<u64, CallError> {
    text.parse()
        .map_err(|_| CallError::Unknown(format!("not a number: {text}")))
}

fn parse(answer: &str) -> Result<String, CallError> {
    let (head, rest) = answer.split_once(' ').unwrap_or((answer, ""));
    if head == "ok" {
        return Ok(rest.to_owned());
    }
    let (kind, text) = rest.split_once(' ').unwrap_or((rest, ""));
    Err(match kind {
        "not-active" => CallError::NotActive(text.parse().ok()),
        "conflict" => CallError::Conflict(text.to_owned()),
        "not-applied" => CallError::NotApplied(text.to_owned()),
        "maybe-applied" => CallError::Unknown(text.to_owned()),
        _ => CallError::Refused(rest.to_owned()),
    })
}
