#!/usr/bin/env bash
# AWS SAM's own command over the template, samconfig.toml and the Makefile: validate --lint, build, and
# cfn-lint over the template as it is written and as SAM's translator expands it. Needs Go, make and Python.
. "$(dirname "$0")/lib.sh"
need go git make python3 file

sam_version=1.170.0
programs=$(venv sam "aws-sam-cli==$sam_version")
lint=$("$programs/cfn-lint" --version | awk '{print $2}')
export SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 AWS_ACCESS_KEY_ID=AKIDEXAMPLE AWS_SECRET_ACCESS_KEY=secret

say "cfn-lint $lint"
"$programs/cfn-lint" template.yaml
"$programs/python" integration/expand.py template.yaml artifacts >"$work/expanded.json"
# Only errors count: what was left out for moto, and the style of what SAM makes, are not the template's.
"$programs/cfn-lint" --ignore-checks W --ignore-checks I -- "$work/expanded.json"
verified 'template: lint, as written and expanded' cfn-lint "$lint" 'no findings in the template, no errors in what SAM makes of it'

say "sam validate, SAM CLI $sam_version"
"$programs/sam" validate # lint = true in samconfig.toml
verified 'template: sam validate --lint' 'SAM CLI' "$sam_version" 'a valid SAM template'

say 'sam build'
# For each function it copies all there is beside the template, this cache included; so it gets the files alone.
mkdir "$work/source"
git ls-files -z | tar --create --null --files-from=- | tar --extract --directory "$work/source"
(cd "$work/source" && "$programs/sam" build --build-dir "$work/build")
built=0
for function in "$work"/build/*Function; do
  file --brief "$function/bootstrap" | grep -q 'ELF 64-bit.*ARM aarch64.*statically linked' || fail "$function/bootstrap is no program for Lambda: $(file "$function/bootstrap")"
  built=$((built + 1))
done
[ "$built" = "$(find functions -mindepth 2 -maxdepth 2 -name main.go | wc -l)" ] || fail "$built functions were built"
verified 'template: sam build by the Makefile' 'SAM CLI' "$sam_version" "$built functions, each a static bootstrap for arm64"
say 'done'
