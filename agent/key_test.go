package agent_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"latchkey/agent"
	"latchkey/agent/enginetest"
)

// containsEncoded looks for a secret in every form in which Go prints bytes.
func containsEncoded(text string, secret []byte) bool {
	for _, form := range []string{
		string(secret), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)),
		base64.StdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret),
		strings.Trim(fmt.Sprintf("%d", secret), "[]"),
	} {
		if strings.Contains(text, form) {
			return true
		}
	}
	return false
}

func TestAMasterKeyIsNeverPrinted(t *testing.T) {
	t.Parallel()
	key := enginetest.Key(65)
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		fmt.Fprintf(&out, verb+"\n", key)
		fmt.Fprintf(&out, verb+"\n", struct{ K *agent.MasterKey }{key})
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", slog.Any("key", key))
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", slog.Any("key", key))
	marshalled, err := json.Marshal(map[string]any{"key": key})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(marshalled)
	if strings.Contains(out.String(), "AAAA") || strings.Contains(out.String(), "65 65") || strings.Contains(out.String(), "4141") {
		t.Error(out.String())
	}
}

func TestADestroyedKeyIsZero(t *testing.T) {
	t.Parallel()
	key := enginetest.Key(1)
	clone := key.Clone()
	key.Destroy()
	(*agent.MasterKey)(nil).Destroy()
	for _, b := range key.Bytes() {
		if b != 0 {
			t.Fatal("the secret is still there")
		}
	}
	if clone.Bytes()[0] != 1 {
		t.Error("a clone went with it")
	}
}
