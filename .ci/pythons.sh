# Sourced by .ci/newest and .ci/oldest: which Pythons are here, and environments of them.
# shellcheck shell=bash

command -v uv >/dev/null || {
    echo "$0 needs uv: python -m pip install uv" >&2
    exit 1
}
# What is not here is not fetched: a Python is tested where a user may have it.
export UV_PYTHON_DOWNLOADS=never
# The whole suite, in which nothing may be missing, has run before: without frameworks their tests skip here.
unset ASTROCLEAN_CI
# Workers of pytest share the cores; threads of their own would only wait for each other.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"

# Where pip is told of an index that uv does not know, uv may reach none: nothing can be had then.
index_is_reached() {
    echo packaging | uv pip compile -q --no-header - >/dev/null
}

# Print "version path" of each released Python >= 3.11 of the path and of pyenv, newest first.
# Each is asked, since pyenv's shims on the path fail for versions that it has but does not use.
pythons_here() {
    local candidate
    {
        compgen -c python3. | grep -E '^python3\.[0-9]+$' || true
        compgen -G "${PYENV_ROOT:-$HOME/.pyenv}/versions/*/bin/python3" || true
    } | sort -u | while read -r candidate; do
        "$candidate" - 2>/dev/null <<'END' || true
import sys
import sysconfig

released = sys.version_info.releaselevel == "final"
if released and sys.version_info >= (3, 11) and not sysconfig.get_config_var("Py_GIL_DISABLED"):
    print("%d.%d.%d" % sys.version_info[:3], sys.executable)
END
    done | sort -rV -k1,1 -u
}

# environment PYTHON FOLDER [OPTION...]: make one with core, plugins and what tests need.
environment() {
    local python="$1" folder="$2"
    shift 2
    uv venv -q --python "$python" "$folder" &&
        uv pip install -q --python "$folder" "$@" \
            -r requirements/packages.txt -r requirements/tools.txt
}
