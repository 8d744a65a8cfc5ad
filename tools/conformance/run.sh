#!/bin/sh
# Runs the official Connect conformance suite against the adapter. Needs Go 1.26 or newer and the network the first time.
# Arguments go to the runner, for example: tools/conformance/run.sh --run '**/server-stream/**' --trace
set -eu

version=v1.0.6
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${CONFORMANCE_CACHE:-$root/target/conformance}
target=${CARGO_TARGET_DIR:-$root/target}

mkdir -p "$cache"
runner=$cache/connectconformance-$version
if [ ! -x "$runner" ]; then
    GOBIN=$cache go install "connectrpc.com/conformance/cmd/connectconformance@$version"
    mv "$cache/connectconformance" "$runner"
fi
module=$(cd "$cache" && go mod download -json "connectrpc.com/conformance@$version" | sed -n 's/^.*"Dir": "\(.*\)",*$/\1/p')
[ -d "$module/proto" ] || { echo "the suite's .proto files are not in '$module'" >&2; exit 1; }

export CONNECT_CONFORMANCE_PROTO="$module/proto"
# Who has built the whole workspace already says how: selected as wide as then, nothing but the server is built again.
# shellcheck disable=SC2086 # several words
cargo build --manifest-path "$root/Cargo.toml" ${CONFORMANCE_BUILD:---package conformance}
server=$target/debug/conformance

exec "$runner" --mode server --conf "$here/config.yaml" "$@" -- "$server"
