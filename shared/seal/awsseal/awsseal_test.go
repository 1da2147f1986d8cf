package awsseal_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/local/pocket"
	"latchkey/shared/seal"
	"latchkey/shared/seal/awsseal"
	"latchkey/shared/seal/sealtest"
)

// service speaks the part of the KMS protocol that this package uses, with real keys.
type service struct {
	keys map[string][]byte // by key id

	mu      sync.Mutex
	failure string // the exception that every call answers with; "" none
	status  int
	calls   []call
}

type call struct {
	Operation         string
	KeyID             string `json:"KeyId"`
	KeySpec           string
	CiphertextBlob    []byte
	EncryptionContext map[string]string
}

func newService() *service {
	s := &service{keys: map[string][]byte{}}
	for _, id := range []string{"key-1", "key-2"} {
		s.keys[id] = make([]byte, 32)
		rand.Read(s.keys[id])
	}
	return s
}

func (s *service) client(t testing.TB) *kms.Client {
	t.Helper()
	return kms.New(kms.Options{
		Region: "us-east-1", HTTPClient: &http.Client{Transport: pocket.Transport(s)}, RetryMaxAttempts: 1,
		Credentials: awssdk.CredentialsProviderFunc(func(context.Context) (awssdk.Credentials, error) {
			return awssdk.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}, nil
		}),
	})
}

func (s *service) fail(exception string, status int) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure, s.status = exception, status
	return func() { s.fail("", 0) }
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var c call
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		panic(err)
	}
	c.Operation = strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "TrentService.")
	s.mu.Lock()
	s.calls = append(s.calls, c)
	failure, status := s.failure, s.status
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	switch {
	case failure == "connection":
		panic(http.ErrAbortHandler)
	case failure != "":
		refuse(w, failure, status)
	case c.Operation == "GenerateDataKey":
		s.generate(w, c)
	case c.Operation == "Decrypt":
		s.decrypt(w, c)
	default:
		refuse(w, "UnknownOperationException", http.StatusBadRequest)
	}
}

func refuse(w http.ResponseWriter, exception string, status int) {
	w.WriteHeader(status)
	answer(w, map[string]any{"__type": exception, "message": "no"})
}

func answer(w http.ResponseWriter, body map[string]any) {
	if err := json.NewEncoder(w).Encode(body); err != nil {
		panic(err)
	}
}

func aead(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	a, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return a
}

func aad(c map[string]string) []byte {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(c)) {
		b = fmt.Appendf(b, "%q=%q,", name, c[name])
	}
	return b
}

func (s *service) generate(w http.ResponseWriter, c call) {
	if c.KeySpec != "AES_256" {
		refuse(w, "ValidationException", http.StatusBadRequest)
		return
	}
	plain := make([]byte, 32)
	rand.Read(plain)
	blob := append([]byte(c.KeyID), aead(s.keys[c.KeyID]).Seal(nil, nil, plain, aad(c.EncryptionContext))...)
	answer(w, map[string]any{"KeyId": c.KeyID, "Plaintext": plain, "CiphertextBlob": blob})
}

func (s *service) decrypt(w http.ResponseWriter, c call) {
	const idSize = len("key-1")
	if len(c.CiphertextBlob) < idSize || s.keys[string(c.CiphertextBlob[:idSize])] == nil {
		refuse(w, "InvalidCiphertextException", http.StatusBadRequest)
		return
	}
	id := string(c.CiphertextBlob[:idSize])
	if id != c.KeyID {
		refuse(w, "IncorrectKeyException", http.StatusBadRequest)
		return
	}
	plain, err := aead(s.keys[id]).Open(nil, nil, c.CiphertextBlob[idSize:], aad(c.EncryptionContext))
	if err != nil {
		refuse(w, "InvalidCiphertextException", http.StatusBadRequest)
		return
	}
	answer(w, map[string]any{"KeyId": id, "Plaintext": plain})
}

func TestWrapper(t *testing.T) {
	sealtest.Run(t, func(t *testing.T) sealtest.Harness {
		s := newService()
		h := sealtest.Harness{
			Wrapper: awsseal.New(s.client(t), "key-1"),
			Again:   func(t *testing.T) seal.Wrapper { return awsseal.New(s.client(t), "key-1") },
			Other:   awsseal.New(s.client(t), "key-2"),
			Outages: map[string]func() func(){"the connection breaks": func() func() { return s.fail("connection", 0) }},
		}
		for exception, status := range map[string]int{
			"AccessDeniedException": 400, "DisabledException": 400, "KMSInvalidStateException": 400, "NotFoundException": 400,
			"KeyUnavailableException": 500, "DependencyTimeoutException": 500, "KMSInternalException": 500, "ThrottlingException": 400,
			"LimitExceededException": 400, "InvalidKeyUsageException": 400, "UnrecognizedClientException": 400,
			"ExpiredTokenException": 400, "InternalFailure": 500, "ServiceUnavailable": 503,
		} {
			h.Outages[exception] = func() func() { return s.fail(exception, status) }
		}
		return h
	})
}

func TestWrapper_tells_kms_whose_secret_it_is(t *testing.T) {
	s := newService()
	w := awsseal.New(s.client(t), "key-1")
	c := seal.Context{Scope: "group/650000000000000000000001", Field: "googleCloudKms.serviceAccountKey"}
	_, wrapped, err := w.GenerateDataKey(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.OpenDataKey(t.Context(), wrapped, c); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"latchkey:scope": c.Scope, "latchkey:field": c.Field}
	for i, operation := range []string{"GenerateDataKey", "Decrypt"} {
		got := s.calls[i]
		if got.Operation != operation || got.KeyID != "key-1" || !maps.Equal(got.EncryptionContext, want) {
			t.Errorf("call %d = %s of %s with %v, want %s of key-1 with %v", i, got.Operation, got.KeyID, got.EncryptionContext, operation, want)
		}
	}
	if len(s.calls) != 2 {
		t.Errorf("%d calls, want 2", len(s.calls))
	}
}

func TestWrapper_keeps_the_cause_of_a_failure(t *testing.T) {
	s := newService()
	s.fail("DisabledException", 400)
	_, _, err := awsseal.New(s.client(t), "key-1").GenerateDataKey(t.Context(), seal.Context{Scope: "system", Field: "x"})
	if err == nil || !strings.Contains(err.Error(), "DisabledException") || errors.Is(err, seal.ErrUnopenable) {
		t.Errorf("error %v, want the exception in it", err)
	}
}
