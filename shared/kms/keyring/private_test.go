package keyring_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	sdkkms "github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/pocket/azurecloud"
	"latchkey/shared/kms"
	"latchkey/shared/kms/azurekv"
	"latchkey/shared/kms/keyring"
	"latchkey/shared/verdict"
)

const (
	tenant       = "111122223333"
	directory    = "6f1b0000-0000-4000-8000-000000000002"
	home         = "6f1b0000-0000-4000-8000-0000000000aa"
	app          = "9efedfcc-2eca-4b27-a613-0cad1e114cb7"
	manager      = "https://management.azure.com"
	subscription = "/subscriptions/6f1b0000-0000-4000-8000-000000000003/resourceGroups/rg-kms"
	vaultID      = subscription + "/providers/Microsoft.KeyVault/vaults/kv-kms"
	vault        = "kv-kms.vault.azure.net"
	endpointID   = subscription + "/providers/Microsoft.Network/privateEndpoints/pec-1"
	group        = "650000000000000000000001"
)

var (
	root = awscloud.Keys{AccessKeyID: "AKIATENANTROOT000000", SecretAccessKey: "tenant-root-secret"}
	own  = awscloud.Keys{AccessKeyID: "AKIALATCHKEY00000000", SecretAccessKey: "latchkey-secret"}
)

// world is a network on which the pocket clouds are reached over TLS, and which knows every address
// that was dialled.
type world struct {
	t       *testing.T
	faults  *pocket.Faults
	inside  http.RoundTripper // not over the network
	handler http.Handler
	ca      *authority
	ring    *keyring.Keyring

	mu     sync.Mutex
	dialed []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, faults: &pocket.Faults{}, ca: newAuthority(t)}
	const assume = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}`
	instantly := func() time.Duration { return 0 }
	awsCloud, err := awscloud.New(pocket.Memory(), awscloud.Config{Now: time.Now, EndpointDelay: instantly, Accounts: []awscloud.Account{
		{ID: tenant, Root: root, Roles: []awscloud.Role{{
			Name: "r", Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"999900001111"},"Action":"sts:AssumeRole"}]}`,
			Policies: map[string]string{"use": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}`},
		}}},
		{ID: "999900001111", Users: []awscloud.User{{Name: "latchkey", Keys: []awscloud.Keys{own}, Policies: map[string]string{"assume": assume}}}},
	}})
	w.must(err)
	azure, err := azurecloud.New(azurecloud.Config{
		State: pocket.Memory(), Now: time.Now, AdminToken: "admin", Tenant: directory, EndpointDelay: instantly,
		GenerateKey: func(int) (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) },
	})
	w.must(err)
	_, err = azure.SeedApplication(azurecloud.Seed{Tenant: home, AppID: app, Name: "Latchkey", Secret: "s", MultiTenant: true})
	w.must(err)
	w.handler = pocket.New(w.faults, awscloud.Alias, append(awsCloud.Services(), azure.Services()...)...)
	w.inside = pocket.Transport(w.handler)
	w.ring, err = keyring.New(t.Context(), keyring.Config{
		Transport: &http.Transport{DialContext: w.dial, TLSClientConfig: &tls.Config{RootCAs: w.ca.pool, MinVersion: tls.VersionTLS12}},
		Now:       time.Now, AWS: credentials.NewStaticCredentialsProvider(own.AccessKeyID, own.SecretAccessKey, ""),
		Azure: azurekv.App{ClientID: app, HomeTenant: home, Secret: "s"},
	})
	w.must(err)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// dial connects to what answers at an address. To a name, that is whoever the Host header says; to
// an IP address, it is what is there in the network.
func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.dialed = append(w.dialed, host)
	w.mu.Unlock()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if net.ParseIP(host) != nil {
			r.Header.Set(pocket.AddressHeader, host)
		}
		w.handler.ServeHTTP(rw, r)
	}))
	server.TLS = &tls.Config{GetCertificate: w.ca.certificate, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	w.t.Cleanup(server.Close)
	return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
}

// took is which hosts were dialled since it was asked for last, each once, sorted.
func (w *world) took() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := slices.Clone(w.dialed)
	w.dialed = nil
	slices.Sort(all)
	return slices.Compact(all)
}

// opens encrypts and decrypts with a key.
func (w *world) opens(ref kms.Reference) error {
	w.t.Helper()
	key, err := w.ring.Renew(ref)
	if err != nil {
		return err
	}
	b := kms.Binding{GroupID: group, Use: "test"}
	sealed, err := key.Encrypt(w.t.Context(), []byte("secret"), b)
	if err != nil {
		return err
	}
	plain, err := key.Decrypt(w.t.Context(), sealed, b)
	if err == nil && string(plain) != "secret" {
		w.t.Errorf("decrypts to %q", plain)
	}
	return err
}

// expect demands how a key opens and which addresses that takes.
func (w *world) expect(ref kms.Reference, reason verdict.Reason, hosts ...string) {
	w.t.Helper()
	err := w.opens(ref)
	got := verdict.OK
	if f, ok := errors.AsType[*verdict.Failure](err); ok {
		got = f.Reason
	} else if err != nil {
		w.t.Fatal(err)
	}
	if got != reason {
		w.t.Errorf("it gives %v, want %s", err, reason)
	}
	slices.Sort(hosts)
	// Who we are is asked of STS, over a connection that may be open still.
	took := slices.DeleteFunc(w.took(), func(host string) bool { return host == "sts.us-east-1.amazonaws.com" })
	if !slices.Equal(took, hosts) {
		w.t.Errorf("dialled %v, want %v", took, hosts)
	}
}

func TestAWS_noOtherAddressIsDialledThanTheEndpoint(t *testing.T) {
	w := newWorld(t)
	cfg := awssdk.Config(w.inside, "us-east-1", root)
	made, err := sdkkms.NewFromConfig(cfg).CreateKey(t.Context(), &sdkkms.CreateKeyInput{})
	w.must(err)
	network := awscloud.DefaultNetwork(tenant, "us-east-1")
	vpce, err := ec2.NewFromConfig(cfg).CreateVpcEndpoint(t.Context(), &ec2.CreateVpcEndpointInput{
		VpcEndpointType: types.VpcEndpointTypeInterface, ServiceName: aws.String("com.amazonaws.us-east-1.kms"), VpcId: &network.VPC,
		SubnetIds: network.Subnets, PrivateDnsEnabled: aws.Bool(false),
	})
	w.must(err)
	host := *vpce.VpcEndpoint.DnsEntries[0].DnsName
	ref := func(endpoint string) kms.Reference {
		return kms.Reference{GroupID: group, AWS: &kms.AWSReference{
			KeyName: *made.KeyMetadata.Arn, Region: "us-east-1", RoleARN: "arn:aws:iam::" + tenant + ":role/r", Endpoint: endpoint,
		}}
	}
	w.expect(ref(host), verdict.OK, host)
	w.expect(ref(""), verdict.OK, "kms.us-east-1.amazonaws.com")
	_, err = w.ring.Open(ref("evil.example"))
	if f, ok := errors.AsType[*verdict.Failure](err); !ok || f.Class() != verdict.Inconclusive {
		t.Errorf("an endpoint that is none gives %v", err)
	}
	_, err = ec2.NewFromConfig(cfg).DeleteVpcEndpoints(t.Context(), &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: []string{*vpce.VpcEndpoint.VpcEndpointId}})
	w.must(err)
	w.expect(ref(host), verdict.ConnectFailed, host)
}

func TestAzure_noOtherAddressIsDialledThanTheEndpoint(t *testing.T) {
	w := newWorld(t)
	w.admin(http.MethodPut, manager+vaultID, `{"location":"eastus2","properties":{"tenantId":"`+directory+`","publicNetworkAccess":"Disabled","accessPolicies":[]}}`)
	w.admin(http.MethodPut, manager+endpointID, `{"location":"eastus2","properties":{"subnet":{"id":"/s"},"manualPrivateLinkServiceConnections":[{"name":"pec-1",
		"properties":{"privateLinkServiceId":"`+vaultID+`","groupIds":["vault"]}}]}}`)
	approve := func(status string) {
		w.admin(http.MethodPut, manager+vaultID+"/privateEndpointConnections/pec-1", `{"properties":{"privateLinkServiceConnectionState":{"status":"`+status+`"}}}`)
	}
	approve("Approved")
	shown := w.admin(http.MethodGet, manager+endpointID, "")
	_, rest, _ := strings.Cut(shown, `"ipAddresses":["`)
	address, _, _ := strings.Cut(rest, `"`)
	principal := w.admin(http.MethodPost, "https://graph.microsoft.com/v1.0/servicePrincipals", `{"appId":"`+app+`"}`)
	_, rest, _ = strings.Cut(principal, `"id":"`)
	object, _, _ := strings.Cut(rest, `"`)
	w.admin(http.MethodPut, manager+vaultID+"/accessPolicies/add", fmt.Sprintf(
		`{"properties":{"accessPolicies":[{"tenantId":%q,"objectId":%q,"permissions":{"keys":["all"]}}]}}`, directory, object))
	r := w.request(http.MethodPost, "https://"+vault+"/keys/atlas/create", `{"kty":"RSA","key_size":2048}`)
	r.Header.Set(pocket.AddressHeader, address)
	w.do(r)
	ref := func(address string) kms.Reference {
		return kms.Reference{GroupID: group, Azure: &kms.AzureReference{
			Environment: "AZURE", KeyIdentifier: "https://KV-kms.vault.azure.net/keys/atlas", TenantID: directory, ServicePrincipalID: object, AppID: app,
			PrivateAddress: address,
		}}
	}
	const login = "login.microsoftonline.com"
	w.expect(ref(address), verdict.OK, address, login)
	w.expect(ref(""), verdict.NetworkRefused, vault)
	approve("Rejected")
	w.expect(ref(address), verdict.ConnectFailed, address)
	w.expect(ref("10.0.0.1"), verdict.ConnectFailed, "10.0.0.1")
	if _, err := w.ring.Open(ref("nowhere.example")); err == nil {
		t.Error("a name is taken for an address")
	}
}

func (w *world) request(method, url, body string) *http.Request {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, url+"?api-version=2025-07-01", strings.NewReader(body))
	w.must(err)
	r.Header.Set("Authorization", "Bearer admin")
	return r
}

func (w *world) admin(method, url, body string) string { return w.do(w.request(method, url, body)) }

func (w *world) do(r *http.Request) string {
	w.t.Helper()
	resp, err := w.inside.RoundTrip(r)
	w.must(err)
	text, err := io.ReadAll(resp.Body)
	w.must(err)
	if resp.StatusCode >= 300 {
		w.t.Fatalf("%s %s: %d %s", r.Method, r.URL, resp.StatusCode, text)
	}
	return string(text)
}

// authority makes certificates for whatever name a client expects.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, pool: x509.NewCertPool()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{hello.ServerName},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, a.key.Public(), a.key)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key}, err
}
