//! The rules together: scenes with one point each, races, and a random walk compared with
//! a naive model.

mod model;
mod races;
mod scenes;

use crate::{
    barrier::{Barrier, Keyring},
    random::Random,
    state::{Accessors, Row, Table, TimeIndex, TokenChildren, Tokens, View, range_of},
    testing::{Change, MemoryStore, TestRandom},
    token::*,
    types::{PolicySet, TokenId, Ttl, TtlRequest, UnixMillis},
};

/// A cluster in miniature: a store, a clock, and what apply maintains in memory.
struct World {
    store: MemoryStore,
    barrier: Barrier,
    revocations: Revocations,
    ttl: TtlConfig,
    now: UnixMillis,
    random: TestRandom,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = TestRandom::new(seed);
        let keyring = Keyring::generate(UnixMillis::new(0), &mut random);
        Self {
            store: MemoryStore::default(),
            barrier: Barrier::new(&keyring).unwrap(),
            revocations: Revocations::default(),
            ttl: TtlConfig::default(),
            now: UnixMillis::new(1_700_000_000_000),
            random,
        }
    }

    /// With a root token.
    fn with_root(seed: u64) -> (Self, TokenId) {
        let mut world = Self::new(seed);
        let root = world
            .commit(|context, random| create_root(context, None, random))
            .unwrap();
        (world, root.id)
    }

    fn commit<T>(
        &mut self,
        operation: impl FnOnce(Context<'_>, &mut dyn Random) -> Result<Plan<T>, TokenError>,
    ) -> Result<T, TokenError> {
        let view = View::new(&self.store, &self.barrier);
        let (ttl, now) = (&self.ttl, self.now);
        let context = Context {
            view: &view,
            revocations: &self.revocations,
            ttl,
            now,
        };
        let Plan { txn, response } = operation(context, &mut self.random)?;
        if !txn.is_empty() {
            self.apply(txn);
        }
        Ok(response)
    }

    fn apply(&mut self, txn: crate::state::Txn) {
        let changes = self.store.commit(txn.into_ops());
        for change in changes {
            match change {
                Change::Put(key, revision) => self.revocations.put(&key, revision),
                Change::Delete(key) => self.revocations.delete(&key),
                Change::DeleteRange(start, end) => self.revocations.delete_range(&start, &end),
            }
        }
        // What apply maintains is what a fresh load gives.
        assert_eq!(self.revocations, Revocations::load(&self.store).unwrap());
    }

    fn read<T>(
        &self,
        operation: impl FnOnce(Context<'_>) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        let view = View::new(&self.store, &self.barrier);
        let (ttl, now) = (&self.ttl, self.now);
        operation(Context {
            view: &view,
            revocations: &self.revocations,
            ttl,
            now,
        })
    }

    fn alive(&self, id: &TokenId) -> bool {
        match self.read(|context| identify(context, id)) {
            Ok(_) => true,
            Err(TokenError::InvalidToken) => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn create(
        &mut self,
        caller: &TokenId,
        request: CreateRequest,
    ) -> Result<CreatedToken, TokenError> {
        self.commit(|context, random| {
            let caller = identify(context, caller)?;
            create(&authorize(context, &caller, Create)?, request, random)
        })
    }

    /// A child with the default TTL and this policy.
    fn child(&mut self, caller: &TokenId, policy: &str) -> TokenId {
        self.create(
            caller,
            CreateRequest {
                policies: policies(&[policy]),
                ..CreateRequest::default()
            },
        )
        .unwrap()
        .id
    }

    fn lookup(&self, caller: &TokenId, target: Target) -> Result<TokenInfo, TokenError> {
        self.read(|context| {
            let caller = identify(context, caller)?;
            lookup(&authorize(context, &caller, Lookup(target))?)
        })
    }

    fn renew(
        &mut self,
        caller: &TokenId,
        target: Target,
        by: TtlRequest,
    ) -> Result<Renewed, TokenError> {
        self.commit(|context, random| {
            let caller = identify(context, caller)?;
            renew(&authorize(context, &caller, Renew(target, by))?, random)
        })
    }

    fn revoke(&mut self, caller: &TokenId, target: Target) -> Result<Revoked, TokenError> {
        self.commit(|context, random| {
            let caller = identify(context, caller)?;
            revoke(&authorize(context, &caller, Revoke(target))?, random)
        })
    }

    fn revoke_orphan(&mut self, caller: &TokenId, target: Target) -> Result<Revoked, TokenError> {
        self.commit(|context, random| {
            let caller = identify(context, caller)?;
            revoke_orphan(&authorize(context, &caller, RevokeOrphan(target))?, random)
        })
    }

    fn spend(&mut self, id: &TokenId) -> Result<Caller, TokenError> {
        self.commit(|context, random| {
            let caller = identify(context, id)?;
            spend_use(context, &caller, random)
        })
    }

    fn wait(&mut self, ttl: &str) {
        self.now = self.now.saturating_add(ttl.parse().unwrap());
    }

    /// One round of the expiration manager; false when nothing was due.
    fn expire(&mut self, limit: usize) -> bool {
        let rows = self
            .read(|context| Ok(due(context.view, None, context.now, limit)?))
            .unwrap();
        self.commit(|context, random| expire(context, &rows, random))
            .unwrap();
        !rows.is_empty()
    }

    /// Runs expiry and clean-up until nothing is left to do.
    fn settle(&mut self) {
        while self.expire(64) {}
        for top in self.revocations.tombstones().copied().collect::<Vec<_>>() {
            self.clean_up(&top);
        }
        for hash in self.revocations.markers().copied().collect::<Vec<_>>() {
            self.commit(|context, _| sweep_marker(context.view, &hash))
                .unwrap();
        }
    }

    fn clean_up(&mut self, top: &crate::barrier::TokenHash) {
        let mut cursor = Cursor::default();
        while let Progress::More(next) = self
            .commit(|context, _| clean_up(context, top, cursor))
            .unwrap()
        {
            cursor = next;
        }
    }

    fn rows<T: Table>(&self) -> Vec<Row<T>> {
        let view = View::new(&self.store, &self.barrier);
        view.scan::<T>(range_of::<T>(&[]), usize::MAX).unwrap()
    }

    /// How many rows of tokens, accessors, children and expiries are stored.
    fn counts(&self) -> [usize; 4] {
        [
            self.rows::<Tokens>().len(),
            self.rows::<Accessors>().len(),
            self.rows::<TokenChildren>().len(),
            self.rows::<TimeIndex>().len(),
        ]
    }

    fn list_all(&self, caller: &TokenId, limit: usize) -> Vec<TokenInfo> {
        let (mut tokens, mut after) = (Vec::new(), None);
        loop {
            let page = self
                .read(|context| {
                    let caller = identify(context, caller)?;
                    list(
                        &authorize(context, &caller, ListTokens)?,
                        after.as_ref(),
                        limit,
                    )
                })
                .unwrap();
            tokens.extend(page.tokens);
            after = page.next;
            if after.is_none() {
                return tokens;
            }
        }
    }
}

fn policies(names: &[&str]) -> PolicySet {
    PolicySet::parse(names.iter().copied()).unwrap()
}

fn ttl(text: &str) -> Ttl {
    text.parse().unwrap()
}

fn of(text: &str) -> TtlRequest {
    TtlRequest::from(ttl(text))
}

fn reason<T>(result: Result<T, TokenError>) -> &'static str {
    match result {
        Ok(_) => "OK",
        Err(error) => error.reason(),
    }
}
