//! The rules together: scenes with one point each, races, and a random walk compared with
//! a naive model.

mod kinds;
mod model;
mod protected;
pub(crate) mod races;
mod scenes;

use crate::{
    barrier::{Barrier, Keyring, NameChain},
    lease::{
        LeaseError, PrefixCursor, PrefixProgress, RevokePrefix, clean_up_prefix, revoke_prefix,
    },
    policy::{AclMemo, Parameters, key_of_policy},
    random::Random,
    state::{
        Accessors, DueCursor, Policies, PolicyRecord, Row, Table, TimeIndex, TokenChildren, Tokens,
        Txn, View, range_of,
    },
    testing::{Change, MemoryStore, TestRandom},
    token::*,
    types::{Path, PolicyName, PolicySet, TokenId, Ttl, TtlRequest, UnixMillis},
};

/// What tokens other than root may in these tests: make children, handle themselves, put
/// their own on lease.
const SERVICES: &str = r#"
    path "auth/token/create" { capabilities = ["update"] }
    path "auth/token/lookup-self" { capabilities = ["read"] }
    path "auth/token/renew-self" { capabilities = ["update"] }
    path "auth/token/revoke-self" { capabilities = ["update"] }
    path "sys/leases/*" { capabilities = ["update", "list"] }
"#;

/// A cluster in miniature: a store, a clock, and what apply maintains in memory.
pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) barrier: Barrier,
    pub(crate) revocations: Revocations,
    pub(crate) ttl: TtlConfig,
    pub(crate) acls: AclMemo,
    pub(crate) now: UnixMillis,
    pub(crate) random: TestRandom,
    pub(crate) remote: Option<std::net::IpAddr>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = TestRandom::new(seed);
        let keyring = Keyring::generate(UnixMillis::new(0), &mut random);
        Self {
            store: MemoryStore::default(),
            barrier: Barrier::new(&keyring).unwrap(),
            revocations: Revocations::default(),
            ttl: TtlConfig::default(),
            acls: AclMemo::default(),
            now: UnixMillis::new(1_700_000_000_000),
            random,
            remote: None,
        }
    }

    /// With a root token.
    pub(crate) fn with_root(seed: u64) -> (Self, TokenId) {
        let mut world = Self::new(seed);
        world.write_policy("default", SERVICES);
        let root = world
            .commit(|context, random| create_root(context, None, random))
            .unwrap();
        (world, root.id)
    }

    pub(crate) fn write_policy(&mut self, name: &str, text: &str) {
        let name = PolicyName::parse(name).unwrap();
        let key = key_of_policy(&self.barrier, &name);
        let text = text.to_owned();
        let (mut txn, record) = (Txn::default(), PolicyRecord { name, text });
        txn.insert::<Policies>(&self.barrier, &key, &record, &mut self.random)
            .unwrap();
        self.apply(txn);
    }

    pub(crate) fn commit<T, E>(
        &mut self,
        operation: impl FnOnce(Context<'_>, &mut dyn Random) -> Result<Plan<T>, E>,
    ) -> Result<T, E> {
        let view = View::new(&self.store, &self.barrier);
        let (ttl, now) = (&self.ttl, self.now);
        let context = Context {
            view: &view,
            revocations: &self.revocations,
            acls: &self.acls,
            ttl,
            now,
            remote: self.remote,
        };
        let Plan { mut txn, response } = operation(context, &mut self.random)?;
        crate::quota::settle(&view, &mut txn, &mut self.random).unwrap();
        if !txn.is_empty() {
            self.apply(txn);
        }
        Ok(response)
    }

    pub(crate) fn apply(&mut self, mut txn: crate::state::Txn) {
        txn.seal_events(&self.barrier, &mut self.random).unwrap();
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

    pub(crate) fn read<T, E>(
        &self,
        operation: impl FnOnce(Context<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let view = View::new(&self.store, &self.barrier);
        let (ttl, now) = (&self.ttl, self.now);
        operation(Context {
            view: &view,
            revocations: &self.revocations,
            acls: &self.acls,
            ttl,
            now,
            remote: self.remote,
        })
    }

    pub(crate) fn alive(&self, id: &TokenId) -> bool {
        match self.read(|context| identify(context, id)) {
            Ok(_) => true,
            Err(TokenError::InvalidToken) => false,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn create(
        &mut self,
        caller: &TokenId,
        request: CreateRequest,
    ) -> Result<CreatedToken, TokenError> {
        self.create_at(caller, CreatePath::Child, request)
    }

    pub(crate) fn create_at(
        &mut self,
        caller: &TokenId,
        path: CreatePath,
        request: CreateRequest,
    ) -> Result<CreatedToken, TokenError> {
        self.commit(|context, random| {
            let caller = identify(context, caller)?;
            let action = Create(path, Parameters::default());
            create(&authorize(context, &caller, action)?, request, random)
        })
    }

    /// Revokes all tokens that were made under a path.
    pub(crate) fn revoke_path(&mut self, caller: &TokenId, path: &str) -> Result<(), LeaseError> {
        self.commit(|context, random| {
            let caller = identify(context, caller)?;
            let action = RevokePrefix(Path::parse(path).unwrap());
            revoke_prefix(&authorize(context, &caller, action)?, random)
        })
    }

    /// So many steps behind a revoked path at most.
    pub(crate) fn clean_up_path(&mut self, path: &NameChain, steps: usize) {
        let mut cursor = PathCursor::default();
        for _ in 0..steps {
            let done = self
                .commit(|context, random| clean_up_path(context, path, cursor, random))
                .unwrap();
            match done {
                PathProgress::More(next) => cursor = next,
                PathProgress::Kept(..) | PathProgress::Done => return,
            }
        }
    }

    /// A child with the default TTL and this policy.
    pub(crate) fn child(&mut self, caller: &TokenId, policy: &str) -> TokenId {
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

    pub(crate) fn lookup(&self, caller: &TokenId, target: Target) -> Result<TokenInfo, TokenError> {
        self.read(|context| {
            let caller = identify(context, caller)?;
            lookup(&authorize(context, &caller, Lookup(target))?)
        })
    }

    pub(crate) fn renew(
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

    pub(crate) fn revoke(
        &mut self,
        caller: &TokenId,
        target: Target,
    ) -> Result<Revoked, TokenError> {
        self.commit(|context, random| {
            let caller = identify(context, caller)?;
            revoke(&authorize(context, &caller, Revoke(target))?, random)
        })
    }

    pub(crate) fn revoke_orphan(
        &mut self,
        caller: &TokenId,
        target: Target,
    ) -> Result<Revoked, TokenError> {
        self.commit(|context, random| {
            let caller = identify(context, caller)?;
            revoke_orphan(&authorize(context, &caller, RevokeOrphan(target))?, random)
        })
    }

    pub(crate) fn spend(&mut self, id: &TokenId) -> Result<Caller, TokenError> {
        self.commit(|context, random| {
            let caller = identify(context, id)?;
            spend_use(context, &caller, random)
        })
    }

    pub(crate) fn wait(&mut self, ttl: &str) {
        self.now = self.now.saturating_add(ttl.parse().unwrap());
    }

    /// One round of the expiration manager; false when nothing was due.
    pub(crate) fn expire(&mut self, limit: usize) -> bool {
        let rows = self
            .read(|context| due(context.view, &DueCursor::default(), context.now, limit))
            .unwrap();
        self.commit(|context, random| expire(context, &rows, random))
            .unwrap();
        !rows.is_empty()
    }

    /// Runs expiry and clean-up until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        while self.expire(64) {}
        for path in self.revocations.paths().cloned().collect::<Vec<_>>() {
            self.clean_up_path(&path, usize::MAX);
        }
        for top in self.revocations.tombstones().copied().collect::<Vec<_>>() {
            self.clean_up(&top);
        }
        for prefix in self.revocations.prefixes().cloned().collect::<Vec<_>>() {
            self.clean_up_prefix(&prefix, usize::MAX);
        }
        for hash in self.revocations.markers().copied().collect::<Vec<_>>() {
            while self.sweep(&hash) {}
        }
    }

    pub(crate) fn sweep(&mut self, hash: &crate::barrier::TokenHash) -> bool {
        self.commit(|context, _| sweep_marker(context, hash))
            .unwrap()
    }

    /// So many steps behind a prefix at most.
    pub(crate) fn clean_up_prefix(&mut self, prefix: &NameChain, steps: usize) {
        let mut cursor = PrefixCursor::default();
        for _ in 0..steps {
            let done = self
                .commit(|context, _| clean_up_prefix(context, prefix, cursor))
                .unwrap();
            match done {
                PrefixProgress::More(next) => cursor = next,
                PrefixProgress::Done => return,
            }
        }
    }

    pub(crate) fn clean_up(&mut self, top: &crate::barrier::TokenHash) {
        let mut cursor = Cursor::default();
        while let Progress::More(next) = self
            .commit(|context, _| clean_up(context, top, cursor))
            .unwrap()
        {
            cursor = next;
        }
    }

    /// A step behind all tombstones that one transaction may deal with.
    pub(crate) fn clean_up_some(
        &mut self,
        cursors: &mut std::collections::BTreeMap<crate::barrier::TokenHash, Cursor>,
    ) {
        let tops = self.revocations.tombstones().copied();
        let tops: Vec<_> = tops
            .map(|top| (top, cursors.remove(&top).unwrap_or_default()))
            .collect();
        let done = self
            .commit(|context, _| clean_up_some(context, tops))
            .unwrap();
        for (top, progress) in done {
            if let Progress::More(cursor) = progress {
                cursors.insert(top, cursor);
            }
        }
    }

    pub(crate) fn rows<T: Table>(&self) -> Vec<Row<T>> {
        let view = View::new(&self.store, &self.barrier);
        view.scan::<T>(range_of::<T>(&[]), usize::MAX).unwrap()
    }

    /// How many rows of tokens, accessors, children and expiries are stored.
    pub(crate) fn counts(&self) -> [usize; 4] {
        [
            self.rows::<Tokens>().len(),
            self.rows::<Accessors>().len(),
            self.rows::<TokenChildren>().len(),
            self.rows::<TimeIndex>().len(),
        ]
    }

    pub(crate) fn list_all(&self, caller: &TokenId, limit: usize) -> Vec<TokenInfo> {
        let (mut tokens, mut after) = (Vec::new(), None);
        loop {
            let page = self
                .read(|context| {
                    let caller = identify(context, caller)?;
                    list(
                        &authorize(context, &caller, ListTokens)?,
                        &Filter::default(),
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

pub(crate) fn policies(names: &[&str]) -> PolicySet {
    PolicySet::parse(names.iter().copied()).unwrap()
}

pub(crate) fn ttl(text: &str) -> Ttl {
    text.parse().unwrap()
}

pub(crate) fn of(text: &str) -> TtlRequest {
    TtlRequest::from(ttl(text))
}

pub(crate) fn reason<T>(result: Result<T, TokenError>) -> &'static str {
    match result {
        Ok(_) => "OK",
        Err(error) => error.reason(),
    }
}
