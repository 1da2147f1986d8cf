// Package keyuse measures what it costs to use tenants' keys: checks of them, the schedule that checks
// them all, and the release of the master keys that they wrap.
//
// Its invariant: a subject is what is deployed, assembled as it is deployed, and its floor is the
// cloud's SDK alone, over the same transport, in the same run. The key services are stand-ins
// (package clouds), and so is the table: one file on this machine, where a deployment has DynamoDB.
package keyuse

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"golang.org/x/sync/errgroup"

	"latchkey/bench/clouds"
	"latchkey/bench/ratio"
	"latchkey/bench/tenancy"
	"latchkey/shared/atlas"
	"latchkey/shared/kms/keyring"
)

// latency is how long a key service takes to answer from within its region.
const latency = 20 * time.Millisecond

// Section is all of it.
func Section() ratio.Section {
	var entries []ratio.Entry
	for _, part := range [][]ratio.Entry{checks(), sweeps(), slow(), releases()} {
		entries = append(entries, part...)
	}
	return ratio.Section{Title: "Uses of tenants' keys", Entries: entries}
}

// clock is the suite's: it stands still until it is told to go on. The SDKs, and the clouds, have the
// machine's.
type clock struct {
	begin time.Time
	ahead atomic.Int64
}

func wallClock() time.Time { return time.Now() }

func newClock() *clock { return &clock{begin: wallClock().UTC().Truncate(time.Minute)} }

func (c *clock) now() time.Time { return c.begin.Add(time.Duration(c.ahead.Load())) }

func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// world is an estate, and the clouds in which its tenants' keys are.
type world struct {
	clock  *clock
	clouds *clouds.Clouds
	estate tenancy.Estate
	ring   *keyring.Keyring
}

// open opens a world without tenants. The name is that of its table.
func open(ctx context.Context, lab *ratio.Lab, name string, regions ...atlas.AWSRegion) (*world, error) {
	w := &world{clock: newClock(), clouds: clouds.New(wallClock)}
	table, err := tenancy.OpenTable(lab, name)
	if err != nil {
		return nil, err
	}
	w.estate = tenancy.Estate{Table: table, Now: w.clock.now, Regions: regions}
	w.ring, err = tenancy.Keyring(ctx, w.clouds, w.clock.now)
	return w, err
}

// bare is the floor: a client of AWS KMS alone, and what it decrypts.
type bare struct {
	client *kms.Client
	inputs []*kms.DecryptInput
}

// bareGroups are so many keys that the bare client decrypts with, in turns.
const bareGroups = 500

func (w *world) bare() (*bare, error) {
	token, _ := w.clouds.Token()
	b := &bare{client: kms.New(kms.Options{
		Region: string(w.estate.Region(0)), HTTPClient: &http.Client{Transport: w.clouds},
		Credentials: credentials.NewStaticCredentialsProvider("ASIA0123456789ABCDEF", "secret", token),
	})}
	for group := range bareGroups {
		s, err := w.estate.Settings(group)
		if err != nil {
			return nil, err
		}
		b.inputs = append(b.inputs, &kms.DecryptInput{
			KeyId: aws.String(s.AWS.KeyID), CiphertextBlob: s.AWS.Key.Probe.Sealed.Blob,
			EncryptionContext: map[string]string{"latchkey:group": s.GroupID, "latchkey:use": "probe"},
		})
	}
	return b, nil
}

// decrypt makes the i-th call.
func (b *bare) decrypt(ctx context.Context, i int) error {
	_, err := b.client.Decrypt(ctx, b.inputs[i%len(b.inputs)])
	return err
}

// rate does something n times, so many at once, and returns how many were done in a second.
func rate(ctx context.Context, n, width int, do func(ctx context.Context, i int) error) (float64, error) {
	seconds, err := ratio.WallOf(func() error {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(width)
		for i := range n {
			group.Go(func() error { return do(ctx, i) })
		}
		return group.Wait()
	})
	if err != nil {
		return 0, fmt.Errorf("one of %d: %w", n, err)
	}
	return float64(n) / seconds, nil
}
