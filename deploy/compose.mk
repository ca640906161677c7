# Memlog in containers: docs/operations.md, "Run it with compose".
COMPOSE = docker compose --file deploy/compose.yaml $(if $(PROFILE),--profile $(PROFILE))
TOOLS = $(COMPOSE) --profile tools run --rm
URL = http://127.0.0.1:$$(sed -n 's/^MEMLOG_PORT=//p' deploy/.env 2>/dev/null | grep . || echo 8765)

.PHONY: env build up down logs shell where migrate docker

env: ## compose: make secrets and settings, once (nothing that is there is changed)
	@$(PYTHON) deploy/env.py

docker:
	@command -v docker >/dev/null || { echo "This needs Docker with its compose plugin, and there is no docker here. Without it: make run"; exit 1; }
	@docker compose version >/dev/null 2>&1 || { echo "This needs the compose plugin of Docker (docker compose)."; exit 1; }
	@docker info >/dev/null || { echo "Docker is here but does not answer: is it running, and may you use it?"; exit 1; }

build: docker env dashboard ## compose: build the images (PYTHON_IMAGE=…@sha256:… pins the base's bytes)
	@$(COMPOSE) --profile tools build

up: docker env ## compose: start everything and wait until it is healthy (PROFILE=ollama for a local model)
	@$(COMPOSE) up --detach --wait || { echo "Not everything became healthy. See: make logs"; exit 1; }
	@$(MAKE) --no-print-directory where

down: docker ## compose: stop everything; all data stays
	@$(COMPOSE) --profile '*' down

logs: docker ## compose: follow the logs (ARGS=gateway for one service)
	@$(COMPOSE) logs --follow --tail 100 $(ARGS)

shell: docker ## compose: a shell with the command memlog, as the operator
	@$(TOOLS) --entrypoint bash tools

where: ## compose: say where everything is, and open the dashboard
	@echo "Memlog      $(URL)   (the token is in deploy/secrets/admin_token; your own: make shell, then memlog token issue --help)"
	@echo "Grafana     http://127.0.0.1:3000   (user admin, password in deploy/secrets/grafana_admin_password)"
	@echo "Jaeger      http://127.0.0.1:16686"
	@echo "Prometheus  http://127.0.0.1:9090"
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ] && command -v xdg-open >/dev/null; then xdg-open "$(URL)" >/dev/null 2>&1 || true; fi

# There are no migrations: a service that finds a store made by other code builds it anew from the log, by itself.
migrate: docker ## compose: start what was built, and show how far what is out of date is rebuilt
	@$(COMPOSE) up --detach --wait
	@$(TOOLS) tools projections
