# Sourced by the scripts beside it: goes to the root of the checkout, and makes or reuses .venv.
# shellcheck shell=sh

set -eu
unset CDPATH PYTHONHOME PYTHONPATH
cd "$(dirname "$0")/.."

# need LEVEL...: .venv holds what LEVEL needs (demo, test, bench, site or check).
need() {
    needed_python=$(scripts/find-python) || exit 1
    "$needed_python" scripts/environment.py "$@" || exit $?
}
