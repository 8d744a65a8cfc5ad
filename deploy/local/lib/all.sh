# Everything, in order. Sourced.
here="$(dirname "${BASH_SOURCE[0]}")"
. "$here/common.sh"
. "$here/container.sh"
. "$here/cassandra.sh"
. "$here/postgres.sh"
. "$here/redis.sh"

# A new kind of server is a file beside these, a source line above, a word here, and an image in container.sh. The file
# has: KIND_packages (what to install), _prepare (download, check), _start NAME, _ready NAME, _stop_signal, _env.
KINDS=(cassandra postgres redis)

# Everything that the KINDs given need on this machine; under the cache's lock.
prepare_kinds() {
    local kind packages=()
    for kind in "$@"; do packages+=($("${kind}_packages")); done
    ((${#packages[@]} == 0)) || install_packages "${packages[@]}"
    for kind in "$@"; do "${kind}_prepare"; done
}
