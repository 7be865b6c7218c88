#!/usr/bin/env bash
# Sets up what Tercet needs and builds it. Does only what is missing: a second run takes seconds.
#
# Usage: launch/setup.sh [options]
#   --preset NAME     CMake preset to build (release; see CMakePresets.json)
#   --no-tests        build the program alone, not the test programs
#   --test-python     also what tests need beside the programs: .venv-test, with the Python packages that the parity
#                     tests compare with, and, as root, Slurm's daemons and, on Debian, a browser (131 MB to fetch)
#   --no-cuda         build for CPU ranks only, though a CUDA toolkit is there
#   --fuzz            also install clang with its fuzzing runtime, for tests/fuzz/run.sh
#   --target NAME     build only this target (may be repeated)
#   --jobs N          compile N files at a time (default: by cores and free memory)
#
# System packages (Debian 12, Ubuntu 22.04 and 24.04) are installed as root or through sudo; otherwise the missing ones
# are printed, and set-up goes on with the compilers and libraries that it finds. LibTorch comes as a wheel into .venv in
# the project. The environment variable TERCET_PYTHON names another python3 (3.10 or newer).
set -euo pipefail
# shellcheck source=launch/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

with_tests=1
with_test_python=0
with_cuda=auto
with_fuzz=0
jobs=""
targets=()
python="${TERCET_PYTHON:-python3}"
libtorch_requirements="$project_root/launch/requirements-libtorch.txt"
test_requirements="$project_root/tests/parity/requirements.txt"

read_options() {
  while (($# > 0)); do
    case $1 in
      --preset | --target | --jobs)
        (($# > 1)) || fail 64 "$1 needs a value; see launch/setup.sh --help"
        case $1 in
          --preset) preset=$2 ;;
          --target) targets+=("$2") ;;
          --jobs) jobs=$2 ;;
        esac
        shift 2
        ;;
      --no-tests) with_tests=0 && shift ;;
      --test-python) with_test_python=1 && shift ;;
      --no-cuda) with_cuda=no && shift ;;
      --fuzz) with_fuzz=1 && shift ;;
      -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
      *) fail 64 "unknown option '$1'; see launch/setup.sh --help" ;;
    esac
  done
}

# --- system packages ----------------------------------------------------------------------------------------------

packages_wanted() { # OPERATING_SYSTEM -> one name a line
  printf '%s\n' build-essential g++ cmake ninja-build ccache pkg-config git python3 python3-venv \
    openmpi-bin libopenmpi-dev libhdf5-openmpi-dev libyaml-cpp-dev libspdlog-dev libcli11-dev \
    nlohmann-json3-dev libpcre2-dev libutf8proc-dev libsentencepiece-dev libzstd-dev zlib1g-dev libssl-dev libxxhash-dev libcpp-httplib-dev libgtest-dev
  ((with_tests == 0)) || echo shellcheck
  ((with_test_python == 0 || EUID != 0)) || test_packages "$1"
  ((with_fuzz == 0)) || clang_packages "$1"
}

test_packages() { # OPERATING_SYSTEM
  # The Slurm tests start its daemons as root. Where there is a Slurm, theirs or another version, it is left as it is.
  have sinfo || printf '%s\n' munge slurmctld slurmd slurm-client slurm-wlm-basic-plugins
  # Ubuntu's chromium is a snap, which does not see the tests' folders.
  [[ $1 != debian* ]] || have chromedriver || printf '%s\n' chromium chromium-driver
}

# Clang brings libFuzzer and the sanitizers' runtime with it or in a package of their own.
clang_packages() { # OPERATING_SYSTEM
  echo clang
  case $1 in
    "debian 12") echo libclang-rt-14-dev ;;
    "ubuntu 24.04") echo libclang-rt-18-dev ;;
  esac
}

missing_packages() { # OPERATING_SYSTEM
  local wanted
  mapfile -t wanted < <(packages_wanted "$1")
  # dpkg-query fails for names it has never heard of; comm finds those too.
  comm -23 <(printf '%s\n' "${wanted[@]}" | sort) \
    <(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "${wanted[@]}" 2>/dev/null | awk '$1 == "ii" { print $2 }' | sort)
}

apt_install() { # ROOT_COMMAND PACKAGES...
  local become=$1
  shift
  ${become:+"$become"} apt-get update -q &&
    ${become:+"$become"} env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

set_up_packages() {
  local os become missing
  os=$(operating_system)
  if [[ $os == other ]]; then
    say "no apt on this machine: the libraries must be there already (Debian's names: $(packages_wanted "$os" | xargs))"
    return
  fi
  mapfile -t missing < <(missing_packages "$os")
  if ((${#missing[@]} == 0)); then
    step_begin "system packages" && step_end "all there,"
    return
  fi
  become=$(root_command)
  if [[ $become == sudo ]] && ! sudo -n true 2>/dev/null && ! sudo -v; then
    become=no
  fi
  if [[ $become == no ]]; then
    say "not root, and no sudo: going on without these packages (yours may come from environment modules)."
    say "An administrator installs them with: apt-get install --no-install-recommends ${missing[*]}"
    return
  fi
  step packages "system packages (${#missing[@]} missing)" apt_install "$become" "${missing[@]}" ||
    warn "going on with the libraries that are there; missing: ${missing[*]}"
}

check_tools() {
  local tool version
  for tool in c++ mpicxx "$python"; do
    have "$tool" || fail 69 "'$tool' was not found; install the packages named above, or load the modules that have it"
  done
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  version_at_least "$version" 3.10 ||
    fail 69 "'$python' is Python $version, and the LibTorch wheel needs 3.10 or newer; name another one in TERCET_PYTHON"
}

# --- the virtual environments -------------------------------------------------------------------------------------

pip_install() { # VENV ARGUMENTS...
  local folder=$1
  shift
  "$folder/bin/python" -m pip install --disable-pip-version-check --no-input --no-compile "$@"
}

make_venv() { # FOLDER
  # A copied or half-made environment, or one whose Python is gone, does not run.
  if ! "$1/bin/python" -c 'import pip' 2>/dev/null; then
    step "venv${1##*/.venv}" "virtual environment ${1##*/}" "$python" -m venv --clear "$1" ||
      fail 69 "no virtual environment could be made in '$1'; Debian's package for that is python3-venv"
  fi
}

# once MARKER NAME WHAT COMMAND...: a step of pip that leaves a marker in its environment and is then not done again.
once() {
  local marker=$1
  shift
  if [[ -e $marker ]]; then
    step_begin "${2%% (*}" && step_end "all there,"
    return
  fi
  step "$@" || fail 69 "a Python package could not be installed (no network?); run the command again when it can be"
  touch "$marker"
}

# The CUDA compiler to build with; empty for a build for CPU ranks.
usable_nvcc() {
  local nvcc release
  if [[ $with_cuda == no ]] || ! nvcc=$(find_nvcc); then
    return
  fi
  release=$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p')
  if [[ ${release%%.*} == 13 ]]; then
    echo "$nvcc"
  else
    warn "the CUDA toolkit is release $release, and the LibTorch wheel needs 13: building for CPU ranks only"
  fi
}

set_up_libtorch() { # NVCC
  local key
  if [[ -n ${Torch_DIR:-} ]]; then
    step_begin "LibTorch" && step_end "from Torch_DIR,"
    return
  fi
  key=$(hash_of "$(<"$libtorch_requirements")")
  make_venv "$venv"
  # Python's torch opens every CUDA library of the wheel, even on a machine without a GPU; the C++ side does not.
  if [[ -n $1 ]] || ((with_test_python)); then
    once "$venv/.tercet-libtorch-full-$key" libtorch "LibTorch with its CUDA libraries (about 2.5 GB to fetch)" \
      pip_install "$venv" --requirement "$libtorch_requirements"
  elif [[ -e "$venv/.tercet-libtorch-full-$key" ]]; then
    step_begin "LibTorch" && step_end "all there,"
  else
    once "$venv/.tercet-libtorch-$key" libtorch "LibTorch (about 0.6 GB to fetch)" \
      pip_install "$venv" --no-deps --requirement "$libtorch_requirements"
  fi
}

# Changes when CUDA libraries join the environment: then their folders belong into the programs' run path.
libtorch_markers() { find "$venv" -maxdepth 1 -name '.tercet-libtorch*' 2>/dev/null | sort; }

set_up_build_tools() {
  local version
  version=$(cmake --version 2>/dev/null | sed -n 's/^cmake version //p') || true
  if ! version_at_least "${version:-0}" 3.25 || ! have ninja; then
    once "$venv/.tercet-cmake" cmake "CMake and Ninja (the system's CMake: ${version:-none})" \
      pip_install "$venv" cmake==3.31.6 ninja==1.11.1.3
    PATH="$venv/bin:$PATH"
  fi
}

set_up_test_python() {
  local key
  key=$(hash_of "$(<"$test_requirements")")
  make_venv "$test_venv"
  # The tests' Python finds torch in .venv, which is 2 GB that need not be there twice.
  site_packages "$venv" >"$(site_packages "$test_venv")/tercet-libtorch.pth"
  once "$test_venv/.tercet-$key" test-python "Python packages that the tests compare with" \
    pip_install "$test_venv" --requirement "$test_requirements"
}

# Programs that have an environment of their own. The tests that compare with them skip themselves without.
set_up_foreign_programs() {
  foreign_program llama_cpp llama "llama.cpp (compiled, 7 minutes of one core)"
  foreign_program lm_eval lmeval "lm-evaluation-harness"
}

foreign_program() { # NAME ENVIRONMENT WHAT
  local marker
  marker="$project_root/.venv-$2/.tercet-$(hash_of "$(<"$project_root/tests/parity/requirements-${1//_/-}.txt")")"
  if [[ -e $marker ]]; then
    step_begin "${3%% (*}" && step_end "all there,"
  elif step "make-$1" "$3" "$project_root/tests/parity/make_$1.sh"; then
    touch "$marker"
  else
    warn "going on without ${3%% (*}: the tests that compare with it will say that they are skipped"
  fi
}

# --- the build ----------------------------------------------------------------------------------------------------

compile_jobs() {
  local by_memory cpus
  by_memory=$(($(available_memory_mb) / 1500)) # a file that includes LibTorch's headers takes up to 1.5 GB
  cpus=$(cpu_count)
  ((by_memory >= 1)) || by_memory=1
  echo "$((cpus < by_memory ? cpus : by_memory))"
}

configure() { # NVCC
  local build key arguments=()
  build=$(build_folder)
  [[ -z $1 ]] || export CUDACXX="$1"
  [[ -n $1 || $preset == cuda ]] || arguments+=(-DTERCET_CUDA=OFF)
  key=$(hash_of "$project_root" "$preset" "${arguments[*]}" "$1" "${CXX:-}" "${Torch_DIR:-}" "$(command -v cmake)" \
    "$(cat "$project_root/CMakePresets.json")" "$(libtorch_markers)")
  if [[ -f $build/build.ninja && -e $build/.tercet-configured-$key ]]; then
    return
  fi
  [[ -z ${Torch_DIR:-} ]] || arguments+=("-DTorch_DIR=$Torch_DIR")
  rm -f "$build"/.tercet-configured-*
  # Fresh: what a failed attempt, a moved folder or a toolkit that came later left in the cache would be believed.
  step configure "configure (preset $preset)" cmake --fresh --preset "$preset" "${arguments[@]}" ||
    fail 69 "the build could not be configured; what CMake did not find is named above"
  touch "$build/.tercet-configured-$key"
}

build() {
  local arguments=() number=${jobs:-$(compile_jobs)} target
  ((with_tests || ${#targets[@]})) || targets=(tercet)
  for target in "${targets[@]}"; do
    arguments+=(--target "$target")
  done
  step_with_progress build "build, $number at a time" \
    cmake --build "$(build_folder)" --parallel "$number" "${arguments[@]}" || fail 70 "the build failed"
}

# Two set-ups at once would fight over one virtual environment and one build folder.
take_lock() {
  mkdir -p "$log_folder" 2>/dev/null || fail 74 "'$project_root' is not writable for you; clone it to a folder of yours"
  exec 9>"$project_root/build/.setup.lock"
  flock -n 9 || { say "another set-up of this folder is running; waiting for it" && flock 9; }
}

main() {
  local nvcc
  read_options "$@"
  cd "$project_root"
  take_lock
  set_up_packages
  check_tools
  nvcc=$(usable_nvcc)
  set_up_libtorch "$nvcc"
  set_up_build_tools
  if ((with_test_python)); then
    set_up_test_python
    set_up_foreign_programs
  fi
  configure "$nvcc"
  build
}

main "$@"
