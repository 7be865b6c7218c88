#!/usr/bin/env bash
# make_quality_tools.sh: .venv-tools with the programs that quality_tools.py sets Tercet beside, for that benchmark alone.
# A folder each, since they want different versions of transformers. They take torch and what else fits from .venv and
# .venv-test (launch/setup.sh --test-python makes them); about 40 s and 0.8 GB.
set -euo pipefail
# shellcheck source=tests/support/python_environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/python_environment.sh"
cd "$project_root"

make_environment() {  # NAME PACKAGE...
  environment_beside_tests ".venv-tools/$1"
  ".venv-tools/$1/bin/pip" install -q "${@:2}"
}

make_environment autoround auto-round==0.16.1
make_environment llmcompressor llmcompressor==0.14.0.1
