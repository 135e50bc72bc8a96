SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
export CGO_ENABLED := 0

VERSION := $(shell git -c safe.directory='*' describe --tags --always --dirty 2>/dev/null || echo unknown)
GOBUILD := go build -trimpath -buildvcs=false
AGENTS  := amd64 arm64
TARGETS := linux/amd64 linux/arm64 darwin/arm64 windows/amd64
DIST    := remote/agentbin/dist
# An agent travels to every host. What waits for the kernel runs as fast without
# inlining; what does not is inlined as ever. 16 bytes are where arm64 begins its
# functions anyway.
INLINED := runtime/... internal/... sync/... encoding/... reflect strconv bytes slices
SMALL   := -ldflags "-s -w -funcalign=16" -gcflags=all=-l $(INLINED:%=-gcflags=%=)
# go test -json through the gate: a skipped test fails the run.
GATE     = go run ./internal/testgate

.PHONY: help build demo test lint cross bench soak check vuln agents packages readmes unit labtest
.DEFAULT_GOAL := help

help: ## print these lines
	@sed -nE 's/^([a-z]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 10

build: agents ## bin/lvsform with the agents for linux/amd64 and linux/arm64 inside
	$(GOBUILD) -ldflags "-s -w -X main.version=$(VERSION)" -o bin/lvsform ./cmd/lvsform

# No version stamp: an agent's SHA-256 changes only when the agent does.
agents:
	@for arch in $(AGENTS); do \
		GOOS=linux GOARCH=$$arch $(GOBUILD) $(SMALL) -o bin/lvsform-agent-linux-$$arch ./cmd/lvsform-agent; \
		gzip -n -9 -c bin/lvsform-agent-linux-$$arch >bin/agent.gz; \
		mv bin/agent.gz $(DIST)/lvsform-agent-linux-$$arch.gz; \
		sha256sum <bin/lvsform-agent-linux-$$arch | cut -d' ' -f1 >$(DIST)/lvsform-agent-linux-$$arch.sha256; \
	done

demo: packages build ## a throwaway cluster on this machine: plan, apply, requests through the VIP, an empty second plan
	bin/lvsform lab run examples/dr-wlc

test: packages build cross unit labtest ## everything that CI runs: build, unit tests, and the lab on real kernels
	@echo "make test: all passed, none skipped"

lint: ## gofmt, go vet, staticcheck
	@unformatted="$$(gofmt -l .)"; if [ -n "$$unformatted" ]; then echo "gofmt -w wanted:" $$unformatted; exit 1; fi
	go vet ./...
	go vet -tags lab,kernel ./...
	go tool -modfile=tools/go.mod staticcheck -tags lab,kernel ./...

cross: ## build and vet for every platform that the CLI runs on
	@for target in $(TARGETS); do \
		echo "cross $$target"; \
		GOOS=$${target%/*} GOARCH=$${target#*/} go build ./...; \
		GOOS=$${target%/*} GOARCH=$${target#*/} go vet ./...; \
	done

bench: packages build ## speed beside Ansible, Mitogen, ssh and ipvsadm, as ratios of one run (needs root)
	bench/packages
	go build -o bin/bench ./bench
	bin/bench

soak: packages build ## kill agents before and after every step, 50 pairs of runs at once, and what else an apply survives (an hour without KVM)
	LVSFORM_SOAK=all go test -v -count=1 -timeout=100m -tags lab -run '^TestKernelTests$$/^e2e$$/^soak$$' ./e2e

check: lint cross build unit ## what to run before a commit: no root, no lab

# Without its database govulncheck knows nothing, and the target fails: a copy is
# named by VULNDB=file:///DIR.
vuln: ## govulncheck: known vulnerabilities in what is called; needs vuln.go.dev, or VULNDB=URL
	@for program in ./cmd/lvsform ./cmd/lvsform-agent; do \
		code=0; go tool -modfile=tools/go.mod govulncheck $${VULNDB:+-db "$$VULNDB"} "$$program" || code=$$?; \
		case $$code in \
		0) ;; \
		3) echo "make vuln: $$program calls code with known vulnerabilities" >&2; exit 1;; \
		*) echo "make vuln: nothing is known: govulncheck ended with $$code; is $${VULNDB:-https://vuln.go.dev} there?" >&2; exit 1;; \
		esac; \
	done

packages:
	@.ci/packages

readmes: ## write the README files of modules/ from their HCL
	go run ./modules/internal/readme

unit:
	go test -json ./... | $(GATE)

labtest:
	go test -json -count=1 -p=1 -timeout=83m -tags lab ./e2e/... ./lab/... ./remote/... | $(GATE)
