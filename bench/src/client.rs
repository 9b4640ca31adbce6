//! The clients of the load, whatever system they call: what differs is only how one call is
//! made ([`Calls`]).

use std::{cell::RefCell, rc::Rc, time::Duration};

use tenure_tests::server_cluster::Outcome;

use crate::{
    closed_loop::{Sample, Turn, Window, Worker, measure},
    limits::{FILL_CLIENTS, POOL_TOKENS},
    operation::Operation,
};

/// One system's calls, over one connection. An error is the refusal, for people.
pub trait Calls: 'static {
    /// A token, ready to be sent.
    type Token: Clone + 'static;

    /// Root makes a service token of one hour with the default policy.
    fn create(&mut self) -> impl Future<Output = Outcome<Self::Token>>;
    /// A token (or root) makes a child with the default policy and [`MAKER`].
    ///
    /// [`MAKER`]: crate::system::MAKER
    fn create_child(
        &mut self,
        parent: Option<&Self::Token>,
        ttl: Duration,
    ) -> impl Future<Output = Outcome<Self::Token>>;
    /// Whether the node says that there is no such token.
    fn refuses(&mut self, token: &Self::Token) -> impl Future<Output = Outcome<bool>>;
    /// A token looks itself up.
    fn lookup_self(&mut self, token: &Self::Token) -> impl Future<Output = Outcome<()>>;
    /// A token renews itself.
    fn renew_self(&mut self, token: &Self::Token) -> impl Future<Output = Outcome<()>>;
    /// Root revokes a token.
    fn revoke(&mut self, token: &Self::Token) -> impl Future<Output = Outcome<()>>;
    /// Root is granted a lease of one hour on a small payload.
    fn grant(&mut self) -> impl Future<Output = Outcome<()>>;
}

/// Tokens that are looked up and renewed.
pub type Pool<C> = Rc<Vec<<C as Calls>::Token>>;

/// How many clients make what `clients` clients revoke.
pub fn makers(clients: usize) -> usize {
    FILL_CLIENTS.min(clients * 8)
}

/// Makes the tokens that are looked up and renewed.
///
/// # Errors
/// A call was refused.
pub async fn make_pool<C: Calls>(mut calls: C) -> Outcome<Pool<C>> {
    let mut pool = Vec::with_capacity(POOL_TOKENS);
    for _ in 0..POOL_TOKENS {
        let made = calls.create().await;
        pool.push(made.map_err(|error| format!("fill: {error}"))?);
    }
    Ok(Rc::new(pool))
}

/// Makes tokens for a measurement of revocation: as many as are made in the time it takes.
///
/// # Errors
/// None was made.
pub async fn make_stock<C: Calls>(makers: Vec<C>, window: Window) -> Outcome<Vec<C::Token>> {
    let made = Rc::default();
    let makers = makers.into_iter().map(|calls| Maker {
        calls,
        made: Rc::clone(&made),
    });
    let window = Window {
        warm: Duration::ZERO,
        measured: window.warm + window.measured,
    };
    measure(makers.collect(), window).await?;
    Ok(made.take())
}

/// Measures an operation; each of `calls` is a client.
///
/// # Errors
/// Nothing could be measured.
pub async fn measure_operation<C: Calls>(
    calls: Vec<C>,
    operation: Operation,
    pool: &Pool<C>,
    mut stock: Vec<C::Token>,
    window: Window,
) -> Outcome<Sample> {
    let clients = calls.len().max(1);
    let share = stock.len() / clients;
    let workers = calls.into_iter().enumerate().map(|(number, calls)| Client {
        calls,
        operation,
        pool: Rc::clone(pool),
        next: number * pool.len() / clients,
        own: stock.split_off(stock.len() - share),
    });
    measure(workers.collect(), window).await
}

struct Client<C: Calls> {
    calls: C,
    operation: Operation,
    pool: Pool<C>,
    next: usize,
    own: Vec<C::Token>,
}

impl<C: Calls> Worker for Client<C> {
    async fn turn(&mut self) -> Result<Turn, String> {
        self.next = (self.next + 1) % self.pool.len();
        let token = &self.pool[self.next];
        match self.operation {
            Operation::Create => self.calls.create().await.map(drop),
            Operation::LookupSelf => self.calls.lookup_self(token).await,
            Operation::RenewSelf => self.calls.renew_self(token).await,
            Operation::Revoke => match self.own.pop() {
                Some(token) => self.calls.revoke(&token).await,
                None => return Ok(Turn::Exhausted),
            },
            Operation::GrantLease => self.calls.grant().await,
        }
        .map(|()| Turn::Served)
    }
}

struct Maker<C: Calls> {
    calls: C,
    made: Rc<RefCell<Vec<C::Token>>>,
}

impl<C: Calls> Worker for Maker<C> {
    async fn turn(&mut self) -> Result<Turn, String> {
        let token = self.calls.create().await?;
        self.made.borrow_mut().push(token);
        Ok(Turn::Served)
    }
}
