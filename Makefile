# The commands of the README. `make test` needs Go alone; `make test-all` also
# a PostgreSQL, a Redis and a Chromium: with-services starts throw-away servers
# unless SVOD_TEST_POSTGRES and SVOD_TEST_REDIS name some, and installs Chromium
# where there is none.

GO ?= go

.PHONY: bench-parts build test test-all acceptance vet update pictures bench

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -o svod ./cmd/svod

vet:
	$(GO) vet ./...
	$(GO) vet -tags "postgres redis browser" ./...

test:
	$(GO) test ./...

test-all:
	test/with-services $(GO) test -race -tags "postgres redis browser" -timeout 20m ./...

# The end-to-end suites in the size that the hub is made for, on both kinds of
# storage. It prints its figures and takes ten minutes.
acceptance:
	test/with-services $(GO) test -tags "postgres redis" -count 1 -timeout 30m -v ./test/endtoend -args -full

# The figures of docs/benchmarks.md, beside floors of the same minute; five to
# ten minutes. BENCH='-only webhook' takes some of them, BENCH=-h tells the rest.
bench:
	$(GO) run ./bench $(BENCH)

# The parts on their own.
bench-parts:
	$(GO) test -run '^$$' -bench . -benchtime 1s ./store ./flow ./phpform ./handlers/hooks ./connectors/yandexmetrica

# Renew golden files and generated pages; review the difference.
update:
	$(GO) test ./metrics ./config -update

# Renew the pictures of the documentation.
pictures:
	$(GO) test -tags browser ./handlers/console/browser -run Pictures -update
