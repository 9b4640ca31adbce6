//! Clients at work: they make tokens, renew some, revoke some, through all nodes they know,
//! and note what they were told. Afterwards every node must agree with the notes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tenure_client::proto::CreateTokenRequest;
use tenure_client::{Applied, Client, Error, Secret};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::node::refused_token;
use super::{Outcome, SOON, ServerCluster, in_parallel, until};

/// Wait after a call that failed.
const PAUSE: Duration = Duration::from_millis(5);
const HOUR: Duration = Duration::from_secs(3600);
/// Calls under way at once while notes are checked.
const CHECKERS: usize = 16;

/// What clients were told.
#[derive(Default)]
pub struct Notes {
    /// Tokens that were acknowledged and not revoked.
    pub live: Vec<Secret>,
    /// Tokens whose revocation was acknowledged.
    pub revoked: Vec<Secret>,
    /// Calls whose outcome the client was not told.
    pub unknown: u64,
    /// What must not have happened.
    pub violations: Vec<String>,
}

impl Notes {
    fn merge(&mut self, other: Notes) {
        self.live.extend(other.live);
        self.revoked.extend(other.revoked);
        self.unknown += other.unknown;
        self.violations.extend(other.violations);
    }

    /// Checks every note on every node of `nodes`.
    pub async fn verify(&self, cluster: &ServerCluster, nodes: &[usize]) -> Outcome<()> {
        if let Some(first) = self.violations.first() {
            return Err(format!(
                "{} violations, such as: {first}",
                self.violations.len()
            ));
        }
        for index in nodes {
            let root = cluster.root_at(*index)?;
            let name = cluster.node(*index)?.name.clone();
            let live = self.live.iter().map(|token| (token.clone(), true));
            let revoked = self.revoked.iter().map(|token| (token.clone(), false));
            in_parallel(live.chain(revoked).collect(), CHECKERS, |(token, good)| {
                let (root, name) = (root.clone(), name.clone());
                async move {
                    check(&root, &token, good)
                        .await
                        .map_err(|why| format!("{name}: {why}"))
                }
            })
            .await?;
        }
        Ok(())
    }
}

// A loop of its own: the future of an `async` closure that borrows isn't known to be `Send`.
async fn check(root: &Client, token: &Secret, good: bool) -> Outcome<()> {
    let end = Instant::now() + SOON;
    loop {
        match (root.lookup_token(token).await, good) {
            (Ok(_), true) => return Ok(()),
            (Ok(_), false) => {
                return Err("accepts a token whose revocation was acknowledged".to_owned());
            }
            (Err(error), false) if refused_token(&error) => return Ok(()),
            (Err(error), true) if refused_token(&error) => {
                return Err("lost a token that was acknowledged".to_owned());
            }
            (Err(error), _) if Instant::now() >= end => {
                return Err(format!("doesn't say whether a token is good: {error}"));
            }
            (Err(_), _) => sleep(PAUSE).await,
        }
    }
}

/// Running clients.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    acked: Arc<AtomicU64>,
    times: Arc<Mutex<Vec<Instant>>>,
    tasks: Vec<JoinHandle<Notes>>,
}

impl Traffic {
    /// Starts `writers` clients over the nodes of `indexes`; each begins at another one.
    pub fn start(cluster: &ServerCluster, indexes: &[usize], writers: usize) -> Outcome<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let acked = Arc::new(AtomicU64::new(0));
        let times = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for number in 0..writers {
            let mut order = indexes.to_vec();
            order.rotate_left(number % indexes.len().max(1));
            // The writer itself goes on to the next node at once: what is measured is the
            // cluster, not the pauses that the SDK makes between its rounds.
            let client = cluster.client_of(&order)?.with_retry_window(Duration::ZERO);
            let lookers: Outcome<Vec<Client>> =
                order.iter().map(|index| cluster.root_at(*index)).collect();
            let writer = Writer {
                number,
                client,
                lookers: lookers?,
                stop: Arc::clone(&stop),
                acked: Arc::clone(&acked),
                times: Arc::clone(&times),
                notes: Notes::default(),
            };
            tasks.push(tokio::spawn(writer.run()));
        }
        Ok(Self {
            stop,
            acked,
            times,
            tasks,
        })
    }

    /// Acknowledged writes so far.
    pub fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }

    /// Waits until `more` further writes were acknowledged.
    pub async fn wait_acked(&self, more: u64) -> Outcome<()> {
        let goal = self.acked() + more;
        until("writes are acknowledged", SOON, async || {
            match self.acked() {
                now if now >= goal => Ok(()),
                now => Err(format!("{now} of {goal}")),
            }
        })
        .await
    }

    /// The longest time without an acknowledged write since `from`.
    pub fn longest_gap(&self, from: Instant) -> Duration {
        let mut times = self
            .times
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        times.sort();
        let mut last = from;
        let mut longest = Duration::ZERO;
        for time in times.into_iter().filter(|time| *time >= from) {
            longest = longest.max(time - last);
            last = time;
        }
        longest
    }

    /// Ends the clients and gives their notes.
    pub async fn finish(mut self) -> Outcome<Notes> {
        self.stop.store(true, Ordering::Relaxed);
        let mut notes = Notes::default();
        for task in std::mem::take(&mut self.tasks) {
            notes.merge(
                task.await
                    .map_err(|error| format!("a client broke: {error}"))?,
            );
        }
        Ok(notes)
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in &self.tasks {
            task.abort();
        }
    }
}

struct Writer {
    number: usize,
    client: Client,
    lookers: Vec<Client>,
    stop: Arc<AtomicBool>,
    acked: Arc<AtomicU64>,
    times: Arc<Mutex<Vec<Instant>>>,
    notes: Notes,
}

impl Writer {
    async fn run(mut self) -> Notes {
        let mut count = 0_usize;
        while !self.stop.load(Ordering::Relaxed) {
            count += 1;
            let request = CreateTokenRequest {
                policies: vec!["default".to_owned()],
                display_name: format!("traffic-{}-{count}", self.number),
                ttl: prost_types::Duration::try_from(HOUR).ok(),
                // Half of the calls may be sent again, half may not.
                request_id: match count % 2 {
                    0 => String::new(),
                    _ => format!("traffic-{}-{}-{count}", std::process::id(), self.id()),
                },
                ..CreateTokenRequest::default()
            };
            let token = match self.client.create_token(request).await {
                Ok(auth) => Secret::new(auth.client_token),
                Err(error) => {
                    self.failed("create", &error);
                    sleep(PAUSE).await;
                    continue;
                }
            };
            self.acknowledged();
            match count % 6 {
                0 => self.revoke(token, count).await,
                3 => self.renew(token, count).await,
                _ => self.notes.live.push(token),
            }
        }
        self.notes
    }

    /// Tells two runs of writers of one process apart.
    fn id(&self) -> String {
        format!("{:p}-{}", Arc::as_ptr(&self.stop), self.number)
    }

    fn acknowledged(&self) {
        self.acked.fetch_add(1, Ordering::Relaxed);
        self.times
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Instant::now());
    }

    fn failed(&mut self, what: &str, error: &Error) {
        if error.applied() == Applied::Maybe {
            self.notes.unknown += 1;
        }
        // The root token and the new token are good: no answer may say otherwise.
        if refused_token(error) {
            self.notes
                .violations
                .push(format!("{what} with a good token: {error}"));
        }
    }

    async fn revoke(&mut self, token: Secret, count: usize) {
        match self.client.revoke_token(&token).await {
            Ok(()) => self.acknowledged(),
            Err(error) => {
                self.failed("revoke", &error);
                if error.applied() == Applied::No {
                    self.notes.live.push(token);
                }
                return;
            }
        }
        // At once, on another node: a standby may not answer from an old state.
        let looker = self.looker(count);
        if looker.lookup_token(&token).await.is_ok() {
            let address = looker.addresses().next().unwrap_or_default().to_owned();
            let text = format!("{address} shows a token whose revocation was acknowledged");
            self.notes.violations.push(text);
        }
        self.notes.revoked.push(token);
    }

    async fn renew(&mut self, token: Secret, count: usize) {
        let renewed = self.client.renew_token(&token, Some(2 * HOUR)).await;
        match renewed {
            Ok(_) => {
                self.acknowledged();
                let looker = self.looker(count);
                if let Ok(info) = looker.lookup_token(&token).await
                    && info.ttl.is_none_or(|ttl| ttl.seconds <= 3600)
                {
                    let address = looker.addresses().next().unwrap_or_default().to_owned();
                    let text = format!("{address} shows the life before an acknowledged renewal");
                    self.notes.violations.push(text);
                }
            }
            Err(error) => self.failed("renew", &error),
        }
        self.notes.live.push(token);
    }

    /// A client of one node, another one each time. It answers soon or not at all.
    fn looker(&self, count: usize) -> Client {
        let index = (count / 6) % self.lookers.len().max(1);
        let looker = self.lookers.get(index).unwrap_or(&self.client);
        looker
            .with_retry_window(Duration::ZERO)
            .with_deadline(Duration::from_secs(2))
    }
}
