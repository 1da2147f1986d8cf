#!/usr/bin/env bash
# Every part of the integration, in order, with a summary at the end; the rest goes on when one fails. If all have
# passed, the table in docs/verified.md has what they have verified. PARTS="mariadb cli" runs only those, and leaves the
# others' rows as they are.
. "$(dirname "$0")/lib.sh"

export PATH
PATH=$(awscli):$PATH
all=(cli transcript demo console sam template statemachines aws dynamo schemathesis mariadb)
read -ra parts <<<"${PARTS:-${all[*]}}"
rows=$work/rows # of each part, in a file of its name
mkdir "$rows"
for part in "${all[@]}"; do grep -F "| \`$part\` |" docs/verified.md >"$rows/$part" || true; done

summary='' failed=0
for part in "${parts[@]}"; do
  [ -f "integration/$part.sh" ] || fail "there is no part $part; there are: ${all[*]}"
  rm -f "$cache/matrix.tsv"
  began=$SECONDS result=passed
  if ! bash "integration/$part.sh"; then # what it fetches or starts may have failed by chance; twice is none
    say "$part failed; once more"
    result=again
    rm -f "$cache/matrix.tsv"
    bash "integration/$part.sh" || { result=FAILED; failed=$((failed + 1)); }
  fi
  awk -F '\t' '{ printf "| %s | %s | %s | %s | `%s` |\n", $1, $2, $3, $4, $5 }' "$cache/matrix.tsv" 2>/dev/null | LC_ALL=C sort >"$rows/$part" || true
  summary+=$(printf '%-14s %-6s %4d s' "$part" "$result" $((SECONDS - began)))$'\n'
done
printf '\n%s%-14s        %4d s\n' "$summary" 'in all' "$SECONDS"
[ "$failed" = 0 ] || fail "$failed of ${#parts[@]} parts failed"

{
  printf '| what | against | version | result | part |\n| --- | --- | --- | --- | --- |\n'
  for part in "${all[@]}"; do cat "$rows/$part"; done
} >"$work/table"
# It stands between the two comments of the document.
awk -v table="$work/table" '/^<!-- end/ { inside = 0 } !inside { print }
  /^<!-- begin/ { inside = 1; while ((getline line < table) > 0) print line }' docs/verified.md >"$work/verified.md"
if cmp -s "$work/verified.md" docs/verified.md; then
  say "docs/verified.md is as it was"
else
  cp "$work/verified.md" docs/verified.md
  say "docs/verified.md has changed: commit it"
fi
