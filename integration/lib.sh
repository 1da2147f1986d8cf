# shellcheck shell=bash
# What the scripts of this folder share; a script sources it first of all:
#
#   . "$(dirname "$0")/lib.sh"
#
# It goes to the root of the repository, and ends what was started when the script ends, by process
# id and nothing else. Software made elsewhere is installed by its own client (pip, npm, Maven, apt)
# at the version that the script names, below .cache/integration, and stays there for the next run:
# nothing is installed on the machine itself, and nothing needs root.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cache=$PWD/.cache/integration
script=$(basename "$0" .sh)
work=$(mktemp -d)  # this run's files: logs, data, programs
started=()         # process ids, in the order of their start
elsewhere=()       # folders outside of $work that go when the script ends
mkdir -p "$cache"

finish() {
  local code=$? i
  trap - EXIT INT TERM
  for ((i = ${#started[@]} - 1; i >= 0; i--)); do
    kill "${started[i]}" 2>/dev/null || true
    wait "${started[i]}" 2>/dev/null || true
  done
  rm -rf "${elsewhere[@]}"
  if [ "$code" != 0 ] && [ -z "${KEEP:-}" ]; then
    for log in "$work"/*.log; do
      [ -s "$log" ] && { echo "--- $(basename "$log") ends with:"; tail -n 20 "$log"; } >&2
    done
  fi
  if [ -n "${KEEP:-}" ]; then echo "left: $work"; else rm -rf "$work"; fi
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# say TEXT... tells the reader what happens now, and how long it took until now.
say() { printf '\n== %s: %s (%d s)\n' "$script" "$*" "$SECONDS"; }
fail() { printf '%s: %s\n' "$script" "$*" >&2; exit 1; }

# need COMMAND... ends the script unless each is installed on this machine.
need() {
  local tool
  for tool in "$@"; do
    command -v "$tool" >/dev/null || fail "$tool is not installed; install it and run this again"
  done
}

# installed FOLDER WHAT COMMAND...: runs COMMAND once, to fill FOLDER with WHAT. An installation that
# is interrupted, or that holds something else, is done again; two scripts at a time wait for each other.
installed() {
  local folder=$1 what=$2; shift 2
  mkdir -p "$(dirname "$folder")"
  (
    flock 9
    [ "$(cat "$folder/.installed" 2>/dev/null)" = "$what" ] && exit
    rm -rf "$folder"; mkdir -p "$folder"
    echo "$script: installing $what" >&2
    "$@" >"$folder.log" 2>&1 || { tail -n 20 "$folder.log" >&2; fail "could not install $what; see above"; }
    printf '%s\n' "$what" >"$folder/.installed"
  ) 9>"$folder.lock"
}

# venv NAME REQUIREMENT...: an environment of Python for one tool; prints the folder of its programs.
#   moto=$(venv moto 'moto[server]==5.2.1')/moto_server
venv() {
  local folder=$cache/venv/$1; shift
  installed "$folder" "$*" fill_venv "$folder" "$@"
  printf '%s\n' "$folder/bin"
}
fill_venv() {
  local folder=$1; shift
  python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check "$@"
}

# npm_install NAME PACKAGE@VERSION...: a folder of Node packages; prints the folder of their programs.
npm_install() {
  local folder=$cache/npm/$1; shift
  installed "$folder" "$*" npm install --silent --no-audit --no-fund --prefix "$folder" "$@"
  printf '%s\n' "$folder/node_modules/.bin"
}

# maven NAME GROUP:ARTIFACT:VERSION[:TYPE[:CLASSIFIER]]...: the artifacts and all they depend on;
# prints the folder that holds the files, for `java -cp "$folder/*"`.
maven() {
  local folder=$cache/maven/$1; shift
  installed "$folder" "$*" fill_maven "$folder" "$@"
  printf '%s\n' "$folder"
}
fill_maven() {
  local folder=$1 group artifact version type classifier; shift
  {
    printf '<project><modelVersion>4.0.0</modelVersion><groupId>integration</groupId><artifactId>integration</artifactId><version>1</version><dependencies>'
    while IFS=: read -r group artifact version type classifier; do
      printf '<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version><type>%s</type>' "$group" "$artifact" "$version" "${type:-jar}"
      [ -z "$classifier" ] || printf '<classifier>%s</classifier>' "$classifier"
      printf '</dependency>'
    done < <(printf '%s\n' "$@")
    printf '</dependencies></project>'
  } >"$folder/pom.xml"
  mvn --batch-mode --quiet -f "$folder/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$folder"
}

# jar GROUP:ARTIFACT:VERSION[:TYPE[:CLASSIFIER]]: one file, without what it depends on; prints its path.
jar() {
  local folder=$cache/jar/${1//:/_}
  installed "$folder" "$1" mvn --batch-mode --quiet dependency:copy -Dartifact="$1" -DoutputDirectory="$folder"
  printf '%s\n' "$folder"/*.*
}

# debian NAME PACKAGE[=VERSION]...: Debian packages with those they depend on that this machine lacks,
# unpacked side by side; prints the folder they are unpacked in, which stands for /.
debian() {
  local folder=$cache/debian/$1; shift
  installed "$folder" "$*" fill_debian "$folder" "$@"
  printf '%s\n' "$folder"
}
fill_debian() {
  local folder=$1 apt=$1.apt file; shift
  local options=(-o Debug::NoLocking=1 -o APT::Sandbox::User= -o Dir::Cache="$apt" -o Dir::State::Lists="$apt/lists")
  mkdir -p "$apt/archives/partial" "$apt/lists/partial" # of our own, since the machine's may be missing or old
  apt-get update "${options[@]}" || return
  apt-get install --yes --download-only --no-install-recommends "${options[@]}" "$@" || return
  for file in "$apt"/archives/*.deb; do dpkg-deb --extract "$file" "$folder" || return; done
  rm -rf "$apt"
}

# awscli: the AWS CLI; prints the folder of its program.
awscli() { venv awscli 'awscli==1.45.11'; }

# free_port prints a port of 127.0.0.1 that nobody listens on.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# start NAME COMMAND...: runs COMMAND behind the script, which ends it when it ends; it writes to
# $work/NAME.log, and $! is its process id.
start() {
  local name=$1; shift
  "$@" >"$work/$name.log" 2>&1 &
  started+=("$!")
}

# stop PID ends one program that was started, and waits until it has ended.
stop() { kill "$1" 2>/dev/null || true; wait "$1" 2>/dev/null || true; }

# wait_http URL [SECONDS]: any answer will do, for what was started last; after SECONDS (60) it is a failure.
wait_http() {
  local url=$1 until=$((SECONDS + ${2:-60})) pid=${started[-1]}
  until curl --silent --insecure --output /dev/null --max-time 2 "$url"; do
    kill -0 "$pid" 2>/dev/null || fail "what should answer at $url has ended"
    [ "$SECONDS" -lt "$until" ] || fail "nothing answers at $url"
    sleep 0.2
  done
}

# verified WHAT AGAINST VERSION RESULT: a line of the matrix, which integration/all.sh puts into docs/verified.md. The
# latest run counts.
verified() {
  local matrix=$cache/matrix.tsv
  (
    flock 9
    touch "$matrix"
    awk -F '\t' -v what="$1" -v against="$2" '!($1 == what && $2 == against)' "$matrix" >"$matrix.new"
    printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" "$script" >>"$matrix.new"
    mv "$matrix.new" "$matrix"
  ) 9>"$matrix.lock"
  printf '%s: verified %s against %s %s: %s\n' "$script" "$1" "$2" "$3" "$4"
}

# start_moto [VARIABLE=VALUE...]: an AWS made elsewhere, with nothing in it. Its URL is $moto then.
moto_version=5.2.1
start_moto() {
  local programs port
  programs=$(venv moto "moto[server,all]==$moto_version")
  port=$(free_port)
  moto=http://127.0.0.1:$port
  start moto env "$@" "$programs/moto_server" -H 127.0.0.1 -p "$port"
  wait_http "$moto/moto-api/data.json"
}
