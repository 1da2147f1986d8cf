package programs

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // what Digest is made of
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"latchkey/bench/ratio"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/identity/authn"
	"latchkey/shared/identity/digest"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/keyring"
	"latchkey/shared/identity/token"
	"latchkey/shared/seal"
	"latchkey/shared/seal/fileseal"
	"latchkey/shared/store/storetest"
	"latchkey/shared/suite/authorizer"
)

// The authorizer is measured in this process, from an event to its policy: a process of its own would add the
// Runtime API, and the table a call over the network, both of which cost more than what is looked at. The table is
// in memory. The floor reads the same event, does the cryptography that the scheme cannot do without, and writes the
// same policy.

// signing makes a header that is let in, and the cryptography that the check of it cannot do without.
type signing = func(ctx context.Context, d *door) (header string, proof func() error, err error)

// authorize measures a request that is let in.
func authorize(scheme, floor string, open signing) ratio.Contest {
	return ratio.Contest{
		Name: "authorize/" + scheme, Unit: ratio.CPU, Budget: ratio.AtMost(authorized),
		Measures: "CPU time of the authorizer for a request that it lets in",
		Floor:    "the event read, " + floor + ", and the policy written",
		Open:     atDoor(open, atLeast),
	}
}

// bare compares the same with the cryptography alone.
func bare(scheme, floor string, open signing) ratio.Contest {
	c := authorize(scheme, floor, open)
	c.Name, c.Floor, c.Budget = c.Name+"/bare", floor, ratio.Budget{}
	c.Open = atDoor(open, func(_ []byte, _ events.APIGatewayCustomAuthorizerResponse, proof func() error) error { return proof() })
	return c
}

type floorOf = func(event []byte, policy events.APIGatewayCustomAuthorizerResponse, proof func() error) error

func atDoor(open signing, floor floorOf) opening {
	return func(ctx context.Context, lab *ratio.Lab) (subject, least ratio.Turn, err error) {
		d, err := openDoor(ctx, lab)
		if err != nil {
			return nil, nil, err
		}
		header, proof, err := open(ctx, d)
		if err != nil {
			return nil, nil, err
		}
		event, err := authorizerEvent(header)
		if err != nil {
			return nil, nil, err
		}
		policy, err := d.admit(ctx, event)
		return ratio.CPUPerCall(admissions, func(ctx context.Context) error {
			_, err := d.function.Invoke(ctx, event)
			return err
		}), ratio.CPUPerCall(admissions, func(context.Context) error { return floor(event, policy, proof) }), err
	}
}

// admissions are the calls of a turn: enough for CPU time that is counted in microseconds.
const admissions = 2000

// atLeast is the floor: event and policy are read and written as JSON, and the proof is checked.
func atLeast(event []byte, policy events.APIGatewayCustomAuthorizerResponse, proof func() error) error {
	var e events.APIGatewayCustomAuthorizerRequestTypeRequest
	if err := json.Unmarshal(event, &e); err != nil {
		return err
	}
	if err := proof(); err != nil {
		return err
	}
	_, err := json.Marshal(policy)
	return err
}

// door is the authorizer over a table in memory.
type door struct {
	function  *authorizer.Function
	directory *directory.Directory
	ring      keyring.Ring
}

func openDoor(ctx context.Context, lab *ratio.Lab) (*door, error) {
	wrapper, err := fileseal.Open(filepath.Join(lab.Dir, "seal.key"))
	if err != nil {
		return nil, err
	}
	table, sealer := storetest.NewMemory(), seal.New(wrapper, time.Now)
	d := &door{directory: &directory.Directory{
		Table: table, Sealer: sealer, Now: time.Now, Journal: audit.Journal{Table: table, Now: time.Now},
	}}
	keys := &keyring.Keyring{Table: table, Sealer: sealer, Now: time.Now}
	d.function = authorizer.New(authorizer.Config{
		Authenticator: &authn.Authenticator{Directory: d.directory, Keyring: keys, Now: time.Now},
		Log:           slog.New(slog.DiscardHandler), Refused: func(context.Context, authn.Reason) {},
	})
	d.ring, err = keys.Ring(ctx)
	return d, err
}

// admit returns the policy that lets a request in; it fails if the request is refused.
func (d *door) admit(ctx context.Context, event []byte) (events.APIGatewayCustomAuthorizerResponse, error) {
	var policy events.APIGatewayCustomAuthorizerResponse
	answer, err := d.function.Invoke(ctx, event)
	if err != nil {
		return policy, err
	}
	if err := json.Unmarshal(answer, &policy); err != nil {
		return policy, err
	}
	if s := policy.PolicyDocument.Statement; len(s) != 1 || s[0].Effect != "Allow" {
		return policy, errors.New("the authorizer refuses the request")
	}
	return policy, nil
}

// Where the request goes, and who sends it.
const (
	org    = "650000000000000000000002"
	group  = "650000000000000000000001"
	target = "/api/atlas/v2/groups/" + group + "/encryptionAtRest"
)

// owner are the roles of the caller.
func owner() directory.Grants { return directory.Grants{OrgRoles: []identity.Role{identity.OrgOwner}} }

// authorizerEvent is what API Gateway sends of a GET, with the headers that clients and edges add.
func authorizerEvent(authorization string) ([]byte, error) {
	headers := map[string]string{
		"Accept": "application/vnd.atlas.2025-03-12+json", "Accept-Encoding": "gzip", "Authorization": authorization,
		"Host": "abcdef.execute-api.us-east-1.amazonaws.com", "User-Agent": "terraform-provider-mongodbatlas/1.30.0",
		"X-Amzn-Trace-Id": "Root=1-65000000-000000000000000000000000", "X-Forwarded-For": "198.51.100.7",
		"X-Forwarded-Port": "443", "X-Forwarded-Proto": "https",
	}
	many := map[string][]string{}
	for name, value := range headers {
		many[name] = []string{value}
	}
	return json.Marshal(events.APIGatewayCustomAuthorizerRequestTypeRequest{
		Type: "REQUEST", MethodArn: "arn:aws:execute-api:us-east-1:123456789012:abcdef/prod/GET" + target,
		Resource: "/api/atlas/v2/groups/{groupId}/encryptionAtRest", Path: target, HTTPMethod: "GET",
		Headers: headers, MultiValueHeaders: many, PathParameters: map[string]string{"groupId": group},
		RequestContext: events.APIGatewayCustomAuthorizerRequestTypeRequestContext{
			Path: "/prod" + target, AccountID: "123456789012", ResourceID: "abc123", Stage: "prod", HTTPMethod: "GET",
			RequestID: "00000000-0000-4000-8000-000000000001", APIID: "abcdef",
			Identity: events.APIGatewayCustomAuthorizerRequestTypeRequestIdentity{SourceIP: "198.51.100.7"},
		},
	})
}

// byDigest signs with an API key. What Digest cannot do without is the HMAC of the nonce and three MD5 sums.
func byDigest(ctx context.Context, d *door) (header string, proof func() error, err error) {
	key, private, err := d.directory.CreateAPIKey(ctx, audit.System(), directory.NewAPIKey{OrgID: org, Desc: "bench", Grants: owner()})
	if err != nil {
		return "", nil, err
	}
	secret := d.ring.Current(time.Now()).Nonce
	nonce := digest.NewNonce(secret, time.Now())
	const nc, cnonce = "00000001", "0a4f113b0a4f113b"
	sum := func(parts ...string) string {
		h := md5.Sum([]byte(strings.Join(parts, ":"))) //nolint:gosec // what Digest is made of
		return hex.EncodeToString(h[:])
	}
	sign := func() string {
		return sum(sum(key.PublicKey, digest.Realm, private), nonce, nc, cnonce, "auth", sum("GET", target))
	}
	header = fmt.Sprintf(`Digest username="%s", realm="%s", nonce="%s", uri="%s", response="%s", algorithm=MD5, cnonce="%s", qop=auth, nc=%s`,
		key.PublicKey, digest.Realm, nonce, target, sign(), cnonce, nc)
	response := sign()
	return header, func() error {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(nonce))
		if mac.Sum(nil) == nil || sign() != response {
			return errors.New("the response differs")
		}
		return nil
	}, nil
}

// byBearer shows a token. What it cannot do without is the check of its signature.
func byBearer(ctx context.Context, d *door) (header string, proof func() error, err error) {
	account, _, err := d.directory.CreateServiceAccount(ctx, audit.System(), directory.NewServiceAccount{
		OrgID: org, Name: "bench", Description: "bench", Grants: owner(), SecretLife: 24 * time.Hour,
	})
	if err != nil {
		return "", nil, err
	}
	key := d.ring.Current(time.Now())
	signed, err := token.Issue(key, account.ClientID, account.Secrets[0].ID, time.Now())
	if err != nil {
		return "", nil, err
	}
	end := strings.LastIndex(signed, ".")
	signature, err := base64.RawURLEncoding.DecodeString(signed[end+1:])
	return "Bearer " + signed, func() error {
		if !ed25519.Verify(key.Public(), []byte(signed[:end]), signature) {
			return errors.New("the signature differs")
		}
		return nil
	}, err
}
