#!/usr/bin/env bash
# A local stand-in for a registry's base image: make_base.sh FOLDER (root, debootstrap; a minute).
# Debian with python3, and with this machine's certificates and pip settings, so that the recipe
# of the images runs in it as it is.
set -euo pipefail
folder=$1
[[ ! -e $folder/.made ]] || exit 0
rm -rf "$folder"
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' | head -n 1)
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$folder" \
  "$mirror" >"$folder.log"
find "$folder/dev" -mindepth 1 -delete # a user namespace cannot make device nodes
rm -rf "$folder"/var/cache/apt/archives/*.deb "$folder"/var/lib/apt/lists/*
cp /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/ca-certificates.crt"
# Each as `global.name='value'` or `:env:.name='value'`; what stands last wins, as in pip itself.
python3 -m pip config list | sed -nE "s/^(global|:env:)\.([a-z-]+)='(.*)'$/\2 = \3/p" |
  awk -F ' = ' 'BEGIN { print "[global]" } { kept[$1] = $0 } END { for (k in kept) print kept[k] }' \
    >"$folder/etc/pip.conf"
# Folders of wheels that those settings name are bound at build time.
for wheels in $(sed -n 's/^find-links = //p' "$folder/etc/pip.conf"); do
  [[ $wheels != /* ]] || mkdir -p "$folder$wheels"
done
# A file of constraints that they name is needed inside too.
for rules in $(sed -n 's/^constraint = //p' "$folder/etc/pip.conf"); do
  [[ ! -f $rules ]] || install -D -m 644 "$rules" "$folder$rules"
done
touch "$folder/.made"
