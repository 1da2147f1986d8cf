package encryption_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
)

// documented are the error codes of the public API that belong to encryption at rest and cloud
// provider access, with the status that is documented for them (CONTRACT 3.6 and 4, CLIENTS D).
var documented = map[atlas.Code]int{
	"CANNOT_DISABLE_ENCRYPTION_AT_REST":         409,
	"CANNOT_CHANGE_ENCRYPTION_AT_REST_PROVIDER": 409,
	"CANNOT_ROTATE_KEY_ENCRYPTION_DISABLED":     409,

	"AWS_CUSTOMER_MASTER_KEY_NOT_FOUND":            404,
	"AWS_KMS_CUSTOMER_MASTER_KEY_NOT_ENABLED":      400,
	"AWS_KMS_CUSTOMER_MASTER_KEY_PENDING_DELETION": 400,
	"AWS_KMS_CUSTOMER_MASTER_KEY_PENDING_IMPORT":   400,
	"AWS_KMS_REGION_NOT_SUPPORTED":                 400,
	"AWS_KMS_CREDENTIALS_AUTH_DEPRECATED":          400,
	"INVALID_AWS_CREDENTIALS":                      400,
	"CANNOT_ASSUME_ROLE":                           400,

	"AZURE_KEY_VAULT_ENVIRONMENT_NOT_SUPPORTED":     400,
	"AZURE_KEY_VAULT_KEY_EXPIRED":                   400,
	"AZURE_KEY_VAULT_KEY_EXPIRING":                  400,
	"AZURE_KEY_VAULT_KEY_IDENTIFIER_INVALID_FORMAT": 400,
	"AZURE_KEY_VAULT_KEY_NOT_ACTIVE":                400,
	"AZURE_KEY_VAULT_KEY_NOT_ENABLED":               400,
	"AZURE_KEY_VAULT_KEY_NOT_FOUND":                 400,
	"AZURE_KEY_VAULT_CREDENTIALS_DEPRECATED":        400,
	"INVALID_AZURE_API_REQUEST":                     400,
	"INVALID_AZURE_CREDENTIALS":                     400,

	"GOOGLE_CLOUD_KMS_KEY_VERSION_DESTROY_SCHEDULED":  400,
	"GOOGLE_CLOUD_KMS_KEY_VERSION_DESTROYED":          400,
	"GOOGLE_CLOUD_KMS_KEY_VERSION_DISABLED":           400,
	"GOOGLE_CLOUD_KMS_KEY_VERSION_NOT_FOUND":          400,
	"GOOGLE_CLOUD_KMS_KEY_VERSION_PENDING_GENERATION": 400,
	"INVALID_GOOGLE_CLOUD_CREDENTIALS":                400,

	"NO_PERMISSION_TO_ENCRYPT_DECRYPT":                      400,
	"ENCRYPTION_AT_REST_NOT_ENABLED":                        400,
	"ENCRYPTION_AT_REST_PROVIDER_NOT_SUPPORTED":             400,
	"ENCRYPTION_AT_REST_SETTINGS_INVALID":                   400,
	"INVALID_ENCRYPTION_AT_REST_PROVIDER":                   400,
	"MISSING_ENCRYPTION_AT_REST_PROVIDER":                   400,
	"CANNOT_USE_ENCRYPTION_AT_REST_TENANT":                  400,
	"CANNOT_USE_ENCRYPTION_AT_REST_BACKUP_TYPE":             400,
	"UNEXPECTED_ERROR":                                      500,
	"CLOUD_PROVIDER_ACCESS_ROLE_NOT_AUTHORIZED":             400,
	"CLOUD_PROVIDER_ACCESS_ROLE_NOT_FOUND":                  404,
	"AWS_IAM_ROLE_IN_USE":                                   400,
	"CANNOT_AUTHENTICATE_SERVICE_PRINCIPAL":                 400,
	"CANNOT_DOWNLOAD_SNAPSHOT_WITH_ENCRYPTION":              400,
	"INVALID_SNAPSHOT_RESTORE_ENCRYPTION":                   400,
	"ATLAS_CLUSTER_RESTORE_IN_PROGRESS":                     409,
	"TENANT_RESTORE_DESTINATION_ENCRYPTION":                 400,
	"CLOUD_PROVIDER_ACCESS_AZURE_SERVICE_PRINCIPAL_INVALID": 400,

	"ENCRYPTION_AT_REST_PRIVATE_ENDPOINT_DELETE_BLOCKED_DURING_PROVISIONING":                            400,
	"CANNOT_DISABLE_ENCRYPTION_AT_REST_DUE_TO_PRIVATE_ENDPOINTS":                                        400,
	"CANNOT_DISABLE_ENCRYPTION_AT_REST_REQUIRE_PRIVATE_NETWORKING_WHILE_PRIVATE_ENDPOINTS_EXIST":        400,
	"CANNOT_DISABLE_ENCRYPTION_AT_REST_WITH_BACKUP_COMPLIANCE_POLICY":                                   400,
	"CAN_NOT_DISABLE_ALL_ENCRYPTION_AT_REST_SETTINGS_WHILE_BACKUP_COMPLIANCE_POLICY_ENCRYPTION_ENABLED": 400,
}

// notOffered are documented codes that are never answered, with what they are about, which
// Latchkey does not offer.
var notOffered = map[atlas.Code]string{
	"CANNOT_DISABLE_ENCRYPTION_AT_REST_WITH_BACKUP_COMPLIANCE_POLICY":                                   "backup compliance policies",
	"CAN_NOT_DISABLE_ALL_ENCRYPTION_AT_REST_SETTINGS_WHILE_BACKUP_COMPLIANCE_POLICY_ENCRYPTION_ENABLED": "backup compliance policies",
	"TENANT_RESTORE_DESTINATION_ENCRYPTION":                                                             "restores of tenant clusters",
}

// scenario is a situation that an error code names.
type scenario struct {
	code atlas.Code
	when string
	// prepare creates the situation and returns the request that meets it.
	prepare func(w *world) request
	// detail is the whole sentence, where one is documented; a hint of ours may follow it.
	detail string
	// params are the parameters as JSON, "" to leave them unchecked. %s in both is what the
	// world knows as named.
	params  string
	options []option
}

// TestEveryErrorCode creates each situation in the pocket clouds and looks at the answer. What
// was stored must be as before, and no secret may be seen (which inWorld looks for).
func TestEveryErrorCode(t *testing.T) {
	for _, s := range scenarios() {
		t.Run(string(s.code)+"/"+s.when, func(t *testing.T) {
			inWorld(t, func(w *world) { s.run(w) }, s.options...)
		})
	}
}

func (s scenario) run(w *world) {
	w.t.Helper()
	r := s.prepare(w)
	before := w.stored()
	a := w.send(r)
	if a.status != s.code.Status() || a.code() != string(s.code) {
		w.t.Fatalf("%s %s\n answers %d %s\n%s", r.method, r.body, a.status, a.text, w.log.String())
	}
	if got := a.header.Get("X-Error-Code"); got != string(s.code) {
		w.t.Errorf("the header says %q", got)
	}
	if a.body["error"] != float64(s.code.Status()) {
		w.t.Errorf("the body says %v", a.body["error"])
	}
	detail, _ := a.body["detail"].(string)
	if want := strings.ReplaceAll(s.detail, "%s", w.named); want != "" && detail != want && !strings.HasPrefix(detail, want+" ") {
		w.t.Errorf("detail %q, want %q", detail, want)
	}
	if s.params != "" && a.json("parameters") != strings.ReplaceAll(s.params, "%s", w.named) {
		w.t.Errorf("parameters %s, want %s", a.json("parameters"), strings.ReplaceAll(s.params, "%s", w.named))
	}
	if diff := cmp.Diff(before, w.stored()); diff != "" {
		w.t.Errorf("the refused request changed what is stored:\n%s", diff)
	}
}

// TestEveryDocumentedCodeHasASituation holds the documented codes, the situations and the
// table of sentences together.
func TestEveryDocumentedCodeHasASituation(t *testing.T) {
	produced := map[atlas.Code]bool{}
	for _, s := range scenarios() {
		produced[s.code] = true
	}
	for code, status := range documented {
		_, never := notOffered[code]
		switch {
		case never && produced[code]:
			t.Errorf("%s is produced, and said not to be", code)
		case !never && !produced[code]:
			t.Errorf("%s is documented, and nothing here produces it", code)
		case !never && code.Status() != status:
			t.Errorf("%s has the status %d, documented is %d", code, code.Status(), status)
		}
	}
	for code := range notOffered {
		if _, ok := documented[code]; !ok {
			t.Errorf("%s is not offered, and not documented either", code)
		}
	}
}

var update = flag.Bool("update", false, "write the table of error codes into docs/design.md")

// TestTheTableOfCodes compares the table in docs/design.md with the situations above.
func TestTheTableOfCodes(t *testing.T) {
	const (
		path       = "../../../docs/design.md"
		begin, end = "<!-- codes: begin -->\n", "<!-- codes: end -->"
	)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, hasBegin := strings.Cut(string(text), begin)
	old, after, hasEnd := strings.Cut(rest, end)
	if !hasBegin || !hasEnd {
		t.Fatalf("%s lacks the marks of the table", path)
	}
	want := codeTable()
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, old); diff != "" {
		t.Errorf("run the tests of this package with -update (-want +got):\n%s", diff)
	}
}

func codeTable() string {
	situations := map[atlas.Code][]string{}
	for _, s := range scenarios() {
		situations[s.code] = append(situations[s.code], s.when)
	}
	for code, feature := range notOffered {
		situations[code] = []string{"*" + feature + " are not offered*"}
	}
	var b strings.Builder
	b.WriteString("| status | code | situations |\n|---|---|---|\n")
	codes := slices.SortedFunc(maps.Keys(situations), func(x, y atlas.Code) int { return strings.Compare(string(x), string(y)) })
	for _, code := range codes {
		status, mark := code.Status(), ""
		if s, ok := documented[code]; ok {
			status = s
		} else {
			mark = " †"
		}
		fmt.Fprintf(&b, "| %d | `%s`%s | %s |\n", status, code, mark, strings.Join(situations[code], " · "))
	}
	return b.String()
}
