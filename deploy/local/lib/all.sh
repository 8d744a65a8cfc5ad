# Everything, in order. Sourced.
here="$(dirname "${BASH_SOURCE[0]}")"
. "$here/common.sh"
. "$here/container.sh"
. "$here/cassandra.sh"
. "$here/postgres.sh"
. "$here/redis.sh"

# A new kind of server is a file beside these, with KIND_prepare, _start, _ready, _stop_signal and _env, a source line
# above, and a word here.
KINDS=(cassandra postgres redis)
