#!/usr/bin/env bash
# make_llama_cpp.sh: .venv-llama with llama-cpp-python, for parity.llama_cpp and tests/bench/kernels.sh alone. PyPI has its
# source, with llama.cpp inside, and no wheel: it is compiled for this machine's processor.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [[ ! -x .venv-test/bin/python ]]; then
  echo "error: no .venv-test (launch/setup.sh --test-python makes it)" >&2
  exit 69
fi
.venv-test/bin/python -m venv .venv-llama
packages=$(.venv-llama/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
.venv-test/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' > "$packages/tercet-test.pth"
cat .venv-test/lib/python*/site-packages/tercet-libtorch.pth >> "$packages/tercet-test.pth"
launcher=$(command -v ccache || true)
export CMAKE_ARGS="-DLLAVA_BUILD=OFF -DLLAMA_CURL=OFF -DGGML_NATIVE=ON${launcher:+ -DCMAKE_C_COMPILER_LAUNCHER=$launcher -DCMAKE_CXX_COMPILER_LAUNCHER=$launcher}"
.venv-llama/bin/pip install -q --disable-pip-version-check -r tests/parity/requirements-llama-cpp.txt
