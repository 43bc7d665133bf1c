# The race detector needs a C compiler; without one the tests run without it.
RACE := $(shell command -v $$(go env CC) >/dev/null 2>&1 && echo -race)
FUZZTIME ?= 30s
BENCH ?= .

.DEFAULT_GOAL := help
# A PostgreSQL newer than Debian's, from npm; see .ci/postgres.
NEWER ?= 18.4.0-beta.17

# A checkout of QuickJS-NG in the version that functions run in, for comparison.
QUICKJS ?=
SUITE ?=

.PHONY: help run build test kits newer attacks alerts bench lint fuzz examples faults upstream test262

help: ## list the targets
	@sed -n 's/^\([a-z0-9]*\):[^#]*## /\1	/p' Makefile | expand -t 12

run: ## start a private Postgres, the api, a worker and the examples
	go run ./cmd/runnel dev

build: ## build bin/api, bin/worker and bin/runnel
	go build -o bin/ ./cmd/api ./cmd/worker ./cmd/runnel

# Two packages at a time: each brings its own Postgres.
test: ## run all tests, against Postgres servers they start themselves
	@test -n "$(RACE)" || echo "no C compiler: testing without the race detector (apt-get install gcc libc6-dev)"
	go test $(RACE) -p 2 -timeout 15m ./...
	@test -z "$(RACE)" || echo "once more without the race detector, which makes compiling these guests take minutes:"
	@test -z "$(RACE)" || go test -run 'TestGoGuest|TestPriceOrder|TestKits' ./sandbox ./examples

	@for module in sdk/go examples/kits/go-webhook; do go -C $$module test ./... || exit 1; done

kits: ## build and run the examples of all languages, compare Extism plug-ins with Extism's own SDK
	go -C sdk/go test ./...
	go test -count=1 -run TestKits -v ./examples
	npm ci --silent --prefix bench/kits/plugin/as
	go -C bench/kits test -timeout 15m ./...

newer: ## run the tests of the SQL on a newer PostgreSQL (NEWER, from npm)
	RUNNEL_TEST_POSTGRES=$$(.ci/postgres $(NEWER)) go test -timeout 15m ./sql ./jobs

attacks: ## write docs/ATTACKS.md: hostile SQL on Debian's PostgreSQL and a newer one
	go run ./bench/attacks -o docs/ATTACKS.md "$$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)" "$$(.ci/postgres $(NEWER))"

alerts: ## test the Prometheus alerts of docs/alerts
	$$(.ci/promtool) test rules docs/alerts/runnel_test.yml

bench: ## run the benchmarks that match BENCH (default all), one package at a time
	go test -run '^$$' -bench '$(BENCH)' -benchmem -p 1 -timeout 30m ./...

# The flags are those of its own release build.
upstream: ## build bin/qjs and bin/run-test262 natively from QUICKJS, a checkout of quickjs-ng (needs gcc)
	@test -f "$(QUICKJS)/quickjs.c" || { echo "QUICKJS=FOLDER is missing: git clone -b $$(go list -m -f '{{.Version}}' github.com/aperturerobotics/go-quickjs-wasi-reactor) https://github.com/quickjs-ng/quickjs"; exit 1; }
	@mkdir -p bin
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && cd "$(QUICKJS)" && \
	cc="gcc -O3 -DNDEBUG -std=gnu11 -funsigned-char -w -D_GNU_SOURCE -DQUICKJS_NG_BUILD -DQJS_BUILD_LIBC" && \
	for file in dtoa libregexp libunicode quickjs quickjs-libc; do $$cc -c $$file.c -o "$$dir/$$file.o" || exit 1; done && \
	$$cc qjs.c gen/repl.c gen/standalone.c "$$dir"/*.o -lm -ldl -lpthread -o "$(CURDIR)/bin/qjs" && \
	$$cc run-test262.c "$$dir"/*.o -lm -ldl -lpthread -o "$(CURDIR)/bin/run-test262"

test262: upstream ## compare 5,000 tests of SUITE, a checkout of tc39/test262, in functions and in upstream's build of QUICKJS
	go run ./bench/test262 -suite "$(SUITE)" -config "$(QUICKJS)/test262.conf" -upstream bin

lint: ## check formatting, go vet, staticcheck
	@unformatted="$$(gofmt -l .)"; test -z "$$unformatted" || { echo "gofmt -w these:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	@for module in sdk/go examples/kits/go-webhook bench/kits; do go -C $$module vet ./... || exit 1; done
	GOOS=wasip1 GOARCH=wasm go -C sdk/go vet ./...

faults: ## break a real deployment in every way (25 min; as root with pgbouncer installed, all rows), write docs/FAULTS.md
	go run ./bench/faults -page docs/FAULTS.md

fuzz: ## run every fuzz target for FUZZTIME (default 30s)
	@set -e; \
	grep -rn --include='*_test.go' '^func Fuzz' . | sed 's/^\(.*\)\/[^/]*:[0-9]*:func \(Fuzz[A-Za-z0-9_]*\).*/\1 \2/' | sort | \
	while read -r dir target; do \
		echo "$$dir $$target"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$dir" </dev/null; \
	done

examples: ## build the example functions
	@if [ -f examples/Makefile ]; then $(MAKE) -C examples; else echo "examples/ has nothing to build"; fi
