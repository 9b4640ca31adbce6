//! openraft's own conformance suite, run against the log store and the state machine.

#![allow(clippy::expect_used)]

use std::sync::Arc;

use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use tempfile::TempDir;
use tenure_raft::{
    log::LogStore,
    state::{NoObserver, State, StateMachine},
    types::TypeConfig,
};

struct OnDisk;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for OnDisk {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let dir = TempDir::new().expect("a temporary folder");
        let log = LogStore::open(dir.path()).expect("an empty log");
        let state = State::open(dir.path(), [7; 16], Arc::new(NoObserver)).expect("an empty state");
        Ok((dir, log, StateMachine::new(state)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stores_conform() {
    Suite::test_all(OnDisk).await.expect("conformance");
}
