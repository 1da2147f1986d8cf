package latchkey_test

import (
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Where callers and agents are authenticated and ciphertexts are opened, secrets and what is computed from
// them are compared by crypto/subtle and crypto/hmac: == and bytes.Equal end at the first difference, and
// the time tells how far they came.

// authenticating are the folders in which that is so.
func authenticating() []string {
	return []string{
		"shared/identity", "shared/node", "shared/seal", "shared/kms", "shared/access", "shared/httpapi", "shared/suite/authorizer", "shared/suite/nodes",
		"shared/notification/webhook", "agent",
	}
}

// secretive are the names of what must not be compared byte by byte.
var secretive = regexp.MustCompile(`(?i)secret|passw|private|\bmac|hmac|sum\b|sum\(|hash|digest|signature|\bsig\b|response|token|nonce|seed|\btag\b|external|credential|masterkey|plain`)

// comparedInTheOpen are the comparisons that tell nobody anything, and why.
func comparedInTheOpen() map[string]string {
	const reason, id = "reasons are no secrets", "ids are no secrets"
	return map[string]string{
		"shared/identity/authn/authn.go: why == StaleNonce":                                           reason,
		"shared/suite/authorizer/authorizer.go: why == authn.NoCredentials":                           reason,
		"shared/suite/authorizer/metric.go: why == authn.NoCredentials":                               reason,
		"shared/node/nodeapi/door.go: code == atlas.NodeTokenRefused":                                 reason,
		"shared/node/protocol/token.go: body.ErrorCode != atlas.NodeTokenRefused":                     reason,
		"agent/heart.go: refused.Code != atlas.NodeTokenRefused":                                      reason,
		"shared/kms/awskms/awskms.go: f.Reason == verdict.OurCredentials":                             reason,
		"shared/kms/gcpkms/classify.go: k.identity.Refused() == verdict.CredentialsInvalid":           reason,
		"shared/identity/directory/account.go: s.ID == secretID":                                      id,
		"shared/identity/directory/account.go: s.ID == t.SecretID":                                    id,
		"agent/keytable/keytable.go: t.MasterKeyID != key.ID()":                                       id,
		"shared/node/protocol/token.go: parsed.Headers[0].ExtraHeaders[jose.HeaderType] != tokenType": "the type of a token is public",
		"shared/kms/gcpkms/key.go: sum.GetValue() == checksum(data).GetValue()":                       "a checksum against damage, which proves nobody",
		"shared/kms/key.go: bytes.Equal(sum[:], p.Digest)":                                            "both are the deployment's own; nobody chooses either and measures",
		"agent/dump/dump.go: tag[0] == tagRecord":                                                     "what kind of record comes next",
		"agent/dump/dump.go: tag[0] == tagEnd":                                                        "what kind of record comes next",
		"agent/snapshotdir/files.go: string(line) != magic+hex.EncodeToString(sum[:])":                "a checksum against damage, which proves nobody",
		"agent/snapshotdir/files.go: hex.EncodeToString(r.sum.Sum(nil)) != r.entry.SHA256":            "a checksum against damage, which proves nobody",
		"agent/statedir/statedir.go: string(line) != hex.EncodeToString(sum[:])":                      "a checksum against damage, which proves nobody",
	}
}

func TestTiming_secretsAreComparedInConstantTime(t *testing.T) {
	t.Parallel()
	listed := comparedInTheOpen()
	for _, folder := range authenticating() {
		err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "test/") {
				return err
			}
			for _, comparison := range comparisons(t, path) {
				if _, known := listed[comparison]; !known {
					t.Errorf("%s: use crypto/subtle or crypto/hmac, or list it with the reason why its time tells nothing", comparison)
				}
				delete(listed, comparison)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	for comparison, why := range listed {
		t.Errorf("%s is no more, and is still listed (%s)", comparison, why)
	}
}

// comparisons are those in a file of something secretive, as "path: expression".
func comparisons(t *testing.T, path string) []string {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	text := func(n ast.Node) string {
		var b strings.Builder
		if err := printer.Fprint(&b, files, n); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		var operands []ast.Expr
		switch x := n.(type) {
		case *ast.BinaryExpr:
			if x.Op == token.EQL || x.Op == token.NEQ {
				operands = []ast.Expr{x.X, x.Y}
			}
		case *ast.CallExpr:
			if isComparison(text(x.Fun)) {
				operands = x.Args
			}
		}
		if len(operands) < 2 || saysNothing(operands[0]) || saysNothing(operands[1]) {
			return true
		}
		if secretive.MatchString(text(operands[0])) || secretive.MatchString(text(operands[1])) {
			node, _ := n.(ast.Expr)
			found = append(found, path+": "+text(node))
		}
		return true
	})
	return found
}

func isComparison(function string) bool {
	switch function {
	case "bytes.Equal", "bytes.Compare", "bytes.EqualFold", "strings.Compare", "strings.EqualFold", "slices.Equal", "slices.Compare",
		"reflect.DeepEqual", "bytes.HasPrefix", "strings.HasPrefix":
		return true
	}
	return false
}

// saysNothing reports whether a comparison with an operand asks only whether there is anything, or how
// long it is, or compares with what is written in the program.
func saysNothing(e ast.Expr) bool {
	switch x := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.Ident:
		return x.Name == "nil" || x.Name == "true" || x.Name == "false" || x.Name == "err"
	case *ast.CallExpr:
		fun, isName := x.Fun.(*ast.Ident)
		return isName && fun.Name == "len"
	case *ast.CompositeLit:
		return true
	case *ast.ParenExpr:
		return saysNothing(x.X)
	}
	return false
}
