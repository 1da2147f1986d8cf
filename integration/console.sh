#!/usr/bin/env bash
# The console in a browser that nobody here wrote: Chromium goes through every procedure of the documents, click by click,
# against the suite on this machine, while axe looks for what keeps people out. What is verified is listed in
# integration/console/README.md. Pictures of every page are left in .cache/integration/console.
# Needs Go, Node, Python, curl and apt. FILES="signin roles" runs only those of integration/console.
. "$(dirname "$0")/lib.sh"
. integration/suite.bash
need go node npm python3 curl apt-get
PATH=$(awscli):$PATH

playwright=1.65.1 axe=4.14.1
NODE_PATH=$(dirname "$(npm_install console "playwright-core@$playwright" "axe-core@$axe")")
CHROMIUM=$(command -v chromium || true)
if [ -z "$CHROMIUM" ]; then # of a machine without one, below .cache like the rest
  root=$(debian chromium chromium fonts-dejavu-core)
  CHROMIUM=$root/usr/lib/chromium/chromium
  export LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu
fi
version=$("$CHROMIUM" --version | grep -Eo '[0-9.]+' | head -n 1)
say "Chromium $version"

start_suite
# An owner of the organisation that signs in with a secret of its own, and that the tests ask the API as.
account=$(api -X POST "$BASE/api/atlas/v2/orgs/$ORG_ID/serviceAccounts" \
  --data '{"name":"console","description":"of a test","roles":["ORG_OWNER"],"secretExpiresAfterHours":8}')
CLIENT_ID=$(get clientId <<<"$account") CLIENT_SECRET=$(get secrets.0.secret <<<"$account")
SHOTS=$cache/console WORK=$work
rm -rf "$SHOTS"
export NODE_PATH CHROMIUM CLIENT_ID CLIENT_SECRET SHOTS WORK

files=(integration/console/*.test.mjs)
if [ -n "${FILES:-}" ]; then
  read -ra files <<<"$FILES"
  files=("${files[@]/%/.test.mjs}")
  files=("${files[@]/#/integration/console/}")
fi
say "${#files[@]} files of tests"
node --test --test-concurrency=4 --test-reporter=spec "${files[@]}" | tee "$work/tests.txt"
number() { sed -n "s/^ℹ $1 //p" "$work/tests.txt"; }
[ "$(number fail)" = 0 ] && [ "$(number skipped)" = 0 ] || fail "see above"
pages=$(find "$SHOTS" -name '*-desktop.png' | wc -l)
[ -n "${FILES:-}" ] || verified 'the console: every procedure of the documents' "Chromium, axe-core" "$version, $axe" \
  "$(number pass) tests pass; $pages views without a finding of WCAG 2.2 AA, light and dark, 1280 and 390 px wide"
say "as it should be"
