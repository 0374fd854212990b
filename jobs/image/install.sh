#!/bin/sh
# Installs gansfer, with everything a task needs, under /opt/gansfer. The one recipe of both images:
# the Dockerfile and apptainer.def run it.
#   install.sh SOURCE REVISION
set -eu
source=$1
revision=$2
export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

python3 -m venv /opt/gansfer
/opt/gansfer/bin/pip install --constraint "$source/constraints.txt" "$source[run,tensorboard]"
# References by label propagation; its pins stand in the file.
/opt/gansfer/bin/pip install --no-deps --requirement "$source/jobs/image/requirements-propagation.txt"

# What only building needs.
find /opt/gansfer -name tests -path '*/site-packages/*' -prune -exec rm -rf {} +
/opt/gansfer/bin/pip uninstall --yes pip
install -D -m 644 "$source/configs/smoke.yaml" /opt/gansfer/share/gansfer/smoke.yaml
printf '%s\n' "$revision" >/opt/gansfer/share/gansfer/revision

# The command, for a host that calls it by its name alone, and its first check. What libraries
# cache at their first import (matplotlib: where fonts are) stays out of the image.
away=$(mktemp -d)
HOME=$away /opt/gansfer/bin/gansfer --help >/dev/null
HOME=$away /opt/gansfer/bin/python -c 'import ants, torch'
rm -rf "$away"
