#!/usr/bin/env bash
# Fetches the real parts that the tests run against, by their ordinary clients, into .tools/ (or $TRIBUTARY_TOOLS):
# Apache Kafka and the Apicurio schema registry by Maven, the Python packages of the reader and of schemathesis by pip, each
# into a venv of their own.
#
#   deploy/local/fetch.sh [kafka] [registry] [reader] [schemathesis]      all of them when none is named
#
# What is there already is left alone. A part appears whole or not at all, and two runs at once wait for each other.
set -euo pipefail
me=fetch
# shellcheck source=deploy/local/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# `--strict-checksums`: a download that does not match its published checksum is an error, not a warning.
maven() {
  mvn --batch-mode --strict-checksums "$@" >"$tools/tmp/maven.log" 2>&1 || {
    grep -E 'ERROR' "$tools/tmp/maven.log" >&2 || tail -n 20 "$tools/tmp/maven.log" >&2
    die "Maven could not fetch it; all that it said is in $tools/tmp/maven.log"
  }
}
maven_dependency=org.apache.maven.plugins:maven-dependency-plugin:3.8.1

fetch_kafka() { # DIR
  cat >"$1/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tributary</groupId>
  <artifactId>local-kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_$kafka_scala</artifactId><version>$kafka_version</version>
    </dependency>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$kafka_version</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>$kafka_log4j</version>
    </dependency>
  </dependencies>
</project>
POM
  maven -f "$1/pom.xml" "$maven_dependency:copy-dependencies" -DincludeScope=runtime -DoutputDirectory="$1/libs"
}

fetch_registry() { # DIR
  maven "$maven_dependency:copy" -Dartifact="io.apicurio:apicurio-registry-app:$registry_version:tar.gz:all" \
    -DoutputDirectory="$1/download"
  tar -xzf "$1"/download/*.tar.gz -C "$1"
  rm -r "$1/download"
}

fetch_part() { # NAME HOME
  [[ ! -d "$2" ]] || return 0
  echo "fetch: $1 into $2" >&2
  local fresh=$tools/tmp/$1.$$
  rm -rf "$fresh"
  mkdir -p "$fresh"
  "fetch_$1" "$fresh"
  mv "$fresh" "$2"
}

# A venv knows its own path, so it is built in place under the name of what it holds, and LINK points to it when whole.
fetch_python() { # NAME LINK
  local requirements=$root/tests/$1/requirements.txt link=$tools/$2 venv
  venv=$link-$(sha256sum "$requirements" | cut -c1-12)
  [[ "$(readlink "$link" 2>/dev/null)" != "${venv##*/}" ]] || return 0
  echo "fetch: Python packages of $1 into $venv" >&2
  local python=/usr/bin/python3
  [[ -x $python ]] || python=python3
  rm -rf "$venv"
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: --no-deps \
    --requirement "$requirements" >&2
  "$venv/bin/python" -m pip --quiet check --disable-pip-version-check >&2
  ln -sfn "${venv##*/}" "$link.new"
  mv -T "$link.new" "$link"
}

parts=("$@")
[[ $# != 0 ]] || parts=(kafka registry reader schemathesis)
mkdir -p "$tools/tmp"
exec 9>"$tools/tmp/lock"
flock 9
trap 'rm -rf "$tools"/tmp/*.$$' EXIT
for part in "${parts[@]}"; do
  case "$part" in
    kafka) fetch_part kafka "$kafka_home" ;;
    registry) fetch_part registry "$registry_home" ;;
    reader) fetch_python reader venv ;;
    schemathesis) fetch_python schemathesis schemathesis ;;
    *)
      echo "usage: $0 [kafka] [registry] [reader] [schemathesis]" >&2
      exit 2
      ;;
  esac
done
