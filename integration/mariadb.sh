#!/usr/bin/env bash
# MariaDB under latchkey-agent, from enrolment to deletion: its tables are encrypted under a key
# that a tenant holds in AWS KMS (the pocket one); the tenant takes the key away, and the servers
# stop and cannot be started; gives it back, and every row is there. Between that the server is killed
# while AWS KMS is out of reach, the tenant's key is changed for another one, and a snapshot is restored.
# Needs Go, Python, curl, apt and a tmpfs. KEEP=1 leaves the folder of the run.
. "$(dirname "$0")/lib.sh"
. integration/suite.bash
need go python3 curl apt-get

tmpfs=${LATCHKEY_KEY_DIR:-/dev/shm}
root=$(debian mariadb 'mariadb-server=1:10.11*')
PATH=$(awscli):$root/usr/bin:$root/usr/sbin:$PATH
libraries=$(dirname "$(find "$root/usr/lib" -name 'libmariadb.so.*' | head -n 1)")
mariadbd() { LD_LIBRARY_PATH=$libraries command mariadbd "$@"; }
version=$(mariadbd --version | grep -Eo 'Ver [0-9.]+' | cut -d ' ' -f 2)
say "MariaDB $version is installed"

go build -o "$work/" ./agent/cmd/latchkey-agent
start_suite -no-fleet

say "a tenant's key in AWS KMS, and a project that uses it"
a_key
expect "it is valid" '"valid": ?true' "$(use_key "$KEY")"

say "a cluster of three nodes, each a MariaDB under an agent"
a_cluster Maria >/dev/null
operator() { curl -sS -X POST "$LAMBDA/2015-03-31/functions/operator/invocations" --data "$1"; }
waiting() { operator '{"operation":"listWaitingNodes"}' | python3 -c 'import json,sys
for n in json.load(sys.stdin)["nodes"]: print(n["clusterId"], n["nodeId"])'; }
three_wait() { [ "$(waiting | wc -l)" = 3 ]; }
within 30 "three nodes wait for their agents" three_wait
mapfile -t nodes < <(waiting)
keys=$(mktemp -d "$tmpfs/latchkey-mariadb-XXXXXX")
elsewhere+=("$keys")
mkdir "$work/snapshots"
server=(--user="$(id -un)" --basedir="$root/usr" --plugin-dir="$root/usr/lib/mysql/plugin" --lc-messages-dir="$root/usr/share/mysql"
  --bind-address=127.0.0.1 --innodb-buffer-pool-size=32M --performance-schema=OFF)
start_agent() { # its process id goes to agents[NODE]
  local i=$1
  # shellcheck disable=SC2016
  start "agent$i" env LD_LIBRARY_PATH="$libraries" "$work/latchkey-agent" -control-plane "$NODES" -state-dir "$work/state$i" \
    -enrol-token-file "$work/token$i" -name "maria$i" -key-dir "$keys" -key-format mariadb -ready "127.0.0.1:${ports[i]}" \
    -address "127.0.0.1:${ports[i]}" -data-dir "$work/data$i" -snapshot-dir "$work/snapshots" -grace 30s -max-interval 2s -- \
    integration/mariadb/serve.sh "$work/data$i" '{{or .KeyFile "-"}}' "${server[@]}" --port="${ports[i]}" --server-id=$((i + 1)) \
    --socket="$work/$i.sock" --pid-file="$work/$i.pid" --log-bin="$work/data$i/binlog"
  agents[i]=$!
}
ports=() agents=()
for i in 0 1 2; do
  read -r cluster node <<<"${nodes[i]}"
  ports[i]=$(free_port)
  operator '{"operation":"issueNodeToken","clusterId":"'"$cluster"'","nodeId":"'"$node"'"}' | get token >"$work/token$i"
  mkdir -m 700 "$work/state$i" "$work/data$i"
  start_agent "$i"
done
within 120 "the cluster is IDLE" is_idle Maria
processes() { api "$GROUP/processes" | python3 -c 'import json,sys; print(" ".join(sorted(p["typeName"] for p in json.load(sys.stdin)["results"])))'; }
are() { [ "$(processes)" = "$1" ]; }
running='REPLICA_PRIMARY REPLICA_SECONDARY REPLICA_SECONDARY' stopped='NO_DATA NO_DATA NO_DATA'
within 10 "its processes are $running" are "$running"

say "2,000 rows go into each"
cat >"$work/rows.py" <<'PY'
"""Prints SQL: the same rows each time, a few of them of half a megabyte, all with the text that is looked for afterwards."""
import hashlib
print("CREATE DATABASE shop; USE shop;")
for table, options in (("orders", ""), ("people", "ROW_FORMAT=COMPRESSED")):
    print(f"CREATE TABLE {table} (id INT PRIMARY KEY, name VARCHAR(190), note MEDIUMTEXT, INDEX (name), FULLTEXT (note)) {options};")
    print("BEGIN;")
    for i in range(1000):
        digest = hashlib.sha256(b"%d" % i).hexdigest()
        note = f"plaintext-of-mariadb {digest} " * (5000 if i % 250 == 249 else 1 + i % 40)
        print(f"INSERT INTO {table} VALUES ({i}, 'plaintext-of-mariadb {digest}', '{note}');")
    print("COMMIT;")
PY
python3 "$work/rows.py" >"$work/rows.sql"
sql() { local i=$1; shift; LD_LIBRARY_PATH=$libraries mariadb --no-defaults --socket="$work/$i.sock" --user="$(id -un)" --batch --skip-column-names "$@"; }
sums() { # what is in each server: rows and checksums
  for i in 0 1 2; do
    sql "$i" shop --execute 'SELECT COUNT(*) FROM orders; SELECT COUNT(*) FROM people; CHECKSUM TABLE orders, people EXTENDED'
  done
}
for i in 0 1 2; do sql "$i" <"$work/rows.sql"; done
before=$(sums)
sed 's/^/  /' <<<"$before"
[ "$(sort -u <<<"$before" | wc -l)" = 3 ] || fail "the servers differ"
as_before() { [ "$(sums)" = "$before" ]; }
expect "a table in the clear is refused" 'ENCRYPTED|refused|encrypt' "$(sql 0 shop --execute 'CREATE TABLE clear (a INT) ENCRYPTED=NO' 2>&1 || true)"
expect "and one of an engine that does not encrypt" 'disabled|enforce|Unknown storage engine|not' "$(sql 0 shop --execute 'CREATE TABLE clear (a INT) ENGINE=MyISAM' 2>&1 || true)"
for i in 0 1 2; do
  expect "server $i counts no tablespace in the clear" '^0$' "$(sql "$i" --execute 'SELECT COUNT(*) FROM information_schema.INNODB_TABLESPACES_ENCRYPTION WHERE ENCRYPTION_SCHEME = 0')"
done

say "what is on disk"
unreadable() {
  if grep -rlaF plaintext-of-mariadb "$work"/data? "$work"/state? "$work/snapshots"; then fail "the rows are there in the clear"; fi
  echo "  ✓ none of the rows, in $(find "$work"/data? -type f | wc -l) files of data, logs and binary logs"
}
unreadable
mkdir "$work/clear"
LD_LIBRARY_PATH=$libraries start clear integration/mariadb/serve.sh "$work/clear" - "${server[@]}" --skip-networking \
  --socket="$work/clear.sock" --pid-file="$work/clear.pid" --log-bin="$work/clear/binlog"
clear=$!
answers() { sql "$1" --execute 'SELECT 1'; }
within 60 "a server without a key, to compare with" answers clear
sql clear <"$work/rows.sql"
stop "$clear"
found=$(grep -rlaF plaintext-of-mariadb "$work/clear" | sed "s|$work/clear/||" | tr '\n' ' ')
expect "there the same rows are in $found" '^.+$' "$found"
rm -rf "$work/clear"

no_key_file() { [ -z "$(find "$keys" -mindepth 1)" ]; }
no_key_file || fail "a key file is left in $keys"
echo "  ✓ no key file is left, not even in memory"
unwrap() { # NODE, as the tenant whose key it is
  local i=$1 node=${nodes[$1]#* }
  sed 1d "$work/state$i/keys.json" >"$work/ring" # the first line is a checksum
  get current.wrapped.blob <"$work/ring" | base64 -d >"$work/wrapped"
  aws kms decrypt --ciphertext-blob "fileb://$work/wrapped" --query Plaintext --output text \
    --encryption-context "latchkey:group=$GROUP_ID,latchkey:use=master-key/$node/$(get current.keyId <"$work/ring")" 2>&1 || true
}
for i in 0 1 2; do unwrap "$i" | base64 -d; done | python3 -c 'import base64, pathlib, sys
secrets = sys.stdin.buffer.read()
assert len(secrets) == 96, "they do not open"
for path in pathlib.Path(sys.argv[1]).rglob("*"):
    content = path.read_bytes() if path.is_file() else b""
    for at in 0, 32, 64:
        secret = secrets[at:at+32]
        assert not any(form in content for form in (secret, secret.hex().encode(), base64.b64encode(secret))), path' "$work" ||
  fail "a master key is in the clear on disk"
echo "  ✓ the tenant opens the wrapped master keys; in the clear none is in any file"

say "a server is killed while AWS KMS is out of reach: it comes back by itself"
curl -sS -X POST "$CLOUDS/_pocket/faults" --data '{"host":"kms.us-east-1.amazonaws.com","fault":"down"}' >/dev/null
pid=$(cat "$work/0.pid")
kill -9 "$pid"
another() { [ "$(cat "$work/0.pid")" != "$pid" ] && answers 0; }
within 60 "another process serves" another
as_before || fail "the rows are $(sums)"
echo "  ✓ every row is there"
within 10 "the key file is gone" no_key_file
curl -sS -X DELETE "$CLOUDS/_pocket/faults" >/dev/null

say "the tenant disables the key"
aws kms disable-key --key-id "$KEY"
expect "the next check finds it" '"valid": ?false|KEY_DISABLED|INVALID' "$(check_key)"
none_runs() { for i in 0 1 2; do [ ! -e "$work/$i.pid" ] || return 1; done; }
within 150 "the servers have stopped" none_runs
within 60 "the processes are $stopped" are "$stopped"
for i in 0 1 2; do kill -0 "${agents[i]}" || fail "the agent of node $i has ended"; done
unreadable
no_key_file || fail "a key file is left in $keys"
expect "nobody can open a wrapped master key" DisabledException "$(unwrap 0)"
refuses() { # WHAT KEYFILE: a copy of the data cannot be served with that key
  rm -rf "$work/copy"
  cp -r "$work/data1" "$work/copy"
  if LD_LIBRARY_PATH=$libraries timeout 60 integration/mariadb/serve.sh "$work/copy" "$2" "${server[@]}" --skip-networking \
    --socket="$work/copy.sock" --pid-file="$work/copy.pid" >"$work/copy.txt" 2>&1; then fail "$1 it starts"; fi
  expect "$1 it does not start: $(grep -m 1 -Ei 'decrypt|encrypt' "$work/copy.txt" | cut -d ' ' -f 5-)" '.+' "$(grep -Ei 'decrypt|encrypt' "$work/copy.txt")"
}
refuses "without a key" -
(umask 077; printf '1;%064d\n' 7 >"$keys/another")
refuses "with another key" "$keys/another"
rm "$keys/another"

say "the tenant enables the key again"
aws kms enable-key --key-id "$KEY"
expect "the next check finds it" '"valid": ?true|VALID' "$(check_key)"
all_answer() { for i in 0 1 2; do answers "$i" || return; done; }
within 150 "the servers answer" all_answer
within 60 "the processes are $running" are "$running"
as_before || fail "the rows are $(sums)"
echo "  ✓ every row is there, and every checksum as it was"

say "the tenant's key is changed for another: no server notices"
OLD=$KEY KEY=$(aws kms create-key --query KeyMetadata.Arn --output text)
pids=$(cat "$work"/?.pid)
use_key "$KEY" >/dev/null
rotated() { api "$BASE/api/latchkey/v1/groups/$GROUP_ID/encryptionAtRest/keys" | grep -q '"lastChange":{"kind":"rotate-key","state":"FINISHED"'; }
within 300 "the master keys are wrapped anew" rotated
[ "$(cat "$work"/?.pid)" = "$pids" ] || fail "a server was started again"
aws kms disable-key --key-id "$OLD"
stop "${agents[2]}"
[ ! -e "$work/2.pid" ] || fail "the server outlived its agent"
start_agent 2
within 60 "with the first key disabled, an agent starts its server anew" answers 2
as_before || fail "the rows are $(sums)"
echo "  ✓ every row is there"

say "a snapshot, and the rows after it are lost"
within 120 "the cluster is IDLE" is_idle Maria
BACKUP=$GROUP/clusters/Maria/backup
SNAPSHOT=$(api -X POST "$BACKUP/snapshots" --data '{"description":"rows","retentionInDays":1}' | field id)
backups() { run_task fleettasks '{"task":"backups"}'; } # each minute otherwise
completed() { backups; [ "$(api "$BACKUP/snapshots/$SNAPSHOT" | get status)" = completed ]; }
within 300 "it is complete" completed
unreadable
within 60 "the servers answer" all_answer
for i in 0 1 2; do sql "$i" --execute 'DROP TABLE shop.people; DELETE FROM shop.orders WHERE id % 2 = 0'; done
JOB=$(api -X POST "$BACKUP/restoreJobs" --data '{"deliveryType":"automated","snapshotId":"'"$SNAPSHOT"'","targetClusterName":"Maria","targetGroupId":"'"$GROUP_ID"'"}' | field id)
restored() { backups; api "$BACKUP/restoreJobs/$JOB" | grep -q '"finishedAt"'; }
within 400 "it is restored" restored
within 60 "the servers answer" all_answer
as_before || fail "the rows are $(sums)"
echo "  ✓ every row is there, and every checksum as it was"
unreadable

say "the cluster is deleted"
api -X DELETE "$GROUP/clusters/Maria" >/dev/null
ended() { for i in 0 1 2; do ! kill -0 "${agents[i]}" || return 1; done; }
within 150 "the agents have ended" ended
[ -z "$(find "$work"/data? -mindepth 1)" ] || fail "data is left: $(find "$work"/data? -mindepth 1 | head -n 3)"
no_key_file || fail "a key file is left in $keys"
echo "  ✓ no data is left, and no key"

verified 'the agent: a database whose key comes and goes' 'MariaDB (file_key_management)' "$version" \
  'revoked, killed, restored, given another key: every row is there, none is readable without the key'
say "as it should be"
