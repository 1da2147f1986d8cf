// Package awscloud is the pocket AWS: KMS, STS, IAM, the VPC endpoints of EC2 and Secrets
// Manager as Latchkey, its tenants and the AWS CLI see them, for local/pocket. Further services
// are added with Serve.
//
// It behaves as AWS does where that matters to someone who brings a key: requests are really
// signed, policies are really evaluated (key, identity, trust and session policies, across
// accounts), keys really encrypt, change state, rotate and are replicated, and a key whose
// waiting period is over is really gone. What it does not have: grants, groups, managed
// policies, permission boundaries, custom key stores, asymmetric cryptography.
//
// Its one invariant: a request is served only for a caller who proved who it is and whom the
// policies in force at that moment allow it. All time comes from Config.Now.
package awscloud

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"latchkey/local/pocket"
)

// Keys are an access key: what a user signs requests with.
type Keys struct {
	AccessKeyID     string
	SecretAccessKey string
}

// Config describes the cloud. New creates the users, roles and keys that it has not created
// before in the same state; after that they are their owners', who may change and delete them.
type Config struct {
	// Now is the time. Required.
	Now func() time.Time
	// Accounts that exist. No others do, and policies cannot name principals of others.
	Accounts []Account
	// Lag is asked at each change of a role, a user, an access key or a policy how late the
	// change takes effect, as in the eventually consistent real IAM. nil is at once.
	Lag func() time.Duration
	// SourceIP is where requests seem to come from that arrive in process or over loopback,
	// for conditions on aws:SourceIp. The zero value leaves the address as it is.
	SourceIP netip.Addr
	// EndpointDelay is asked how long a VPC endpoint takes to become available, and to go. nil is
	// 20 seconds.
	EndpointDelay func() time.Duration
	// EndpointQuota is how many VPC endpoints an account may have in a region; 0 is AWS's own
	// quota, 50.
	EndpointQuota int
}

// Account is one AWS account.
type Account struct {
	ID        string // 12 digits
	Partition string // "" is "aws"
	// Root is the access key of the account's root user, who may do everything but assume roles.
	Root  Keys
	Users []User
	Roles []Role
	Keys  []KMSKey
}

// User is an IAM user.
type User struct {
	Name     string
	Path     string            // "" is "/"
	Keys     []Keys            // at most two
	Policies map[string]string // inline policies by name
}

// Role is an IAM role.
type Role struct {
	Name     string
	Path     string            // "" is "/"
	Trust    string            // the trust policy
	Policies map[string]string // inline policies by name
	// Keys, if set, act as a session of the role that never ends, named Session: what a
	// Lambda function's credentials are, without their rotation.
	Keys    Keys
	Session string
}

// KMSKey is a symmetric key that exists from the start.
type KMSKey struct {
	ID          string // a UUID, or "mrk-" and 32 hexadecimal digits for a multi-Region key
	Region      string // "us-east-1"
	Alias       string // "alias/name"; "" is none
	Policy      string // "" leaves access to the account's IAM policies
	Description string
}

// Cloud is the pocket AWS. It is safe for concurrent use.
type Cloud struct {
	cfg      Config
	accounts map[string]Account

	// mu serialises every request: each may find a key that is due to be deleted or rotated.
	mu       sync.Mutex
	state    pocket.State
	tokenKey []byte // seals session tokens
}

// New opens the cloud that is kept in state.
func New(state pocket.State, cfg Config) (*Cloud, error) {
	if cfg.Now == nil {
		return nil, errors.New("awscloud: Config.Now is required")
	}
	if cfg.Lag == nil {
		cfg.Lag = func() time.Duration { return 0 }
	}
	c := &Cloud{cfg: cfg, state: state, accounts: map[string]Account{}}
	for _, a := range cfg.Accounts {
		if a.Partition == "" {
			a.Partition = "aws"
		}
		if !accountID.MatchString(a.ID) {
			return nil, fmt.Errorf("awscloud: account id %q has no 12 digits", a.ID)
		}
		c.accounts[a.ID] = a
	}
	if err := c.loadTokenKey(); err != nil {
		return nil, err
	}
	return c, c.seed(cfg.Accounts)
}

// Services are the services of the cloud, for pocket.New.
func (c *Cloud) Services() []pocket.Service {
	return []pocket.Service{kmsService{c}, stsService{c}, iamService{c}, ec2Service{c}, c.secretsService()}
}

// loadTokenKey makes or finds the key that session tokens are sealed with.
func (c *Cloud) loadTokenKey() error {
	const id = "token-key"
	found, err := c.state.Get(kindSystem, id, &c.tokenKey)
	if err != nil || found {
		return err
	}
	c.tokenKey = random(32)
	return c.state.Put(kindSystem, id, c.tokenKey)
}

// The kinds of document in the state.
const (
	kindSystem    = "aws/system"
	kindAccessKey = "aws/access-key" // by access key id
	kindUser      = "aws/user"       // by account/name
	kindRole      = "aws/role"       // by account/name
	kindKey       = "aws/kms-key"    // by account/region/key id
	kindFamily    = "aws/kms-family" // by account/key id
	kindAlias     = "aws/kms-alias"  // by account/region/alias name
	kindSecret    = "aws/secret"     // by account/region/name
	kindEndpoint  = "aws/endpoint"   // of a VPC, by account/region/id
)

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// uniqueID makes an id as IAM does: a prefix that tells the kind, and n characters.
func uniqueID(prefix string, n int) string {
	return prefix + base32.StdEncoding.EncodeToString(random(n))[:n]
}

func newSecret() string { return base64.RawStdEncoding.EncodeToString(random(30)) }

func newUUID() string {
	b := random(16)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	s := hex.EncodeToString(b)
	return strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")
}
