# PostgreSQL: fsync on, as in production. Sourced after common.sh and container.sh.

POSTGRES_AS="tertulia" # user, password and database alike: it listens on loopback and holds tests' data only

postgres_packages() { postgres_bin >/dev/null || echo postgresql; }

postgres_prepare() { postgres_bin >/dev/null || fail "PostgreSQL's initdb is nowhere to be found"; }

# Debian keeps the server's programs out of PATH, one directory a version.
postgres_bin() {
    local dir
    for dir in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -rn); do
        [[ -x "$dir/initdb" && -x "$dir/postgres" ]] && echo "$dir" && return
    done
    dir="$(command -v initdb)" && dirname "$(readlink -f "$dir")"
}

# PostgreSQL refuses to run as root.
as_postgres() { if [[ "$(id -u)" == 0 ]]; then echo "setpriv --reuid=postgres --regid=postgres --init-groups --"; fi; }

postgres_start() {
    local dir port bin as
    dir="$(server_dir "$1")" port="$(<"$(server_dir "$1")/port")"
    local options=(-p "$port" -c listen_addresses=127.0.0.1 -c max_connections=200 -c shared_buffers=128MB)
    if [[ -n "$ENGINE" ]]; then
        launch_container "$1" -e "POSTGRES_USER=$POSTGRES_AS" -e "POSTGRES_PASSWORD=$POSTGRES_AS" --shm-size=256m \
            -- postgres "${options[@]}"
        return
    fi
    bin="$(postgres_bin)" as="$(as_postgres)"
    if [[ ! -f "$dir/initialised" ]]; then
        rm -rf "$dir/data"
        mkdir -m 700 "$dir/data"
        [[ -z "$as" ]] || chown postgres "$dir/data"
        install -m 644 /dev/stdin "$dir/password" <<<"$POSTGRES_AS"
        $as "$bin/initdb" -D "$dir/data" -U "$POSTGRES_AS" -E UTF8 --locale=C.UTF-8 -A scram-sha-256 \
            --pwfile="$dir/password" >"$dir/initdb.log" 2>&1 8>&- 9>&- ||
            { cat "$dir/initdb.log" >&2; fail "initdb failed"; }
        touch "$dir/initialised"
    fi
    postgres_left_over "$dir/data"
    launch "$1" $as "$bin/postgres" -D "$dir/data" -c unix_socket_directories= "${options[@]}"
}

# After SIGKILL: waits for the processes that a dead postmaster leaves behind, then removes its lock file. PostgreSQL
# would do that itself, but takes a process that nobody has reaped (in a container without an init) for a living one.
postgres_left_over() {
    local tries cwd
    [[ -f "$1/postmaster.pid" ]] || return 0
    for ((tries = 100; tries > 0; tries--)); do
        cwd="$(readlink /proc/[0-9]*/cwd 2>/dev/null | grep -Fx "$1" | head -n 1)" || true
        [[ -n "$cwd" ]] || { rm -f "$1/postmaster.pid" && return; }
        sleep 0.1
    done
}

postgres_ready() {
    local dir port psql
    dir="$(server_dir "$1")" port="$(<"$(server_dir "$1")/port")"
    local answers=(pg_isready -q -t 2 -h 127.0.0.1 -p "$port" -U "$POSTGRES_AS" -d postgres)
    if [[ -n "$ENGINE" ]]; then
        container_exec "$1" "${answers[@]}" 2>/dev/null
        return
    fi
    "$(postgres_bin)/${answers[0]}" "${answers[@]:1}" || return 1
    psql="$(postgres_bin)/psql"
    [[ -f "$dir/created" ]] ||
        PGPASSWORD="$POSTGRES_AS" "$psql" -q -h 127.0.0.1 -p "$port" -U "$POSTGRES_AS" -d postgres \
            -c "CREATE DATABASE $POSTGRES_AS" >>"$dir/log" 2>&1 || return 1
    touch "$dir/created"
}

# INT is PostgreSQL's fast shutdown; TERM would wait for clients to go by themselves.
postgres_stop_signal() { echo INT; }

postgres_env() {
    local port
    port="$(<"$(server_dir postgres)/port")"
    echo "export TERTULIA_TEST_POSTGRES=postgres://$POSTGRES_AS:$POSTGRES_AS@127.0.0.1:$port/$POSTGRES_AS"
    echo "# POSTGRES_HOST=127.0.0.1 POSTGRES_PORT=$port POSTGRES_USER=$POSTGRES_AS POSTGRES_PASSWORD=$POSTGRES_AS POSTGRES_DB=$POSTGRES_AS"
}
