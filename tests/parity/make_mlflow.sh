#!/usr/bin/env bash
# make_mlflow.sh: .venv-mlflow with MLflow and its server, for parity.mlflow alone; about 0.9 GB and a minute.
set -euo pipefail
cd "$(dirname "$0")/../.."
python3 -m venv .venv-mlflow
.venv-mlflow/bin/pip install -q -r tests/parity/requirements-mlflow.txt
