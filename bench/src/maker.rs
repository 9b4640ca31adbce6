//! Makes many things fast, tokens or leases, and asks whether they are over.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use tenure_tests::server_cluster::Outcome;
use tokio::task::JoinSet;

use crate::client::Calls;

/// Makes one kind of things, over one connection.
pub trait Maker: 'static {
    /// What it makes.
    type Thing: Clone + 'static;

    /// Makes one that lives so long.
    fn make(&mut self, number: usize, ttl: Duration) -> impl Future<Output = Outcome<Self::Thing>>;

    /// Whether this node says that there is no such thing (any more).
    fn refuses(&mut self, thing: &Self::Thing) -> impl Future<Output = Outcome<bool>>;
}

/// Tokens.
pub struct Tokens<C: Calls> {
    /// Makes and asks.
    pub calls: C,
    /// Who makes them, in turns; root, if there is nobody.
    pub parents: Rc<Vec<C::Token>>,
}

impl<C: Calls> Tokens<C> {
    /// One for each client.
    pub fn of(clients: Vec<C>, parents: Vec<C::Token>) -> Vec<Self> {
        let parents = Rc::new(parents);
        let one = |calls| Self {
            calls,
            parents: Rc::clone(&parents),
        };
        clients.into_iter().map(one).collect()
    }
}

impl<C: Calls> Maker for Tokens<C> {
    type Thing = C::Token;

    async fn make(&mut self, number: usize, ttl: Duration) -> Outcome<C::Token> {
        let parent = match self.parents.len() {
            0 => None,
            parents => self.parents.get(number % parents),
        };
        self.calls.create_child(parent, ttl).await
    }

    async fn refuses(&mut self, token: &C::Token) -> Outcome<bool> {
        self.calls.refuses(token).await
    }
}

/// Something that was made.
#[derive(Clone)]
pub struct Made<T> {
    /// It.
    pub thing: T,
    /// It lives until then at least…
    pub due_from: Instant,
    /// …and at most.
    pub due_by: Instant,
}

/// Makes `count` things, all makers at once.
///
/// # Errors
/// One was refused.
pub async fn fill<M: Maker>(
    makers: Vec<M>,
    count: usize,
    ttl: impl Fn() -> Duration + Clone + 'static,
) -> Outcome<Vec<Made<M::Thing>>> {
    let (step, mut all, mut tasks) = (makers.len().max(1), Vec::new(), JoinSet::new());
    for (first, mut maker) in makers.into_iter().enumerate() {
        let ttl = ttl.clone();
        tasks.spawn_local(async move {
            let mut made = Vec::new();
            for number in (first..count).step_by(step) {
                let (sent, ttl) = (Instant::now(), ttl());
                let thing = maker.make(number, ttl).await?;
                made.push(Made {
                    thing,
                    due_from: sent + ttl,
                    due_by: Instant::now() + ttl,
                });
            }
            Ok::<_, String>(made)
        });
    }
    while let Some(made) = tasks.join_next().await {
        let made = made.map_err(|error| format!("a maker broke: {error}"))?;
        all.extend(made.map_err(|error| format!("fill: {error}"))?);
    }
    Ok(all)
}

/// Some of them, evenly.
pub fn sample<T: Clone>(all: &[T], count: usize) -> Vec<T> {
    let step = (all.len() / count.max(1)).max(1);
    all.iter().step_by(step).take(count).cloned().collect()
}
