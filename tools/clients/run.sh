#!/usr/bin/env bash
# Generates, compiles and runs the small clients beside this file over a server of its own. README.md says how each is
# made. Needs Go, Java 17 with Maven, Python 3, Node, and the network the first time. Arguments: the languages to run.
#   CLIENTS_SERVER  the server's program (default: the one cargo builds)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
work=$target/clients
all=(go java python typescript csharp)
go_plugins=(google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12 google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2)

say() { echo "clients: $*"; }
fail() { echo "clients: $*" >&2; exit 1; }

languages=("$@")
((${#languages[@]})) || languages=("${all[@]}")
for language in "${languages[@]}"; do
    [[ " ${all[*]} " == *" $language "* ]] || fail "no language $language; there are ${all[*]}"
done
for program in go mvn python3 npm; do
    command -v "$program" >/dev/null || fail "$program is missing"
done

# Sources are copied beside what is generated, so that nothing of that comes into the repository.
prepare() {
    mkdir -p "$work/bin"
    cp -R "$here"/{go,java,python,typescript,buf.gen.yaml} "$work/"
    rm -rf "$work"/{go/gen,python/tertulia,typescript/gen,csharp}
    for plugin in "${go_plugins[@]}"; do
        local name=${plugin##*/}
        [[ -x "$work/bin/${name%@*}" ]] || GOBIN="$work/bin" go install "$plugin"
    done
    (cd "$work/typescript" && npm install --silent --no-audit --no-fund)
    PATH="$work/bin:$work/typescript/node_modules/.bin:$PATH" \
        "$root/tools/proto/buf.sh" generate --template "$work/buf.gen.yaml" --output "$work"
    if [[ ! -x "$work/venv/bin/python" ]]; then
        python3 -m venv "$work/venv"
        "$work/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/python/requirements.txt"
    fi
}

protos() { (cd "$root/proto" && find tertulia -name '*.proto'); }

# protoc as grpcio-tools brings it.
protoc() {
    (cd "$root/proto" && protos | xargs "$work/venv/bin/python" -m grpc_tools.protoc -I. "$@")
}

run_go() {
    cat >"$work/go/gen/go.mod" <<'END'
module tertulia/gen

go 1.25.0
END
    (cd "$work/go" && go mod tidy -e >tidy.log 2>&1 && go vet . && go run .) || { cat "$work/go/tidy.log"; return 1; }
}

# What Maven's protoc is called on this machine.
platform() {
    local system machine
    system=$(uname -s | sed 's/Darwin/osx/; s/Linux/linux/')
    machine=$(uname -m | sed 's/aarch64/aarch_64/; s/arm64/aarch_64/')
    echo "$system-$machine"
}

run_java() {
    mvn --quiet --batch-mode --file "$work/java/pom.xml" -Dclients.proto="$root/proto" \
        -Dclients.platform="$(platform)" -Dclients.out="$work/java/target" compile exec:java
}

run_python() {
    protoc --python_out="$work/python" --grpc_python_out="$work/python"
    (cd "$work/python" && "$work/venv/bin/python" main.py)
}

run_typescript() {
    (cd "$work/typescript" && node_modules/.bin/tsc && node out/main.js)
}

# Without a .NET SDK: that the generated text has the names that it is to have. Maven's protoc has a generator for it.
run_csharp() {
    local version program
    version=$(sed -n 's#.*<protobuf.version>\(.*\)</protobuf.version>.*#\1#p' "$here/java/pom.xml")
    program="$work/bin/protoc-$version-$(platform).exe"
    [[ -f "$program" ]] || mvn --quiet --batch-mode dependency:copy -DoutputDirectory="$work/bin" \
        -Dartifact="com.google.protobuf:protoc:$version:exe:$(platform)"
    chmod +x "$program"
    # Google's own types come with grpcio-tools.
    local google
    google=$("$work/venv/bin/python" -c 'import grpc_tools; print(grpc_tools.__path__[0] + "/_proto")')
    mkdir -p "$work/csharp"
    (cd "$root/proto" && protos | xargs "$program" -I. -I"$google" --csharp_out="$work/csharp" --csharp_opt=base_namespace=Tertulia)
    for package in Chat Tokens Admin; do
        grep -rqx "namespace Tertulia.$package.V1 {" "$work/csharp/$package" || fail "no C# namespace Tertulia.$package.V1"
    done
    echo "csharp: generated (not compiled)"
}

server() {
    local bin=${CLIENTS_SERVER:-$target/debug/tertulia}
    if [[ -z "${CLIENTS_SERVER:-}" ]]; then
        # shellcheck disable=SC2086 # several words
        cargo build --manifest-path "$root/Cargo.toml" ${CLIENTS_BUILD:---package tertulia}
    fi
    data=$(mktemp -d)
    "$bin" serve --listen 127.0.0.1:0 --data-dir "$data" 2>"$data/log" &
    server=$!
    trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; rm -rf "$data"' EXIT
    for _ in $(seq 100); do
        TERTULIA_URL=$(sed -n 's#^Tertulia serves .* on \(http://[0-9.:]*\),.*#\1#p' "$data/log")
        [[ -n "$TERTULIA_URL" ]] && break
        kill -0 "$server" 2>/dev/null || { cat "$data/log" >&2; fail "the server did not start"; }
        sleep 0.1
    done
    [[ -n "$TERTULIA_URL" ]] || fail "the server did not say where it listens"
    TERTULIA_TOKEN=$("$bin" token --user 1 --name Ana --data-dir "$data")
    export TERTULIA_URL TERTULIA_TOKEN
}

prepare
server
for language in "${languages[@]}"; do
    say "$language"
    "run_$language" || fail "$language failed"
done
say "${languages[*]}: passed"
