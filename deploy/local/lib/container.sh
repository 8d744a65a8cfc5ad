# Servers in containers, where an engine runs. Images are pinned in images.env.
#
# Containers share the host's network and listen on loopback: the same ports and the same readiness as natively, and a
# ring finds its members without an address translation. Sourced after common.sh.

# shellcheck source=../images.env
. "$LOCAL_DIR/images.env"

# Prints docker or podman if one of them works, else nothing.
find_engine() {
    local engine
    case "${TERTULIA_TEST_SERVERS_ENGINE:-auto}" in
        native) return ;;
        docker | podman) echo "$TERTULIA_TEST_SERVERS_ENGINE" && return ;;
        auto) ;;
        *) fail "TERTULIA_TEST_SERVERS_ENGINE is auto, native, docker or podman" ;;
    esac
    [[ "$(uname -s)" == Linux ]] || return 0
    for engine in docker podman; do
        if command -v "$engine" >/dev/null && timeout 10 "$engine" info >/dev/null 2>&1; then
            echo "$engine"
            return
        fi
    done
}

# Sets ENGINE: empty for native. An engine that cannot get an image is as good as none, unless it was asked for.
choose_engine() {
    local kind image
    ENGINE="$(find_engine)"
    [[ -n "$ENGINE" ]] || return 0
    for kind in "$@"; do
        image="$(image_of "$kind")"
        "$ENGINE" image inspect "$image" >/dev/null 2>&1 && continue
        say "pulling $image"
        if ! timeout 300 "$ENGINE" pull -q "$image" >/dev/null 2>&1; then
            [[ "${TERTULIA_TEST_SERVERS_ENGINE:-auto}" == auto ]] || fail "$ENGINE cannot pull $image"
            say "$ENGINE cannot pull $image: going native"
            ENGINE=""
            return 0
        fi
    done
}

image_of() {
    case "$1" in
        cassandra) echo "$SCYLLA_IMAGE" ;;
        postgres) echo "$POSTGRES_IMAGE" ;;
        redis) echo "$REDIS_IMAGE" ;;
    esac
}

# The engine is noted beside the server, for whoever stops it later.
is_container() { [[ -f "$(server_dir "$1")/engine" ]]; }
engine_of() { cat "$(server_dir "$1")/engine"; }
container_of() { echo "tertulia-$(basename "$STATE")-$1"; }

# launch_container NAME OPTION... -- ARGUMENT...: keeps the container over restarts, so that its data stays.
launch_container() {
    local name="$1" container engine options=()
    shift
    container="$(container_of "$name")"
    engine="$ENGINE"
    if is_container "$name"; then
        "$(engine_of "$name")" start "$container" >/dev/null
        return
    fi
    while [[ "$1" != -- ]]; do options+=("$1") && shift; done
    shift
    echo "$engine" >"$(server_dir "$name")/engine"
    "$engine" rm -f "$container" >/dev/null 2>&1 || true
    "$engine" run -d --name "$container" --network host "${options[@]}" "$(image_of "$(kind_of "$name")")" "$@" >/dev/null
}

container_signal() {
    local engine container
    engine="$(engine_of "$1")" container="$(container_of "$1")"
    case "$2" in
        STOP) "$engine" pause "$container" ;;
        CONT) "$engine" unpause "$container" ;;
        *) "$engine" kill -s "$2" "$container" ;;
    esac >/dev/null 2>&1
}
container_runs() { [[ "$("$(engine_of "$1")" inspect -f '{{.State.Running}}' "$(container_of "$1")" 2>/dev/null)" == true ]]; }
container_log() { "$(engine_of "$1")" logs "$(container_of "$1")" 2>&1; }
container_remove() { "$(engine_of "$1")" rm -f "$(container_of "$1")" >/dev/null 2>&1 || true; }
container_exec() {
    local name="$1"
    shift
    "$(engine_of "$name")" exec "$(container_of "$name")" "$@"
}
