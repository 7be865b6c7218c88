#!/usr/bin/env bash
# make_lm_eval.sh: .venv-lmeval with EleutherAI's lm-evaluation-harness, for parity.tasks alone. It takes torch,
# transformers and the rest from .venv and .venv-test (launch/setup.sh --test-python makes them); about 40 s.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [[ ! -x .venv-test/bin/python ]]; then
  echo "error: no .venv-test (launch/setup.sh --test-python makes it)" >&2
  exit 69
fi
.venv-test/bin/python -m venv .venv-lmeval
packages=$(.venv-lmeval/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
.venv-test/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' > "$packages/tercet-test.pth"
cat .venv-test/lib/python*/site-packages/tercet-libtorch.pth >> "$packages/tercet-test.pth"
.venv-lmeval/bin/pip install -q -r tests/parity/requirements-lm-eval.txt
