#!/bin/sh
# Three processes, one checkpoint. Usage: run.sh [PYTHON]; `make demo` calls it.
set -eu

python=${1:-python3}
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TF_CPP_MIN_LOG_LEVEL=3 TF_ENABLE_ONEDNN_OPTS=0 CUDA_VISIBLE_DEVICES=-1 PYTHONDONTWRITEBYTECODE=1

# TensorFlow greets on standard error whatever the log level; it is shown when something goes wrong.
step() {
    printf '\n--- %s\n' "$1"
    if ! "$python" "$here/$2" "$work/checkpoints" 2>"$work/stderr"; then
        cat "$work/stderr" >&2
        echo "demo: $2 failed" >&2
        exit 1
    fi
}

mkdir "$work/checkpoints"
step "1. TensorFlow trains a model and tfsaver saves it" train_and_save.py
step "2. A process without TensorFlow lists, verifies and reads it" read_without_tensorflow.py
step "3. A new session in a new process restores it" restore_and_compare.py
printf '\ndemo: all equal\n'
