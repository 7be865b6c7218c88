#!/usr/bin/env bash
# make_lm_eval.sh: .venv-lmeval with EleutherAI's lm-evaluation-harness, for parity.tasks alone. It takes torch,
# transformers and the rest from .venv and .venv-test (launch/setup.sh --test-python makes them); about 40 s.
set -euo pipefail
# shellcheck source=tests/support/python_environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/python_environment.sh"
cd "$project_root"
environment_beside_tests .venv-lmeval
.venv-lmeval/bin/pip install -q -r tests/parity/requirements-lm-eval.txt
