# Targets with a comment behind ## are listed by "make help".

.DEFAULT_GOAL := help
SHELL := /bin/bash -o pipefail

# Tools run at these versions and need nothing but Go.
GOLANGCI_LINT := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK := go run golang.org/x/vuln/cmd/govulncheck@v1.9.0

# Where sam build wants a function's files.
ARTIFACTS_DIR ?= .aws-sam/$@

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "%-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## run the whole suite on this machine; ARGS="-listen 127.0.0.1:9090" passes flags
	go run ./local $(ARGS)

.PHONY: demo
demo: ## watch a tenant take its key away and give it back; needs Python, curl and the AWS CLI
	@integration/demo.sh

.PHONY: build
build: ## compile everything, and the functions as they are deployed
	go build ./...
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go build -tags lambda.norpc -trimpath -o /dev/null ./functions/...

.PHONY: test
test: ## vet and test: hermetic, needs only Go
	go vet ./...
	go test -shuffle=on -count=1 ./...

.PHONY: race
race: ## test with the race detector
	go test -race -shuffle=on -count=1 -timeout=40m ./...

.PHONY: cover
cover: ## test, and report what is covered
	@mkdir -p .cache
	go test -coverpkg=./... -coverprofile=.cache/cover.out ./...
	go tool cover -func=.cache/cover.out | tail -n 1
	@echo 'go tool cover -html=.cache/cover.out shows each line'

.PHONY: fuzz
fuzz: ## run every fuzz test for FUZZTIME (10s) each; FUZZ="cluster" chooses some
	@.ci/fuzz

.PHONY: crash
crash: ## kill the suite on this machine ROUNDS (100) times under load, and fill its disk; SEED repeats the choices of a run
	LATCHKEY_CRASH_ROUNDS=$(or $(ROUNDS),100) LATCHKEY_CRASH_SEED=$(SEED) go test -count=1 -timeout=120m -v ./local/crashtest

.PHONY: linear
linear: ## look for an order that explains what ROUNDS (300) histories of concurrent clients saw of the table, the settings and the ledger
	LATCHKEY_LINEAR_ROUNDS=$(or $(ROUNDS),300) go test -count=1 -timeout=120m -run=linearizable -v \
		./shared/store/bolt ./shared/store/dynamo ./shared/ledger ./shared/suite/encryption

.PHONY: sim
sim: ## simulate SEEDS (100) worlds from FIRST (1) on, or replay one: SEED=7; ARGS="-for 2160h" passes flags
	@mkdir -p .cache
	@go test -c -o .cache/sim.test ./sim
	@.cache/sim.test -test.run='^TestSeeds$$' -test.timeout=0 -test.v \
		$(if $(SEED),-seed=$(SEED),-first=$(or $(FIRST),1) -seeds=$(or $(SEEDS),100) -processes=$(shell getconf _NPROCESSORS_ONLN)) $(ARGS)

.PHONY: mutations
mutations: ## break the guard of each promise in turn, and see the simulation notice
	go run ./sim/mutate $(ARGS)

.PHONY: bench
bench: ## hold what the suite costs against its floors and budgets (docs/performance.md); ARGS="-only start" chooses some
	go run ./bench $(ARGS)
	$(if $(ARGS),,go run ./bench/cost)

.PHONY: cost
cost: ## count what operations take of AWS, and compute what that costs a month (docs/cost.md)
	go run ./bench/cost $(ARGS)

.PHONY: microbench
microbench: ## run the benchmarks of packages
	go test -run='^$$' -bench=. -benchmem ./...

.PHONY: integration
integration: ## check against software made elsewhere, which it installs below .cache; PARTS="mariadb cli" chooses some
	@PARTS="$(PARTS)" bash integration/all.sh

.PHONY: isolated
isolated: ## the functions' own programs with each permission in turn; takes over an hour
	bash integration/isolated.sh

.PHONY: lint
lint: lint-go lint-template ## lint Go and the template

.PHONY: lint-go
lint-go:
	$(GOLANGCI_LINT) run ./...
	go mod verify

.PHONY: lint-template
lint-template: ## lint the template; needs cfn-lint (pip install cfn-lint)
	cfn-lint template.yaml

.PHONY: fmt
fmt: ## format Go
	$(GOLANGCI_LINT) fmt ./...

.PHONY: vuln
vuln: ## look for known vulnerabilities in what is called; needs the network
	$(GOVULNCHECK) ./...

.PHONY: presubmit
presubmit: fmt lint test race ## what must pass before a commit is offered

.PHONY: deploy
deploy: ## build and deploy with AWS SAM; ENV=staging or ENV=prod chooses from samconfig.toml
	sam validate --lint
	sam build --config-env $(or $(ENV),default)
	sam deploy --config-env $(or $(ENV),default)

# sam build runs build-<logical id>: build-AdminApiFunction makes functions/adminapi.
build-%Function:
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go build -tags lambda.norpc -trimpath -ldflags='-s -w' \
		-o "$(ARTIFACTS_DIR)/bootstrap" ./functions/$(shell echo '$*' | tr '[:upper:]' '[:lower:]')
