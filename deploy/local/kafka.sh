#!/usr/bin/env bash
# Runs Apache Kafka, one KRaft node, on 127.0.0.1. Any number of them side by side: each has a folder and a port.
#
#   deploy/local/kafka.sh start [--dir D] [--port P] [--owner PID] [--secure S] [--set KEY=VALUE]...
#   deploy/local/kafka.sh stop|status|restart|kill9|pause|resume [--dir D]
#
# start    formats the folder if it is new, starts the broker, waits until it answers and prints its address; on a folder
#          whose broker runs already it only prints that address. Port 0 is any free port; it is kept for the next start.
# stop     a clean stop, waited for; nothing to do is no error
# kill9    SIGKILL, waited for: what a power cut does to the process
# pause    SIGSTOP; resume is SIGCONT
# status   prints the address and exits 0, or exits 1 when it does not run
#
# --dir    TRIBUTARY_KAFKA_DIR    where its data, `log` and `pid` lie; default .tools/run/kafka
# --port   TRIBUTARY_KAFKA_PORT   default 9092
# --owner                         the broker is ended when this process is gone (for tests, which may be killed)
# --secure                        TLS, SCRAM-SHA-512, client certificates and access control lists, with the certificates and
#                                 users of folder S: see kafka-secure.sh; kept for the next start. Two addresses are printed,
#                                 SCRAM's first
# --set                           a broker setting over the ones below; kept for the next start
#          TRIBUTARY_KAFKA_HEAP   Java's options for memory, default -Xmx512m
#          TRIBUTARY_START_SECONDS  how long a start may take, default 90
set -euo pipefail
me=kafka
# shellcheck source=deploy/local/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=deploy/local/kafka-secure.sh
source "$(dirname "${BASH_SOURCE[0]}")/kafka-secure.sh"

dir=${TRIBUTARY_KAFKA_DIR:-$tools/run/kafka}
port=${TRIBUTARY_KAFKA_PORT:-}
parse_arguments "$@"

setting() { # KEY: as the folder's configuration has it
  sed -n "s/^$1=//p" "$dir/server.properties" 2>/dev/null | tail -n 1 || true
}

where() { # one address a line
  setting advertised.listeners | tr ',' '\n' | sed 's|.*://||'
}

listeners() { # CONTROLLER-PORT
  cat <<PROPERTIES
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$1
advertised.listeners=PLAINTEXT://127.0.0.1:$port
inter.broker.listener.name=PLAINTEXT
PROPERTIES
}

# The settings that one node needs, and those that keep a test short: no wait for more group members, sessions of a
# second if asked for, timed-out transactions noticed at once, a broker that was killed let in again after 4 s rather than
# 9. Small index files, for they are laid out whole in advance.
write_settings() {
  local controller
  controller=$(setting controller.listener)
  [[ -n "$controller" ]] && ! listens "$controller" || controller=$(free_port)
  {
    cat <<PROPERTIES
# Written by deploy/local/kafka.sh at each start; settings given with --set stand in overrides.properties.
controller.listener=$controller
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:$controller
log.dirs=$dir/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=4000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
transaction.max.timeout.ms=900000
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
log.segment.bytes=134217728
log.index.size.max.bytes=1048576
log.segment.delete.delay.ms=1000
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=4
PROPERTIES
    if [[ -n "$secure" ]]; then secure_listeners "$controller"; else listeners "$controller"; fi
    cat "$dir/overrides.properties" 2>/dev/null || true
  } >"$dir/server.properties"
}

kafka_java() { # CLASS ARGUMENT...: for Java itself, what to run
  java_arguments=(
    "${heap[@]}" -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:-UsePerfData -Djava.awt.headless=true
    "-Dlog4j2.configurationFile=$root/deploy/local/log4j2.properties" -cp "$kafka_home/libs/*" "$@"
  )
}

format() {
  local id
  # A cluster id is 16 random bytes in URL-safe base64; one that began with a dash would be taken for an option.
  id=$(head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | tr -d '=')
  local users=()
  [[ -z "$secure" ]] || mapfile -t users < <(scram_users)
  kafka_java kafka.tools.StorageTool format -t "$id" -c "$dir/server.properties" "${users[@]}"
  java @<(printf '"%s"\n' "${java_arguments[@]}") >"$dir/log" 2>&1 || {
    cat "$dir/log" >&2
    die "could not format $dir"
  }
}

started() { grep -q 'Kafka Server started' "$dir/log" && listens "$port"; }

start() {
  if pid_of "$dir" >/dev/null; then
    where
    return
  fi
  [[ -d "$kafka_home" ]] || die "Kafka is not in $tools yet: run deploy/local/fetch.sh"
  read -ra heap <<<"${TRIBUTARY_KAFKA_HEAP:--Xmx512m}"
  mkdir -p "$dir"
  local before
  before=$(where | head -n 1)
  [[ -n "$secure" ]] || secure=$(setting secure.folder)
  choose_port 9092 "${before##*:}"
  [[ ${#overrides[@]} == 0 ]] || printf '%s\n' "${overrides[@]}" >>"$dir/overrides.properties"
  write_settings
  fresh_log
  [[ -e "$dir/data/meta.properties" ]] || format
  kafka_java kafka.Kafka "$dir/server.properties"
  launch "$dir" "$owner" "${java_arguments[@]}"
  await "$dir" "${TRIBUTARY_START_SECONDS:-90}" started
  where
}

act
