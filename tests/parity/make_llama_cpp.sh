#!/usr/bin/env bash
# make_llama_cpp.sh: .venv-llama with llama-cpp-python, for parity.llama_cpp and tests/bench/kernels.sh alone. PyPI has its
# source, with llama.cpp inside, and no wheel: it is compiled for this machine's processor.
set -euo pipefail
# shellcheck source=tests/support/python_environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/python_environment.sh"
cd "$project_root"
environment_beside_tests .venv-llama
launcher=$(command -v ccache || true)
export CMAKE_ARGS="-DLLAVA_BUILD=OFF -DLLAMA_CURL=OFF -DGGML_NATIVE=ON${launcher:+ -DCMAKE_C_COMPILER_LAUNCHER=$launcher -DCMAKE_CXX_COMPILER_LAUNCHER=$launcher}"
.venv-llama/bin/pip install -q --disable-pip-version-check -r tests/parity/requirements-llama-cpp.txt
