#!/bin/sh
# Runs a command with promtool, nginx, Caddy and grpcurl on its path. Those that are missing are fetched as Debian
# packages and unpacked below target/, or built there by Go, once: nothing is installed, and no service starts. Needs
# apt-get, Go and the network for that.
#   tools/operators/run.sh cargo test --test it operators
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
home=${CARGO_TARGET_DIR:-$root/target}/tools/operators
export PATH="$PATH:$home/usr/bin:$home/usr/sbin:$home/go:/usr/sbin"

missing=
for pair in promtool:prometheus nginx:nginx caddy:caddy; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
if [ -n "$missing" ]; then
    command -v apt-get >/dev/null || { echo "there is no apt-get; install what these packages hold:$missing" >&2; exit 1; }
    mkdir -p "$home/packages"
    cd "$home/packages"
    # shellcheck disable=SC2086 # several words
    apt-get -q download $missing || { sudo -n apt-get -q update || apt-get -q update; apt-get -q download $missing; }
    for package in ./*.deb; do dpkg-deb -x "$package" "$home"; done
    cd "$root"
fi
if ! command -v grpcurl >/dev/null; then
    GOBIN="$home/go" go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3
fi
export TERTULIA_TEST_OPERATORS=1
exec "$@"
