#!/usr/bin/env bash
# tools/cluster with real processes: up, up again, status, down, and what goes wrong.
# Usage: test_cluster_script.sh SOURCE BIN
set -euo pipefail
source=$1 bin=$2
folder=$(mktemp -d)
end() {
    "$source/tools/cluster" down -c "$folder/cluster.yml" --bin "$bin" >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap end EXIT

failed() {
    echo "FAILED: $1" >&2
    tail -n 20 "$folder"/data/*.log >&2 2>/dev/null || true
    exit 1
}

read -r a b c < <(python3 -c '
import socket
s = [socket.socket() for _ in range(3)]
[x.bind(("127.0.0.1", 0)) for x in s]
print(*(x.getsockname()[1] for x in s))')
cat >"$folder/cluster.yml" <<YAML
cluster: script
data: ./data
shards: 2
replicas: 1
security: {keys: ./keys}
nodes:
  - {id: 1, listen: "tcp://127.0.0.1:$a"}
  - {id: 7, listen: "tcp://127.0.0.1:$b"}
routers:
  - {id: 1, listen: "tcp://127.0.0.1:$c"}
timezone: Asia/Shanghai
identities:
  - {name: phone, limit: 3, normalize: phone}
YAML
cluster() { "$source/tools/cluster" "$@" -c "$folder/cluster.yml" --bin "$bin"; }
pids() { cat "$folder"/data/*.pid | sort | tr '\n' ' '; }

cluster up >/dev/null || failed "up"
first=$(pids)
[ "$(wc -w <<<"$first")" -eq 3 ] || failed "three pid files"
cluster up >/dev/null || failed "up again"
[ "$(pids)" = "$first" ] || failed "up again starts nothing"
cluster status >"$folder/status" || failed "status"
grep -q '^node-7 .*pid' "$folder/status" || failed "status lists the processes"
grep -q 'shard .*serving' "$folder/status" || failed "status lists the shards"

open=$(find "$folder/data" "$folder/keys" -perm /077)
[ -z "$open" ] || failed "others may read $open"

# One that was killed is started again, the others are left alone.
victim=$(cat "$folder/data/node-7.pid")
kill -KILL "$victim"
while readlink "/proc/$victim/exe" >/dev/null 2>&1; do sleep 0.02; done
cluster up >/dev/null || failed "up after a kill"
cmp -s <(tr ' ' '\n' <<<"$first" | sort) <(pids | tr ' ' '\n' | sort) && failed "a new process was expected"

cluster down >/dev/null || failed "down"
for pid in $first; do # one that has ended has no program, but its memory takes a while with a sanitizer
    ! readlink "/proc/$pid/exe" >/dev/null || failed "$pid still runs"
done
if cluster status >/dev/null 2>&1; then failed "status of nothing is a problem"; fi
cluster down >/dev/null || failed "down again"

# A pid file that names somebody else's process does not get that process killed.
sleep 600 &
other=$!
echo "$other" >"$folder/data/node-1.pid"
cluster down >/dev/null || failed "down with a foreign pid"
kill -0 "$other" || failed "a foreign process was ended"
kill "$other"

# A process that cannot start shows its log.
sed -i 's/shards: 2/shards: 3/' "$folder/cluster.yml"
if cluster up >"$folder/out" 2>&1; then failed "up with other shards"; fi
grep -q "last lines of .*node-[17].log" "$folder/out" || failed "the log is shown"
grep -q "shards" "$folder/out" || failed "the log says what is wrong"

# Wrong usage
rc=0
"$source/tools/cluster" sideways >/dev/null 2>&1 || rc=$?
[ "$rc" -eq 2 ] || failed "wrong usage is 2"
