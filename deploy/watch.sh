#!/usr/bin/env bash
# `make watch` runs the server and, if it is installed, Prometheus, and prints each address once it answers.
# It takes the flags of `inkstream-server serve`; PROMETHEUS_ADDRESS is the address at which Prometheus listens.
# Ctrl-C ends both.
set -euo pipefail
settings=$(dirname "$0")/prometheus
address=${PROMETHEUS_ADDRESS:-127.0.0.1:9090}
scratch=$(mktemp -d)
trap 'kill $(jobs -p) 2> /dev/null || :; wait; rm -rf "$scratch"' EXIT
trap 'exit 0' INT TERM

# await PID COMMAND...: waits until the command succeeds; fails if the process ends first.
await() {
  until "${@:2}"; do
    kill -0 "$1" 2> /dev/null || return 1
    sleep 0.2
  done
}

inkstream-server serve "$@" --ready-file "$scratch/ready.json" &
server=$!
await $server test -e "$scratch/ready.json" || { wait $server; exit; }
metrics=$(sed 's#.*"metrics": "http://\([^"]*\)/metrics".*#\1#' "$scratch/ready.json")
echo "status      http://$metrics/"

if command -v prometheus > /dev/null; then
  cp "$settings"/{rules,alerts}.yml "$scratch"
  sed "s/127\.0\.0\.1:9464/$metrics/; s/127\.0\.0\.1:9090/$address/" "$settings/prometheus.yml" > "$scratch/prometheus.yml"
  prometheus --config.file="$scratch/prometheus.yml" --storage.tsdb.path="$scratch/data" \
    --web.listen-address="$address" &> "$scratch/prometheus.log" &
  if await $! grep -q "ready to receive web requests" "$scratch/prometheus.log"; then
    echo "Prometheus  http://$address/alerts"
  else
    echo "Prometheus  did not start; PROMETHEUS_ADDRESS=127.0.0.1:9091 is another port: $(tail -n 1 "$scratch/prometheus.log")"
  fi
else
  echo "Prometheus  is not installed: the server's own page is all there is"
fi
wait $server
