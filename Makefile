# Each target is a thin wrapper of the script of its name, which does the work on machines without make as well.
# ARGS='...' hands arguments on: make test ARGS='-k memory'.

.DEFAULT_GOAL := help
.PHONY: help demo test torture check bench site format clean pin

help:  ## print these targets
	@scripts/help

demo:  ## a day of agents on files, SQLite and PostgreSQL, with equal results
	@scripts/demo $(ARGS)

test:  ## run the whole test suite (ARGS go to pytest)
	@scripts/test $(ARGS)

torture:  ## the long runs: kill -9, lost updates (ARGS go to pytest)
	@scripts/torture $(ARGS)

check:  ## lint, format, types, imports and the wheel
	@scripts/check

bench:  ## measure (ARGS go to bench/run.py)
	@scripts/bench $(ARGS)

site:  ## make the pages of docs/ into a site, in build/site
	@scripts/site $(ARGS)

format:  ## format the code and mend what can be mended safely
	@scripts/format

clean:  ## delete .venv, builds and caches
	@scripts/clean

pin:  ## write constraints.txt anew with the newest versions
	@scripts/pin
