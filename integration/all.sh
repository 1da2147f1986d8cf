#!/usr/bin/env bash
# Every part of the integration, in order, with a summary at the end; the rest goes on when one fails. When all have
# passed, the table in docs/verified.md is what they have verified. PARTS="mariadb cli" runs only those, and writes nothing.
. "$(dirname "$0")/lib.sh"

all=(cli transcript demo sam template statemachines dynamo schemathesis mariadb)
read -ra parts <<<"${PARTS:-${all[*]}}"
[ -n "${PARTS:-}" ] || rm -f "$cache/matrix.tsv"

summary='' failed=0
for part in "${parts[@]}"; do
  began=$SECONDS result=passed
  bash "integration/$part.sh" || { result=FAILED; failed=$((failed + 1)); }
  summary+=$(printf '%-14s %-6s %4d s' "$part" "$result" $((SECONDS - began)))$'\n'
done
printf '\n%s%-14s        %4d s\n' "$summary" 'all' "$SECONDS"
[ "$failed" = 0 ] || fail "$failed of ${#parts[@]} parts failed"
[ -z "${PARTS:-}" ] || exit 0

# The rows in the order of the parts, between the two comments of the document.
for part in "${all[@]}"; do
  awk -F '\t' -v part="$part" '$5 == part' "$cache/matrix.tsv" | sort
done | awk -F '\t' 'BEGIN { print "| what | against | version | result | part |\n| --- | --- | --- | --- | --- |" }
  { printf "| %s | %s | %s | %s | `%s` |\n", $1, $2, $3, $4, $5 }' >"$work/table"
awk -v table="$work/table" '/^<!-- end/ { inside = 0 } !inside { print }
  /^<!-- begin/ { inside = 1; while ((getline line < table) > 0) print line }' docs/verified.md >"$work/verified.md"
if cmp -s "$work/verified.md" docs/verified.md; then say "docs/verified.md is as it was"; else
  cp "$work/verified.md" docs/verified.md
  say "docs/verified.md has changed: commit it"
fi
