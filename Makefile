# The ways in: `make` lists them. Each sets up what it needs; none asks a question.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install demo test verify fmt clippy deny doc simulate bench fuzz run-kafka stop-kafka

# rustup's folder, for shells that have not read its profile.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin
target := $(or $(CARGO_TARGET_DIR),target)

# RocksDB and librdkafka are most of a build, and ccache remembers them over clean builds and clones. Asked for in each
# recipe, not once at the start, because setup may just have installed it.
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := true
cargo := if command -v ccache >/dev/null; then export CC="$${CC:-ccache gcc}" CXX="$${CXX:-ccache g++}"; fi; cargo

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

install: ## the release binary, into cargo's folder of binaries, which is on the PATH
	@deploy/local/setup.sh
	@$(cargo) install --locked --path . --bin tributary

demo: ## one binary with synthetic shoppers, no broker (RATE=events/s USERS=n SEED=n ARGS="…")
	@deploy/local/setup.sh
	@$(cargo) build --release --locked --bin tributary
	@exec $(target)/release/tributary demo \
	  $(if $(RATE),--rate $(RATE)) $(if $(USERS),--users $(USERS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

test: ## every test, on a real Kafka broker and schema registry of its own (ARGS="…" goes to cargo test)
	@deploy/local/setup.sh test
	@deploy/local/fetch.sh
	$(cargo) test --locked $(ARGS)
	@# The engine with bugs planted in it, which the simulation must find.
	$(cargo) test --locked --features planted --test simulation

verify: fmt clippy deny doc test ## all that has to hold before a change lands: format, lints, licences, docs, tests

fmt:
	cargo fmt --check

clippy:
	@deploy/local/setup.sh test
	$(cargo) clippy --locked --all-targets -- -D warnings
	$(cargo) clippy --locked --all-targets --features planted -- -D warnings

deny:
	@deploy/local/deny.sh

doc:
	@deploy/local/setup.sh
	export RUSTDOCFLAGS="-D warnings"; $(cargo) doc --locked --no-deps

simulate: ## any number of seeded crash schedules on the embedded log (SEEDS=100000, or SEEDS=from..to)
	@deploy/local/setup.sh
	@export TRIBUTARY_SEEDS=$(or $(SEEDS),100000); $(cargo) test --locked --test simulation -- --nocapture $(ARGS)

bench: ## rates, CPU, latency and memory beside what librdkafka alone can do (EVENTS=n ROUNDS=n WORKERS=n)
	@deploy/local/setup.sh test
	@deploy/local/fetch.sh kafka registry
	@$(cargo) bench --locked --bench speed

fuzz: ## the fuzz bodies under libFuzzer (TARGET=codec|keys|configuration RUNS=n); wants a nightly toolchain and cargo-fuzz
	@deploy/local/setup.sh
	@cp Cargo.lock tests/fuzz/Cargo.lock
	@$(cargo) +nightly fuzz run --sanitizer none --fuzz-dir tests/fuzz $(or $(TARGET),codec) -- -runs=$(or $(RUNS),1000000)

run-kafka: ## a broker at 127.0.0.1:9092 and a registry at port 8081, to try `tributary run` on
	@deploy/local/setup.sh test
	@deploy/local/fetch.sh kafka registry
	@broker=$$(deploy/local/kafka.sh start); registry=$$(deploy/local/registry.sh start); \
	  printf 'broker    %s\nregistry  %s\nWhat to do with them: docs/quickstart.md\n' "$$broker" "$$registry"

stop-kafka: ## stops both; the topics stay in their folder, the registry forgets its schemas
	@deploy/local/registry.sh stop
	@deploy/local/kafka.sh stop
	@echo 'Stopped. The topics are kept; the schemas are gone: after the next start, `tributary schemas register`.'
