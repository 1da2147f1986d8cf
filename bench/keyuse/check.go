package keyuse

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	kmsapi "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"google.golang.org/api/option"

	"latchkey/bench/clouds"
	"latchkey/bench/ratio"
	"latchkey/bench/tenancy"
	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/suite"
	"latchkey/shared/validity"
	"latchkey/shared/verdict"
)

// checked is how many keys are checked, each of a tenant of its own.
const checked = 300

func checks() []ratio.Entry {
	contest := func(p atlas.Provider, name, floor string, budget ratio.Budget) ratio.Contest {
		return ratio.Contest{
			Name: "check/" + name, Measures: "one healthy check, as the schedule makes it", Floor: floor, Unit: ratio.CPU, Budget: budget,
			Open: func(ctx context.Context, lab *ratio.Lab) (subject, against ratio.Turn, err error) {
				return openCheck(ctx, lab, p)
			},
		}
	}
	fact := func(name, measures string, unit ratio.Unit, per int, count float64, of func(*checker) int64) ratio.Fact {
		return ratio.Fact{
			Name: "check/" + name, Measures: measures, Unit: unit, Budget: ratio.Exactly(count),
			Measure: func(ctx context.Context, lab *ratio.Lab) (float64, error) {
				counted, err := afterChecks(ctx, lab, "check-"+name, of)
				return float64(counted) / float64(per), err
			},
		}
	}
	return []ratio.Entry{
		contest(atlas.AWS, "aws", "one bare Decrypt of the SDK", ratio.AtMost(1.3)),
		contest(atlas.Azure, "azure", "one bare Decrypt of the SDK", ratio.Budget{}),
		contest(atlas.GCP, "google", "one bare Decrypt of the SDK", ratio.Budget{}),
		fact("calls", "calls to AWS KMS for a healthy check", "calls", rounds*checked, 1, func(c *checker) int64 {
			return c.clouds.Total() - c.clouds.Count(clouds.SignIn)
		}),
		fact("sessions", "how often each role was assumed for them all", "calls", checked, 1, func(c *checker) int64 {
			return c.clouds.Count(clouds.SignIn)
		}),
		fact("writes", "transactions in the table for a healthy check", "writes", rounds*checked, 0, func(c *checker) int64 {
			return c.estate.Table.Writes()
		}),
		fact("reads", "reads of the table for a healthy check, beside the settings", "reads", rounds*checked, 0, func(c *checker) int64 {
			return c.estate.Table.Reads() + c.estate.Table.Queries()
		}),
	}
}

// checker checks keys, each in its turn.
type checker struct {
	*world

	provider atlas.Provider
	service  *encryption.Service
	keys     []encryption.Settings
	next     int
}

func openChecker(ctx context.Context, lab *ratio.Lab, name string, p atlas.Provider) (*checker, error) {
	w, err := open(ctx, lab, name, "us-east-1")
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	c := &checker{world: w, provider: p, service: suite.Encryption(suite.EncryptionDeps{
		Table: w.estate.Table, Keys: suite.CountKeyCalls(w.ring, w.clock.now, log), Now: w.clock.now, Log: log,
	})}
	for group := range checked {
		settings, err := w.estate.SettingsAt(ctx, p, group, w.ring)
		if err != nil {
			return nil, err
		}
		c.keys = append(c.keys, settings)
	}
	return c, nil
}

// check checks the next key. Once all had their turn, time passes: checks that follow each other within
// validity.Shared would share one.
func (c *checker) check(ctx context.Context) error {
	if c.next == len(c.keys) {
		c.clock.advance(validity.Shared)
		c.next = 0
	}
	settings := c.keys[c.next]
	c.next++
	if v := c.service.Check(ctx, settings, c.provider); v.Class() != verdict.Valid {
		return fmt.Errorf("a healthy key is %s: %s", v.Class(), v.Reason)
	}
	return nil
}

func openCheck(ctx context.Context, lab *ratio.Lab, p atlas.Provider) (subject, floor ratio.Turn, err error) {
	c, err := openChecker(ctx, lab, "check-"+string(p), p)
	if err != nil {
		return nil, nil, err
	}
	decrypt, err := map[atlas.Provider]func(context.Context, *checker) (func(context.Context, int) error, error){
		atlas.AWS: bareAWS, atlas.Azure: bareAzure, atlas.GCP: bareGoogle,
	}[p](ctx, c)
	if err != nil {
		return nil, nil, err
	}
	next := 0
	return ratio.CPUPerCall(rounds*checked, c.check), ratio.CPUPerCall(rounds*checked, func(ctx context.Context) error {
		next++
		return decrypt(ctx, next%checked)
	}), nil
}

func bareAWS(_ context.Context, c *checker) (func(context.Context, int) error, error) {
	b, err := c.bare()
	if err != nil {
		return nil, err
	}
	return b.decrypt, nil
}

// held is a token that never changes.
type held string

// GetToken implements azcore.TokenCredential.
func (h held) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(h), ExpiresOn: wallClock().Add(time.Hour)}, nil
}

func bareAzure(_ context.Context, c *checker) (func(context.Context, int) error, error) {
	token, _ := c.clouds.Token()
	var clients []*azkeys.Client
	for _, s := range c.keys {
		id, err := atlas.ParseAzureKeyID(s.Azure.KeyIdentifier)
		if err != nil {
			return nil, err
		}
		client, err := azkeys.NewClient(id.VaultURL(), held(token), &azkeys.ClientOptions{
			ClientOptions: azcore.ClientOptions{Transport: &http.Client{Transport: c.clouds}}, DisableChallengeResourceVerification: true,
		})
		if err != nil {
			return nil, err
		}
		clients = append(clients, client)
	}
	algorithm := azkeys.EncryptionAlgorithmRSAOAEP256
	return func(ctx context.Context, i int) error {
		sealed := c.keys[i].Azure.Key.Probe.Sealed
		_, err := clients[i].Decrypt(ctx, tenancy.AzureKeyName, sealed.Version, azkeys.KeyOperationParameters{Algorithm: &algorithm, Value: sealed.Blob}, nil)
		return err
	}, nil
}

// as puts a token on requests.
type as struct {
	token string
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (a as) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+a.token)
	return a.next.RoundTrip(r)
}

func bareGoogle(ctx context.Context, c *checker) (func(context.Context, int) error, error) {
	token, _ := c.clouds.Token()
	client, err := kmsapi.NewKeyManagementRESTClient(ctx, option.WithHTTPClient(&http.Client{Transport: as{token, c.clouds}}),
		option.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, i int) error {
		s := c.keys[i]
		version, err := atlas.ParseGoogleKeyVersion(s.Google.KeyVersion)
		if err != nil {
			return err
		}
		_, err = client.Decrypt(ctx, &kmspb.DecryptRequest{
			Name: version.CryptoKey(), Ciphertext: s.Google.Key.Probe.Sealed.Blob, AdditionalAuthenticatedData: tenancy.GoogleData(s.GroupID),
		})
		return err
	}, nil
}

// rounds is how often each key is checked where something is counted.
const rounds = 3

// afterChecks counts something over all checks.
func afterChecks(ctx context.Context, lab *ratio.Lab, table string, of func(*checker) int64) (int64, error) {
	c, err := openChecker(ctx, lab, table, atlas.AWS)
	if err != nil {
		return 0, err
	}
	before := of(c)
	for range rounds * checked {
		if err := c.check(ctx); err != nil {
			return 0, err
		}
	}
	return of(c) - before, nil
}
