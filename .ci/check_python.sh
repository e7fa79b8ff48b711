#!/bin/sh
# Says in words what is missing before `python -m venv` says it in its own.
python=$1

if ! command -v "$python" >/dev/null 2>&1; then
    echo "make: no program called '$python'. On Debian: apt-get install python3 python3-venv" >&2
    exit 1
fi
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || exit 1
case $version in
    3.10 | 3.11 | 3.12 | 3.13) ;;
    *)
        echo "make: '$python' is Python $version; tfsaver and TensorFlow 2.21 need 3.10 to 3.13." >&2
        echo "make: name another one: make PYTHON=python3.11 ..." >&2
        exit 1
        ;;
esac
if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    echo "make: '$python' cannot make virtual environments. On Debian: apt-get install python3-venv" >&2
    exit 1
fi
