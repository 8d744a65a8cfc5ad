# What all of deploy/local shares: where state is, how a process is started, found again and ended.
#
# State of an instance is one directory; each server has one in it: servers/NAME/{pid,log,port,host,data}. A pid file
# holds the pid and the process's start time, so that a number that was given to another process is never killed.
# Sourced, never run. The caller has `set -euo pipefail`.

LOCAL_DIR="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
ROOT_DIR="$(cd "$LOCAL_DIR/../.." && pwd)"
CACHE="${TERTULIA_TEST_SERVERS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tertulia/servers}"
NAME="${TERTULIA_TEST_SERVERS_NAME:-default}"

say() { echo "servers: $*" >&2; }
fail() { say "$*"; exit 1; }

# Not below the repository: PostgreSQL does not run as root, and the user it runs as must reach its directory. Not
# /tmp, which may be in memory.
state_of() { echo "/var/tmp/tertulia-$(id -u)-$(cksum <<<"$ROOT_DIR" | cut -d' ' -f1)-$1"; }

use_instance() {
    [[ "$1" =~ ^[a-z0-9-]{1,40}$ ]] || fail "a name is of a-z, 0-9 and -, at most 40: $1"
    NAME="$1"
    STATE="$(state_of "$NAME")"
    export TERTULIA_TEST_SERVERS_NAME="$NAME"
}

make_state() {
    mkdir -p -m 755 "$STATE"
    [[ -O "$STATE" && ! -L "$STATE" ]] || fail "$STATE belongs to somebody else"
    mkdir -p -m 755 "$STATE/servers"
}

# Holds the instance's lock while this shell lives; servers are started without it (see `launch`).
lock_state() {
    exec 9>"$STATE/lock"
    flock -w 300 9 || fail "another command has held $STATE/lock for five minutes"
}

# Runs a function while holding the cache's lock, so that two who start at once download once.
with_cache() {
    mkdir -p "$CACHE"
    (exec 8>"$CACHE/lock" && flock -w 600 8 && "$@")
}

server_dir() { echo "$STATE/servers/$1"; }
server_names() { [[ -d "$STATE/servers" ]] && ls "$STATE/servers" || true; }
kind_of() { echo "${1%%-*}"; }

# Field 22 of stat: when the process was started. Its name may hold spaces and brackets, so count from the last one.
start_time() {
    local stat
    stat="$(cat "/proc/$1/stat" 2>/dev/null)" || return 1
    stat="${stat##*) }"
    set -- $stat
    [[ "$1" != Z ]] || return 1
    echo "${20}"
}

note_pid() { echo "$2 $(start_time "$2")" >"$(server_dir "$1")/pid"; }

# The pid of a server if it runs.
pid_of() {
    local pid began file
    file="$(server_dir "$1")/pid"
    [[ -f "$file" ]] && read -r pid began <"$file" || return 1
    [[ -n "$began" && "$(start_time "$pid")" == "$began" ]] || return 1
    echo "$pid"
}

# Starts a program in a session of its own, so that a terminal's Ctrl-C does not reach it, and notes its pid.
launch() {
    local name="$1" dir pid
    shift
    dir="$(server_dir "$name")"
    setsid "$@" </dev/null >>"$dir/log" 2>&1 8>&- 9>&- &
    pid=$!
    disown "$pid"
    # setsid replaces itself by the program; the start time stays.
    note_pid "$name" "$pid" || { show_log "$name"; fail "$name ended at once"; }
}

# signal NAME SIGNAL: to the process, or to all in its container.
signal_server() {
    local name="$1" signal="$2" pid
    if is_container "$name"; then
        container_signal "$name" "$signal"
    elif pid="$(pid_of "$name")"; then
        kill "-$signal" "$pid"
    else
        return 1
    fi
}

is_running() {
    if is_container "$1"; then container_runs "$1"; else pid_of "$1" >/dev/null; fi
}

# wait_gone NAME SECONDS
wait_gone() {
    local tries=$(($2 * 10))
    while is_running "$1"; do
        ((tries-- > 0)) || return 1
        sleep 0.1
    done
}

stop_server() {
    is_running "$1" || return 0
    signal_server "$1" CONT || true
    signal_server "$1" "$("$(kind_of "$1")_stop_signal")" || true
    wait_gone "$1" 10 || { signal_server "$1" KILL || true; wait_gone "$1" 10; }
}

# Starts a server over the data it has, on the port it has, and waits until it answers.
start_server() {
    local name="$1" kind tries
    kind="$(kind_of "$name")"
    ! is_running "$name" || fail "$name runs already"
    "${kind}_start" "$name"
    for ((tries = 600; tries > 0; tries--)); do
        if "${kind}_ready" "$name"; then return 0; fi
        is_running "$name" || { show_log "$name"; say "$name ended before it answered"; return 1; }
        sleep 0.2
    done
    show_log "$name"
    say "$name has not answered in two minutes"
    return 1
}

show_log() {
    say "the end of the log of $1:"
    if is_container "$1"; then container_log "$1" | tail -n 40 >&2; else tail -n 40 "$(server_dir "$1")/log" >&2; fi
}

take_down() {
    local name
    for name in $(server_names); do
        stop_server "$name" || say "$name does not end"
        ! is_container "$name" || container_remove "$name"
    done
    rm -rf "$STATE"
}

# Prints a port that nobody uses on any address, below those the system gives out by itself.
free_port() {
    local port hex
    while :; do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        printf -v hex ':%04X ' "$port"
        if ! grep -qs "$hex" /proc/net/tcp /proc/net/tcp6 && mkdir "$STATE/port-$port" 2>/dev/null; then
            echo "$port"
            return
        fi
    done
}

# ask HOST PORT BYTES COUNT: sends BYTES (printf escapes), prints the first COUNT bytes of the answer in hexadecimal.
ask() {
    timeout 2 bash -c 'exec 3<>"/dev/tcp/$0/$1" && printf "$2" >&3 && head -c "$3" <&3 | od -An -tx1' "$@" 2>/dev/null |
        tr -d ' \n'
}

# Prints PACKAGE unless PROGRAM is there.
package_for() { command -v "$1" >/dev/null || echo "$2"; }

# Installs Debian packages, all in one go. Updates the lists only if that is needed: it takes longest. RUNLEVEL keeps
# the packages' own services from being started, unsafe-io keeps dpkg from waiting for the disk at each file.
install_packages() {
    local sudo="" get
    command -v apt-get >/dev/null || fail "there is no apt-get; install by hand what these packages hold: $*"
    if [[ "$(id -u)" != 0 ]]; then
        sudo -n true 2>/dev/null || fail "install $*, or run this as someone who may (root, or sudo without a password)"
        sudo="sudo -n"
    fi
    say "installing $*"
    get="$sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -q -o DPkg::Lock::Timeout=120"
    local install=(install -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io "$@")
    { $get "${install[@]}" || { $get update && $get "${install[@]}"; }; } >"$CACHE/apt.log" 2>&1 8>&- ||
        { tail -n 30 "$CACHE/apt.log" >&2; fail "cannot install $*"; }
}
