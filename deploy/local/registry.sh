#!/usr/bin/env bash
# Runs the Apicurio schema registry on 127.0.0.1, with Confluent's API at /apis/ccompat/v7 and compatibility BACKWARD. It
# keeps its schemas in memory: stopped, it forgets them. Any number of them side by side: each has a folder and a port.
#
#   deploy/local/registry.sh start [--dir D] [--port P] [--owner PID]
#   deploy/local/registry.sh stop|status|restart|kill9|pause|resume [--dir D]
#
# As kafka.sh does it; start and status print the URL of Confluent's API.
#
# --dir    TRIBUTARY_REGISTRY_DIR    where its `log` and `pid` lie; default .tools/run/registry
# --port   TRIBUTARY_REGISTRY_PORT   default 8081; 0 is any free port
# --owner                            the registry is ended when this process is gone
#          TRIBUTARY_REGISTRY_HEAP   Java's options for memory, default -Xmx384m
#          TRIBUTARY_START_SECONDS   how long a start may take, default 90
set -euo pipefail
me=registry
# shellcheck source=deploy/local/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

dir=${TRIBUTARY_REGISTRY_DIR:-$tools/run/registry}
port=${TRIBUTARY_REGISTRY_PORT:-}
parse_arguments "$@"

where() { echo "http://127.0.0.1:$(cat "$dir/port")/apis/ccompat/v7"; }

started() {
  curl --silent --fail --max-time 2 -o /dev/null -X PUT -H 'Content-Type: application/json' \
    -d '{"compatibility":"BACKWARD"}' "$(where)/config"
}

start() {
  if pid_of "$dir" >/dev/null; then
    where
    return
  fi
  [[ -d "$registry_home" ]] || die "the registry is not in $tools yet: run deploy/local/fetch.sh"
  read -ra heap <<<"${TRIBUTARY_REGISTRY_HEAP:--Xmx384m}"
  mkdir -p "$dir"
  choose_port 8081 "$(cat "$dir/port" 2>/dev/null || true)"
  echo "$port" >"$dir/port"
  fresh_log
  export QUARKUS_HTTP_HOST=127.0.0.1 QUARKUS_HTTP_PORT=$port
  launch "$dir" "$owner" "${heap[@]}" -XX:-UsePerfData -Djava.awt.headless=true \
    -jar "$registry_home/apicurio-registry-app-$registry_version-runner.jar"
  await "$dir" "${TRIBUTARY_START_SECONDS:-90}" started
  where
}

act
