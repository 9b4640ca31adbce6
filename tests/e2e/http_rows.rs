//! Requests in rows: each goes to another node of a cluster, on a connection that is kept alive, so
//! that a table of them says what every node answers.

use serde_json::Value;
use tenure_tests::server_cluster::{Outcome, ServerCluster};

use crate::ensure;
use crate::http_client::{Answer, Http};

/// Verb, path under `/v1/`, body, status, and what the answer holds: JSON, of whose objects other
/// fields may be there. An empty text: nothing is said of it.
pub type Row<'a> = (&'a str, &'a str, &'a str, u16, &'a str);

/// Connections to all nodes of a cluster, with one token.
pub struct Rows {
    nodes: Vec<Http>,
    next: usize,
    token: String,
}

impl Rows {
    /// Connects.
    pub async fn of(cluster: &ServerCluster, token: &str) -> Outcome<Self> {
        let mut nodes = Vec::new();
        for index in 0..cluster.nodes.len() {
            nodes.push(Http::to(cluster, index, token).await?);
        }
        let token = token.to_owned();
        Ok(Self {
            nodes,
            next: 0,
            token,
        })
    }

    /// Shows another token from now on.
    pub fn with(&mut self, token: &str) -> &mut Self {
        self.token = token.to_owned();
        self
    }

    /// One request to the next node.
    pub async fn ask(&mut self, row: Row<'_>) -> Outcome<Answer> {
        let (verb, path, body, status, wanted) = row;
        let kind = match verb {
            "PATCH" => "content-type: application/merge-patch+json\r\n",
            _ => "",
        };
        let token = match self.token.as_str() {
            "" => String::new(),
            token => format!("x-vault-token: {token}\r\n"),
        };
        self.next += 1;
        let at = self.next % self.nodes.len();
        let http = self.nodes.get_mut(at).ok_or("no node")?;
        let target = format!("/v1/{path}");
        let headers = format!("{token}{kind}");
        let answer = http.send(verb, &target, &headers, body).await?;
        let said =
            || format!("{verb} {path} {body:.80} at node {at}: {answer:?}, not {status} {wanted}");
        ensure(answer.status == status, said)?;
        if !wanted.is_empty() {
            let wanted: Value = serde_json::from_str(wanted).map_err(crate::text)?;
            ensure(is_within(&wanted, &answer.json()), said)?;
        }
        Ok(answer)
    }

    /// All of them, in order.
    pub async fn all(&mut self, rows: &[Row<'_>]) -> Outcome<()> {
        for row in rows {
            self.ask(*row).await?;
        }
        Ok(())
    }
}

/// Whether `whole` says all that `part` says.
fn is_within(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => part
            .iter()
            .all(|(name, value)| whole.get(name).is_some_and(|other| is_within(value, other))),
        (part, whole) => part == whole,
    }
}
