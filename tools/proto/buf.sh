#!/bin/sh
# Runs buf in the folder of the .proto files, and installs it first where it is not there yet (needs Go and the network).
# For example: tools/proto/buf.sh lint
set -eu

version=v1.59.0
root=$(cd "$(dirname "$0")/../.." && pwd)
cache=${BUF_CACHE:-${CARGO_TARGET_DIR:-$root/target}/tools/buf-$version}

if [ ! -x "$cache/buf" ]; then
    mkdir -p "$cache"
    # One that is being built is not there for others yet.
    building=$(mktemp -d "$cache/building.XXXXXX")
    trap 'rm -rf "$building"' EXIT
    GOBIN=$building CGO_ENABLED=0 go install "github.com/bufbuild/buf/cmd/buf@$version"
    mv "$building/buf" "$cache/buf"
    rm -rf "$building"
fi
cd "$root/proto"
exec "$cache/buf" "$@"
