#!/usr/bin/env bash
# make_quality_tools.sh: .venv-tools with the programs that quality_tools.py sets Tercet beside, for that benchmark alone.
# A folder each, since they want different versions of transformers. They take torch and what else fits from .venv and
# .venv-test (launch/setup.sh --test-python makes them); about 40 s and 0.8 GB.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [[ ! -x .venv-test/bin/python ]]; then
  echo "error: no .venv-test (launch/setup.sh --test-python makes it)" >&2
  exit 69
fi

make_environment() {  # NAME PACKAGE...
  local packages
  .venv-test/bin/python -m venv ".venv-tools/$1"
  packages=$(".venv-tools/$1/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
  .venv-test/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' > "$packages/tercet-test.pth"
  cat .venv-test/lib/python*/site-packages/tercet-libtorch.pth >> "$packages/tercet-test.pth"
  ".venv-tools/$1/bin/pip" install -q "${@:2}"
}

make_environment autoround auto-round==0.16.1
make_environment llmcompressor llmcompressor==0.14.0.1
