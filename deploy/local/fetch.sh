#!/usr/bin/env bash
# Fetches the real parts that the tests run against, by their ordinary clients, into .tools/ (or $TRIBUTARY_TOOLS):
# Apache Kafka and the Apicurio schema registry by Maven, the reader's Python packages by pip into a venv of their own.
#
#   deploy/local/fetch.sh [kafka] [registry] [reader]      all three when none is named
#
# What is there already is left alone. A part appears whole or not at all, and two runs at once wait for each other.
set -euo pipefail
me=fetch
# shellcheck source=deploy/local/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

requirements=$root/tests/reader/requirements.txt
reader_venv=$tools/venv-$(sha256sum "$requirements" | cut -c1-12)

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

# A venv knows its own path, so it is built in place under the name of what it holds, and `venv` points to it when whole.
fetch_reader() {
  [[ "$(readlink "$tools/venv" 2>/dev/null)" != "${reader_venv##*/}" ]] || return 0
  echo "fetch: Python packages of the reader into $reader_venv" >&2
  local python=/usr/bin/python3
  [[ -x $python ]] || python=python3
  rm -rf "$reader_venv"
  "$python" -m venv "$reader_venv"
  "$reader_venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: --no-deps \
    --requirement "$requirements" >&2
  "$reader_venv/bin/python" -m pip --quiet check --disable-pip-version-check >&2
  ln -sfn "${reader_venv##*/}" "$tools/venv.new"
  mv -T "$tools/venv.new" "$tools/venv"
}

parts=("$@")
[[ $# != 0 ]] || parts=(kafka registry reader)
mkdir -p "$tools/tmp"
exec 9>"$tools/tmp/lock"
flock 9
trap 'rm -rf "$tools"/tmp/*.$$' EXIT
for part in "${parts[@]}"; do
  case "$part" in
    kafka) fetch_part kafka "$kafka_home" ;;
    registry) fetch_part registry "$registry_home" ;;
    reader) fetch_reader ;;
    *)
      echo "usage: $0 [kafka] [registry] [reader]" >&2
      exit 2
      ;;
  esac
done
