# shellcheck shell=bash
# Sourced by the scripts that make a Python environment for one comparison alone.
# shellcheck source=launch/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../launch/lib.sh"

# An environment that finds torch, transformers and the rest in .venv and .venv-test.
environment_beside_tests() { # FOLDER
  local tests="$project_root/.venv-test"
  [[ -x $tests/bin/python ]] || fail 69 "no .venv-test (launch/setup.sh --test-python makes it)"
  "$tests/bin/python" -m venv "$1"
  {
    site_packages "$tests"
    cat "$(site_packages "$tests")/tercet-libtorch.pth"
  } >"$(site_packages "$1")/tercet-test.pth"
}
