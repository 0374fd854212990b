#!/usr/bin/env bash
# A real Apptainer for Debian 12, which has none: get_apptainer.sh FOLDER, then call FOLDER/apptainer.
# It takes Debian unstable's package, and the libc6 that that is built against, through apt-get with
# lists of its own, and unpacks both into FOLDER; the system's packages stay as they are.
# Needs root, and: patchelf squashfs-tools squashfuse fuse-overlayfs fuse2fs fuse3 uidmap gocryptfs
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
[[ ! -x $folder/apptainer ]] || exec "$folder/apptainer" --version

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir -p "$work"/{lists/partial,cache/archives/partial,debs,app,libc}
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' | head -n 1)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keyring] $mirror sid main" >"$work/sources.list"
apart=(
  -qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=-
  -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache"
  -o APT::Sandbox::User=root -o Acquire::Languages=none
)
apt-get "${apart[@]}" update
(cd "$work/debs" && apt-get "${apart[@]}" download apptainer libc6)

dpkg-deb -x "$work"/debs/apptainer_*.deb "$work/app"
dpkg-deb -x "$work"/debs/libc6_*.deb "$work/libc"
cp -a "$work"/app/usr/. "$work/app/etc" "$work/app/var" "$folder/"
mkdir -p "$folder/libc"
find "$work/libc" -maxdepth 4 -path '*x86_64-linux-gnu/*' -name '*.so*' -exec cp -a {} "$folder/libc/" \;
# RPATH, not RUNPATH: Apptainer sets LD_LIBRARY_PATH for its helpers, and that comes before RUNPATH.
for program in bin/apptainer lib/x86_64-linux-gnu/apptainer/bin/starter; do
  patchelf --set-interpreter "$folder/libc/ld-linux-x86-64.so.2" --force-rpath \
    --set-rpath "$folder/libc:/usr/lib/x86_64-linux-gnu" "$folder/$program"
done
# Debian's starter lies one level deeper than its idea of the prefix allows for.
for name in bin etc var; do ln -sfn "../$name" "$folder/lib/$name"; done
ln -sfn . "$folder/lib/lib"

install -m 755 "$here/all_capabilities.py" "$folder/all_capabilities.py"
cat >"$folder/apptainer" <<WRAPPER
#!/bin/sh
exec python3 $folder/all_capabilities.py $folder/bin/apptainer "\$@"
WRAPPER
chmod 755 "$folder/apptainer"
"$folder/apptainer" --version
