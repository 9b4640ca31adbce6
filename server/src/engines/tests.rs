//! The engines through their one door: each row of what they promise, and a random walk of kv
//! version 2 compared with a naive model.

mod cubbyhole;
mod input;
mod kv1;
mod kv2;
mod model;

use serde_json::{Value, json};
use tenure_core::{
    barrier::{Barrier, Keyring},
    mount::{self, ManageMounts, NewMount},
    policy::{AclMemo, key_of_policy},
    random::Random,
    state::{Engine, KvEngine, Policies, PolicyRecord, Row, Table, Txn, View, range_of},
    testing::{MemoryStore, TestRandom},
    token::{self, Context, Plan, Revocations, TtlConfig, authorize, identify},
    types::{Path, PolicyName, TokenId, Ttl, UnixMillis},
};

use super::*;

/// What tokens other than root may here, beside `default`.
const MAKER: &str = r#"path "auth/token/create" { capabilities = ["update"] }"#;

/// A cluster in miniature, with a root token.
pub(super) struct World {
    store: MemoryStore,
    barrier: Barrier,
    revocations: Revocations,
    ttl: TtlConfig,
    acls: AclMemo,
    now: UnixMillis,
    random: TestRandom,
    root: TokenId,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = TestRandom::new(seed);
        let keyring = Keyring::generate(UnixMillis::new(0), &mut random);
        let mut world = Self {
            store: MemoryStore::default(),
            barrier: Barrier::new(&keyring).unwrap(),
            revocations: Revocations::default(),
            ttl: TtlConfig::default(),
            acls: AclMemo::default(),
            now: UnixMillis::new(1_700_000_000_000),
            random,
            root: TokenId::parse("hvs.none").unwrap(),
        };
        world.write_policy("maker", MAKER);
        let root = world.commit(|context, random| token::create_root(context, None, random));
        world.root = root.unwrap().id;
        world
    }

    /// With kv of this version at "kv".
    fn with_kv(seed: u64, version: KvEngine) -> Self {
        let mut world = Self::new(seed);
        world.mount("kv", version);
        world
    }

    fn commit<T, E>(
        &mut self,
        operation: impl FnOnce(Context<'_>, &mut dyn Random) -> Result<Plan<T>, E>,
    ) -> Result<T, E> {
        let view = View::new(&self.store, &self.barrier);
        let context = Context {
            view: &view,
            revocations: &self.revocations,
            ttl: &self.ttl,
            acls: &self.acls,
            now: self.now,
            remote: None,
        };
        let Plan { txn, response } = operation(context, &mut self.random)?;
        self.store.commit(txn.into_ops());
        self.revocations = Revocations::load(&self.store).unwrap();
        Ok(response)
    }

    fn write_policy(&mut self, name: &str, text: &str) {
        let name = PolicyName::parse(name).unwrap();
        let key = key_of_policy(&self.barrier, &name);
        let text = text.to_owned();
        let (mut txn, record) = (Txn::default(), PolicyRecord { name, text });
        txn.insert::<Policies>(&self.barrier, &key, &record, &mut self.random)
            .unwrap();
        self.store.commit(txn.into_ops());
    }

    fn mount(&mut self, at: &str, version: KvEngine) {
        let root = self.root.clone();
        self.commit(|context, random| {
            let caller = identify(context, &root)?;
            let new = NewMount {
                path: Path::parse(at).unwrap(),
                engine: Engine::Kv(version),
                description: String::new(),
                default_ttl: None,
                max_ttl: None,
            };
            let action = ManageMounts::Mount(new.path.clone(), Default::default());
            mount::mount(&authorize(context, &caller, action)?, new, random)
        })
        .unwrap();
    }

    fn ask_as(&mut self, token: &TokenId, path: &str, ask: Ask<'_>) -> Result<Reply, EngineError> {
        self.commit(|context, random| {
            let caller = identify(context, token)?;
            plan(context, &caller, path, ask, random)
        })
    }

    fn ask(&mut self, path: &str, ask: Ask<'_>) -> Result<Reply, EngineError> {
        let root = self.root.clone();
        self.ask_as(&root, path, ask)
    }

    fn write(&mut self, path: &str, data: Value) -> Result<Value, EngineError> {
        let data = data.to_string();
        self.ask(path, Ask::Write(data.as_bytes())).map(shown)
    }

    fn patch(&mut self, path: &str, data: Value) -> Result<Value, EngineError> {
        let data = data.to_string();
        self.ask(path, Ask::Patch(data.as_bytes())).map(shown)
    }

    fn read_with(&mut self, path: &str, parameters: Value) -> Result<Reply, EngineError> {
        let parameters = parameters.to_string();
        self.ask(path, Ask::Read(parameters.as_bytes()))
    }

    /// What is read; deleted versions count as an answer, too.
    fn read(&mut self, path: &str) -> Result<Value, EngineError> {
        self.read_with(path, json!({})).map(shown)
    }

    fn delete(&mut self, path: &str) -> Result<(), EngineError> {
        self.ask(path, Ask::Delete).map(drop)
    }

    /// All names, over pages of two, sorted.
    fn list(&mut self, path: &str) -> Result<Vec<String>, EngineError> {
        let (mut names, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.ask(path, Ask::List(&after, 2))?;
            names.extend(page.keys);
            after = page.next_page;
            if after.is_empty() {
                break;
            }
        }
        names.sort();
        Ok(names)
    }

    fn exists(&mut self, path: &str) -> bool {
        let root = self.root.clone();
        let mut found = None;
        self.commit(|context, _| {
            let caller = identify(context, &root)?;
            let path = Path::parse(path).unwrap();
            found = Some(exists(context, &caller, &path)?);
            Ok::<_, EngineError>(Plan {
                txn: Default::default(),
                response: (),
            })
        })
        .unwrap();
        found == Some(true)
    }

    fn child(&mut self) -> TokenId {
        let root = self.root.clone();
        self.commit(|context, random| {
            let caller = identify(context, &root)?;
            let permit = authorize(context, &caller, token::Create::default())?;
            let request = token::CreateRequest {
                policies: tenure_core::types::PolicySet::parse(["maker"]).unwrap(),
                ..Default::default()
            };
            token::create(&permit, request, random)
        })
        .unwrap()
        .id
    }

    fn rows<T: Table>(&self) -> Vec<Row<T>> {
        let view = View::new(&self.store, &self.barrier);
        view.scan::<T>(range_of::<T>(&[]), 100_000).unwrap()
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.saturating_add(Ttl::from_seconds(seconds).unwrap());
    }
}

fn shown(reply: Reply) -> Value {
    match reply.data.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&reply.data).unwrap(),
    }
}

fn reason<T>(result: Result<T, EngineError>) -> &'static str {
    match result {
        Ok(_) => "OK",
        Err(error) => error.reason(),
    }
}
