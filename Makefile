# Thin: each target names one command. The first run on a machine installs the Debian
# packages that are missing and compiles RocksDB once (about ten minutes on two cores).
CARGO := .ci/cargo
.DEFAULT_GOAL := help
.PHONY: help demo test test-deploy lint fmt check build faults-full snapshot-memory-full

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 24

build: ## the tenure binary, into target/debug/tenure
	$(CARGO) build --locked -p tenure-cli

demo: ## the main job on three real nodes: seal, tokens, revocation, failover
	$(CARGO) build --locked -p tenure-cli
	$(CARGO) run --locked -q -p tenure-tests --bin demo

test: test-deploy ## all tests: units, properties, crash tests, clusters of real processes
	$(CARGO) build --locked --workspace --all-targets --features tenure-raft/failpoints
	$(CARGO) test --locked --workspace --features tenure-raft/failpoints

test-deploy: ## the manifests of deploy/ against the Kubernetes schemas
	.ci/kubernetes-validate

lint: ## clippy, warnings are errors
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

fmt: ## format the code
	cargo fmt --all

check: lint ## formatting, lints, licences and advisories
	cargo fmt --all --check
	command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny check

faults-full: ## the crash tests at their full figures (hours)
	TENURE_FAULT_SCALE=100 $(CARGO) test --locked -p tenure-tests --features tenure-raft/failpoints

snapshot-memory-full: ## memory of snapshots at 5 GiB of state
	TENURE_SNAPSHOT_MIB=5120 $(CARGO) test --locked -p tenure-raft --test snapshot_memory -- --nocapture
