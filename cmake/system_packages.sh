#!/bin/sh
# Installs what the build needs from Debian or Ubuntu, if something is missing and apt may be used.
# More packages can be named as arguments. Says what to do by hand where it may not.
set -eu

packages="g++ cmake ninja-build pkg-config python3-dev python3-venv
librocksdb-dev libasio-dev libfmt-dev libcli11-dev libtomlplusplus-dev
libzstd-dev liblz4-dev libsnappy-dev zlib1g-dev libssl-dev libre2-dev
libgtest-dev libgmock-dev libbenchmark-dev $*"

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "pabal: no dpkg here; make sure that the equivalents of these are installed:" $packages
    exit 0
fi

missing=""
for package in $packages; do
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo"
else
    echo "pabal: these system packages are missing, and apt may not be used without a password." >&2
    echo "Install them and run make again:" >&2
    echo "    sudo apt-get install$missing" >&2
    exit 1
fi

echo "pabal: installing$missing"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
