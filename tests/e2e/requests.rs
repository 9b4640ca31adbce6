//! One request, sent many times at once: it acts once, and everybody is told the same.

use std::sync::Arc;

use tenure_client::proto::{CreateTokenRequest, GrantLeaseRequest, MountRequest, WriteRequest};
use tenure_client::{Client, Code, Error};
use tenure_tests::scale;
use tenure_tests::server_cluster::{Outcome, SOON, ServerCluster};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::{ensure, make, run, seconds, text, three, wish};

const CLIENTS: usize = 12;
/// Requests that every client sends, in the same order.
const REQUESTS: usize = 40;

/// Twelve clients send the same requests through all nodes at the same time.
///
/// Planted bug: the absence of a kept answer doesn't count as read. Caught in the first round.
#[test]
fn one_request_raced_acts_once() {
    run("requests::one_request_raced_acts_once", async |scenario| {
        let cluster = three(scenario).await?;
        for round in 0..3 * scale() {
            let clients = (0..CLIENTS).map(|number| cluster.root_at(number % 3));
            let storm = Storm::start(clients.collect::<Outcome<_>>()?, round);
            storm.finish(&cluster).await?;
        }
        Ok(())
    });
}

/// The same while the active node is killed: the clients go on with the same ids elsewhere.
/// A request whose answer died with the node is not carried out again.
#[test]
fn one_request_acts_once_across_a_killed_leader() {
    run(
        "requests::one_request_acts_once_across_a_killed_leader",
        async |scenario| {
            let mut cluster = three(scenario).await?;
            for round in 0..2 * scale() {
                let active = cluster.wait_active().await?;
                let clients = (0..CLIENTS).map(|number| {
                    let order = [number, number + 1, number + 2].map(|index| index % 3);
                    let client = cluster.client_of(&order)?;
                    Ok(client.with_deadline(SOON).with_retry_window(SOON))
                });
                let storm = Storm::start(clients.collect::<Outcome<_>>()?, round);
                storm.wait_under_way().await?;
                cluster.node_mut(active)?.kill();
                storm.finish(&cluster).await?;
                cluster.restart(active).await?;
                cluster.unseal(active).await?;
                cluster.wait_complete().await?;
                scenario.say(format!("round {round}: node {active} was killed"));
            }
            Ok(())
        },
    );
}

/// Clients that send the same requests.
struct Storm {
    round: usize,
    clients: JoinSet<Outcome<Vec<String>>>,
    /// Reached by all clients after a quarter of their requests.
    under_way: Arc<Barrier>,
}

impl Storm {
    fn start(clients: Vec<Client>, round: usize) -> Self {
        let start = Arc::new(Barrier::new(clients.len()));
        let under_way = Arc::new(Barrier::new(clients.len() + 1));
        let mut tasks = JoinSet::new();
        for client in clients {
            let (start, under_way) = (Arc::clone(&start), Arc::clone(&under_way));
            tasks.spawn(async move {
                start.wait().await;
                let mut given = Vec::new();
                for number in 0..REQUESTS {
                    if number == REQUESTS / 4 {
                        // Nobody waits for the others here: only the test does for all.
                        let under_way = Arc::clone(&under_way);
                        tokio::spawn(async move { under_way.wait().await });
                    }
                    let answer = send(&client, round, number).await;
                    given.push(answer.map_err(|error| format!("request {number}: {error}"))?);
                }
                Ok(given)
            });
        }
        Self {
            round,
            clients: tasks,
            under_way,
        }
    }

    async fn wait_under_way(&self) -> Outcome<()> {
        let all = tokio::time::timeout(SOON, self.under_way.wait()).await;
        all.map(drop).map_err(text)
    }

    /// All clients were given the same, and nothing else was made.
    async fn finish(mut self, cluster: &ServerCluster) -> Outcome<()> {
        let round = self.round;
        let mut first: Option<Vec<String>> = None;
        while let Some(given) = self.clients.join_next().await {
            let given = given.map_err(text)??;
            let first = first.get_or_insert_with(|| given.clone());
            let differs = first.iter().zip(&given).position(|(a, b)| a != b);
            ensure(differs.is_none(), || {
                format!("round {round}: request {differs:?} acted more than once")
            })?;
        }
        let client = cluster.client()?.with_retry_window(SOON);
        let leases = client.count_leases(&path(round)).await.map_err(text)?;
        ensure(leases == REQUESTS as u64 / 2, || {
            format!("round {round}: {leases} leases")
        })?;
        // Root, and what the rounds made.
        let (tokens, expected) = (count_tokens(&client).await?, 1 + (round + 1) * REQUESTS / 2);
        ensure(tokens == expected, || {
            format!("round {round}: {tokens} tokens, not {expected}")
        })
    }
}

fn path(round: usize) -> String {
    format!("storm/{round}")
}

/// Sends one request, a token or a lease by turns, and gives the id of what it made.
async fn send(client: &Client, round: usize, number: usize) -> Result<String, Error> {
    let request_id = format!("storm-{round}-{number}");
    if number.is_multiple_of(2) {
        let request = tenure_client::proto::CreateTokenRequest {
            request_id,
            ..wish("storm")
        };
        let auth = client.create_token(request).await?;
        return Ok(auth.client_token);
    }
    let request = GrantLeaseRequest {
        path: path(round),
        payload: b"storm".to_vec(),
        ttl: seconds(3600),
        request_id,
        ..GrantLeaseRequest::default()
    };
    Ok(client.grant_lease(request).await?.lease_id)
}

async fn count_tokens(client: &Client) -> Outcome<usize> {
    let (mut count, mut page) = (0, String::new());
    loop {
        let answer = client.list_accessors(1000, &page).await.map_err(text)?;
        count += answer.tokens.len();
        page = answer.next_page_token;
        if page.is_empty() {
            return Ok(count);
        }
    }
}

/// A kept answer is for who may still make the call, and a first try that changed what is there
/// doesn't turn its repetition into another call.
///
/// Planted bugs: the answer is given without a look at the policies (caught: the token was told);
/// the repetition is judged as an update (caught: it was denied).
#[test]
fn a_kept_answer_is_judged_by_the_policies_of_now() {
    run("requests::a_kept_answer_is_judged", async |scenario| {
        let cluster = three(scenario).await?;
        let root = cluster.client()?;
        let (token, _) = make(&root, wish("caller")).await?;
        let client = cluster.node(1)?.client_of(&token);
        let asked = CreateTokenRequest {
            request_id: "create-1".to_owned(),
            ..wish("child")
        };
        let (child, _) = make(&client, asked.clone()).await?;
        let (again, _) = make(&client, asked.clone()).await?;
        ensure(child.expose() == again.expose(), || {
            "it acted twice".to_owned()
        })?;
        let nothing = r#"path "none" { capabilities = ["deny"] }"#;
        root.write_policy("service", nothing).await.map_err(text)?;
        match client.create_token(asked).await {
            Err(error) if error.code() == Code::PermissionDenied => {}
            Err(error) => return Err(error.to_string()),
            Ok(_) => return Err("the token was told to who may not make it any more".to_owned()),
        }

        let mount = MountRequest {
            path: "kv".to_owned(),
            r#type: "kv".to_owned(),
            ..MountRequest::default()
        };
        root.mount(mount).await.map_err(text)?;
        let create = r#"path "kv/*" { capabilities = ["create"] }"#;
        root.write_policy("service", create).await.map_err(text)?;
        let write = |request_id: &str| WriteRequest {
            path: "kv/a".to_owned(),
            data: br#"{"k":"v"}"#.to_vec(),
            request_id: request_id.to_owned(),
        };
        client.write(write("write-1")).await.map_err(text)?;
        client.write(write("write-1")).await.map_err(text)?;
        match client.write(write("write-2")).await {
            Err(error) if error.code() == Code::PermissionDenied => Ok(()),
            Err(error) => Err(error.to_string()),
            Ok(_) => Err("what exists was written by who may only create".to_owned()),
        }
    });
}
