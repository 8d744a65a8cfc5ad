# The CQL server: ScyllaDB in a container, otherwise Apache Cassandra from its Maven artifacts on a JVM.
#
# Nodes are cassandra (alone) or cassandra-1 to -3 (a ring): each on a loopback address of its own and all on the same
# ports, because drivers expect one port in a cluster. Sourced after common.sh and container.sh.

CASSANDRA_HEAP="${TERTULIA_TEST_SERVERS_HEAP:-}"      # -Xmx; 768m alone, 384m in a ring
CASSANDRA_SYNC="${TERTULIA_TEST_SERVERS_SYNC:-periodic}" # commitlog_sync: periodic, group or batch
CASSANDRA_POM="$LOCAL_DIR/cassandra/pom.xml"

cassandra_packages() {
    cassandra_java >/dev/null || echo openjdk-17-jre-headless
    [[ -d "$(cassandra_lib)" ]] || package_for mvn maven
}

cassandra_prepare() {
    cassandra_java >/dev/null || fail "there is no Java that Cassandra runs on (17 or 11)"
    [[ -d "$(cassandra_lib)" ]] || cassandra_download
}

# The first Java that Cassandra runs on; newer ones it does not start with.
cassandra_java() {
    local java
    for java in "${JAVA_HOME:-}/bin/java" /usr/lib/jvm/*-17-*/bin/java /usr/lib/jvm/*-11-*/bin/java "$(command -v java || true)"; do
        [[ -x "$java" ]] || continue
        case "$("$java" -version 2>&1)" in
            *'version "17'* | *'version "11'*) echo "$java" && return ;;
        esac
    done
    return 1
}

# Named after what the pom says, so that a new version is downloaded beside the old one.
cassandra_lib() { echo "$CACHE/cassandra-$(cksum <"$CASSANDRA_POM" | cut -d' ' -f1)"; }

cassandra_download() {
    local lib
    lib="$(cassandra_lib)"
    say "downloading Cassandra (66 MB, once)"
    rm -rf "$lib.part"
    mvn -B -q -f "$CASSANDRA_POM" "-Dmaven.repo.local=$CACHE/maven.part" dependency:copy-dependencies \
        "-DoutputDirectory=$lib.part" >"$CACHE/maven.log" 2>&1 8>&- ||
        { tail -n 30 "$CACHE/maven.log" >&2; fail "cannot download Cassandra"; }
    mv "$lib.part" "$lib"
    rm -rf "$CACHE/maven.part"
}

cassandra_host() { if [[ "$1" == cassandra ]]; then echo 127.0.0.1; else echo "127.0.1.${1##*-}"; fi; }

# A node that is started again is the one that was started first, whatever the environment says then.
cassandra_keep_options() { echo "$CASSANDRA_SYNC $CASSANDRA_HEAP" >"$(server_dir "$1")/options"; }

cassandra_start() {
    read -r CASSANDRA_SYNC CASSANDRA_HEAP <"$(server_dir "$1")/options"
    if [[ -n "$ENGINE" ]]; then scylla_start "$1"; else cassandra_start_native "$1"; fi
}

cassandra_start_native() {
    local name="$1" dir host port storage heap delay=0
    dir="$(server_dir "$name")" host="$(cassandra_host "$name")"
    port="$(<"$dir/port")" storage="$(<"$dir/storage_port")"
    heap="${CASSANDRA_HEAP:-768m}"
    [[ "$name" == cassandra ]] || { delay=2000 heap="${CASSANDRA_HEAP:-384m}"; }
    mkdir -p "$dir/data" "$dir/conf"
    cassandra_yaml "$name" "$host" "$port" "$storage" >"$dir/conf/cassandra.yaml"
    cp "$LOCAL_DIR/cassandra/logback.xml" "$dir/conf/"
    launch "$name" "$(cassandra_java)" "@$LOCAL_DIR/cassandra/jvm.options" "-Xms$heap" "-Xmx$heap" \
        "-Dcassandra.config=file://$dir/conf/cassandra.yaml" "-Dcassandra.storagedir=$dir/data" \
        "-Dlogback.configurationFile=$dir/conf/logback.xml" "-Dcassandra.ring_delay_ms=$delay" \
        -cp "$dir/conf:$(cassandra_lib)/*" org.apache.cassandra.service.CassandraDaemon
}

cassandra_yaml() {
    local name="$1" host="$2" port="$3" storage="$4" data seed
    data="$(server_dir "$name")/data"
    if [[ "$name" == cassandra ]]; then seed="$host"; else seed="127.0.1.1"; fi
    cat <<YAML
cluster_name: tertulia-$NAME
num_tokens: 4
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{seeds: "$seed:$storage"}]
listen_address: $host
rpc_address: $host
storage_port: $storage
native_transport_port: $port
data_file_directories: [$data/data]
commitlog_directory: $data/commitlog
saved_caches_directory: $data/saved_caches
hints_directory: $data/hints
cdc_raw_directory: $data/cdc_raw
auto_snapshot: false
commitlog_total_space: 512MiB
networking_cache_size: 32MiB
file_cache_size: 32MiB
commitlog_sync: $CASSANDRA_SYNC
YAML
    # With a heap that somebody chose, Cassandra's own default: a quarter of it.
    [[ -n "$CASSANDRA_HEAP" ]] || printf '%s\n' "memtable_heap_space: 128MiB" "memtable_offheap_space: 128MiB"
    case "$CASSANDRA_SYNC" in
        periodic) echo "commitlog_sync_period: 10000ms" ;;
        group) echo "commitlog_sync_group_window: 1ms" ;;
        batch) ;;
        *) fail "TERTULIA_TEST_SERVERS_SYNC is periodic, group or batch" ;;
    esac
}

scylla_start() {
    local name="$1" dir host seed sync=periodic
    dir="$(server_dir "$name")" host="$(cassandra_host "$name")" seed="$(cassandra_host "$name")"
    [[ "$name" == cassandra ]] || seed=127.0.1.1
    # ScyllaDB knows no group.
    [[ "$CASSANDRA_SYNC" == periodic ]] || sync=batch
    launch_container "$name" -- --commitlog-sync "$sync" --smp 1 --memory 768M --overprovisioned 1 --developer-mode 1 \
        --listen-address "$host" --rpc-address "$host" --broadcast-address "$host" --broadcast-rpc-address "$host" \
        --seeds "$seed" --api-address "$host" --prometheus-address "$host" --native-transport-port "$(<"$dir/port")" \
        --native-shard-aware-transport-port 0 --storage-port "$(<"$dir/storage_port")"
}

# An OPTIONS frame of the native protocol, version 4, is answered by SUPPORTED (opcode 6).
cassandra_ready() {
    local port
    port="$(<"$(server_dir "$1")/port")"
    [[ "$(ask "$(cassandra_host "$1")" "$port" '\x04\x00\x00\x00\x05\x00\x00\x00\x00' 5)" == 8400000006 ]]
}

# Nodes of a ring that a node knows, besides itself, and their tokens: two requests of the native protocol, STARTUP and
# QUERY; the answer ends with the count.
cassandra_peers() {
    local host port
    host="$(cassandra_host "$1")" port="$(<"$(server_dir "$1")/port")"
    timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"
        printf "\x04\0\0\0\x01\0\0\0\x16\0\x01\0\x0bCQL_VERSION\0\x053.0.0" >&3
        head -c 9 <&3 >/dev/null
        printf "\x04\0\0\0\x07\0\0\0\x2d\0\0\0\x26SELECT count(tokens) FROM system.peers\0\x01\0" >&3
        head -c "$(head -c 9 <&3 | tail -c 4 | od -An -tu4 --endian=big)" <&3 | tail -c 1 | od -An -tu1' \
        "$host" "$port" 2>/dev/null | tr -d ' \n'
}

# Waits until every node of a ring knows all others: who makes a keyspace before that has fewer copies than they think.
cassandra_joined() {
    local name tries
    for name in "$@"; do
        for ((tries = 150; tries > 0; tries--)); do
            [[ "$(cassandra_peers "$name")" != $(($# - 1)) ]] || continue 2
            sleep 0.2
        done
        say "$name does not know the others"
        return 1
    done
}

cassandra_stop_signal() { echo TERM; }

cassandra_env() {
    local name hosts=() port addresses
    for name in $(server_names); do
        [[ "$(kind_of "$name")" == cassandra ]] || continue
        hosts+=("$(cassandra_host "$name")")
        port="$(<"$(server_dir "$name")/port")"
    done
    addresses="$(printf ',%s' "${hosts[@]/%/:$port}")"
    echo "export TERTULIA_TEST_CQL=${addresses:1}"
    echo "# USE_SCYLLADB=true SCYLLA_HOSTS=$(IFS=, && echo "${hosts[*]}") SCYLLA_PORT=$port"
}
