# Redis: nothing is saved, because nothing in it is truth. Sourced after common.sh and container.sh.

redis_packages() { package_for redis-server redis-server; }

redis_prepare() { command -v redis-server >/dev/null || fail "redis-server is missing"; }

redis_start() {
    local dir port
    dir="$(server_dir "$1")" port="$(<"$(server_dir "$1")/port")"
    local options=(--bind 127.0.0.1 --port "$port" --save '' --appendonly no --daemonize no)
    if [[ -n "$ENGINE" ]]; then
        launch_container "$1" -- redis-server "${options[@]}"
    else
        mkdir -p "$dir/data"
        launch "$1" redis-server "${options[@]}" --dir "$dir/data"
    fi
}

redis_ready() { [[ "$(ask 127.0.0.1 "$(<"$(server_dir "$1")/port")" 'PING\r\n' 7)" == 2b504f4e470d0a ]]; } # +PONG

redis_stop_signal() { echo TERM; }

redis_env() {
    local port
    port="$(<"$(server_dir redis)/port")"
    echo "export TERTULIA_TEST_REDIS=redis://127.0.0.1:$port"
    echo "# REDIS_HOST=127.0.0.1 REDIS_PORT=$port"
}
