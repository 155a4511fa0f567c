# What the scripts of this folder share: where the tools lie, which versions, and how a server is run in a folder of
# its own. Sourced, not run.
# shellcheck shell=bash disable=SC2034

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Several checkouts may share one set of tools: every name below carries its version.
tools=${TRIBUTARY_TOOLS:-$root/.tools}

# The scripts name the versions here and nowhere else; requirements.txt in tests/reader and tests/schemathesis have those of Python.
kafka_version=4.4.0
kafka_scala=2.13
kafka_log4j=2.25.5
registry_version=2.6.13.Final
# cargo-deny, for deny.sh.
deny_version=0.20.2
kafka_home=$tools/kafka-$kafka_version
registry_home=$tools/registry-$registry_version

# `me` is the name of the script that sources this.
die() {
  echo "${me:?}: $*" >&2
  exit 1
}

java() { command "${JAVA_HOME:+$JAVA_HOME/bin/}java" "$@"; }

usage() { # what the script's own head says
  sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2
  exit 2
}

# The command line of a server's script: an action, then options. Sets action, dir, port, owner, secure and overrides.
parse_arguments() {
  [[ $# != 0 ]] || usage
  action=$1
  owner=
  secure=
  overrides=()
  shift
  while [[ $# != 0 ]]; do
    [[ $# -ge 2 ]] || usage
    case "$1" in
      --dir) dir=$2 ;;
      --port) port=$2 ;;
      --owner) owner=$2 ;;
      --secure) secure=$(realpath -m "$2") ;;
      --set) overrides+=("$2") ;;
      *) usage ;;
    esac
    shift 2
  done
  dir=$(realpath -m "$dir")
}

# Does what the command line asked for; the script that sources this brings `start` and `where`.
act() {
  case "$action" in
    start) start ;;
    stop) stop_cleanly "$dir" ;;
    restart)
      stop_cleanly "$dir"
      start
      ;;
    kill9)
      signal "$dir" KILL
      await_end "$dir" 10 || die "still there 10 s after SIGKILL"
      ;;
    pause) signal "$dir" STOP ;;
    resume) signal "$dir" CONT ;;
    status)
      pid_of "$dir" >/dev/null || die "not running in $dir"
      where
      ;;
    *) usage ;;
  esac
}

# A server's folder holds its `pid` and its `log`. A pid counts only while it is a process started for this very folder,
# so a number that the system has given to another since is never signalled. (One that has ended and has not been waited
# for has no command line, so it does not count either.)
runs_in() { # DIR PID
  [[ "$2" =~ ^[0-9]+$ ]] && tr '\0' '\n' 2>/dev/null <"/proc/$2/cmdline" | grep -qxF -- "-Dtributary.dir=$1"
} 2>/dev/null

pid_of() { # DIR
  local pid
  pid=$(cat "$1/pid" 2>/dev/null) && runs_in "$1" "$pid" && echo "$pid"
}

listens() { # PORT
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# A port nobody listens on, below the range from which the system hands out ports to outgoing connections.
free_port() {
  local port
  for _ in {1..200}; do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    listens "$port" || {
      echo "$port"
      return
    }
  done
  die "found no free port on 127.0.0.1"
}

# The port to start on: the one asked for, else the one of the last start in this folder, else the default; 0 asks for any.
choose_port() { # DEFAULT LAST
  [[ "${port:=${2:-$1}}" != 0 ]] || port=${2:-$(free_port)}
  ! listens "$port" || die "port $port of 127.0.0.1 is taken: choose another with --port"
}

# A log tells of one start; the one before is kept beside it.
fresh_log() {
  [[ ! -e "$dir/log" ]] || mv "$dir/log" "$dir/log.before"
}

# Starts Java in the background, detached from the caller's terminal and pipes, and notes its pid. With an OWNER it is
# ended when that process is gone: a test that is killed leaves no server behind.
launch() { # DIR OWNER JAVA-ARGUMENT...
  local dir=$1 owner=$2
  shift 2
  (
    cd "$dir" || exit 1
    exec setsid "${JAVA_HOME:+$JAVA_HOME/bin/}java" "-Dtributary.dir=$dir" "$@"
  ) </dev/null >>"$dir/log" 2>&1 &
  local pid=$!
  echo "$pid" >"$dir/pid"
  until runs_in "$dir" "$pid" || ! kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
  # A shell of its own that lets go of the caller's pipes, or who reads them would wait for the server's end.
  [[ -z "$owner" ]] || (
    exec </dev/null >/dev/null 2>&1
    watch_over "$dir" "$owner" "$pid" &
  )
}

watch_over() { # DIR OWNER PID
  trap '' HUP INT TERM # what ends the owner's whole process group must not end this
  while runs_in "$1" "$3"; do
    kill -0 "$2" || kill -KILL "$3"
    sleep 0.5
  done
}

# Waits for a server to be ready. On a failure: ends it, and prints why, as far as its log knows.
await() { # DIR SECONDS CHECK...
  local dir=$1 deadline=$((SECONDS + $2)) pid
  shift 2
  until "$@"; do
    if ! pid=$(pid_of "$dir"); then
      tail -n 25 "$dir/log" >&2
      die "it ended while starting; above is the end of $dir/log"
    fi
    if ((SECONDS >= deadline)); then
      kill -KILL "$pid"
      tail -n 25 "$dir/log" >&2
      die "not ready in time (TRIBUTARY_START_SECONDS sets it), so ended; above is the end of $dir/log"
    fi
    sleep 0.1
  done
}

signal() { # DIR SIGNAL
  local pid
  pid=$(pid_of "$1") || die "not running in $1"
  kill -"$2" "$pid"
}

# Waits until the process of DIR is gone.
await_end() { # DIR SECONDS
  local deadline=$((SECONDS + $2))
  while pid_of "$1" >/dev/null; do
    ((SECONDS < deadline)) || return 1
    sleep 0.05
  done
  rm -f "$1/pid"
}

stop_cleanly() { # DIR
  pid_of "$1" >/dev/null || return 0
  signal "$1" TERM
  signal "$1" CONT # a paused server cannot hear that it is to stop
  await_end "$1" 60 && return 0
  signal "$1" KILL
  await_end "$1" 10
  die "did not stop within 60 s and was killed; its log is $1/log"
}
