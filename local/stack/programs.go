package stack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/local/template"
)

// Network is how functions in processes of their own reach the pocket clouds, and only these.
type Network struct {
	url, certificate string

	proxy  *pocket.Proxy
	server *http.Server
}

// OpenNetwork opens a proxy for processes, whose certificate it writes into dir. It has a listener of its own,
// because processes start before anybody else is served. It is to be closed.
func (c *Clouds) OpenNetwork(ctx context.Context, dir string, now func() time.Time) (*Network, error) {
	path, err := filepath.Abs(filepath.Join(dir, "clouds.pem"))
	if err != nil {
		return nil, err
	}
	proxy, err := pocket.NewProxy(c.Served, now)
	if err != nil {
		return nil, err
	}
	n := &Network{certificate: path, proxy: proxy, server: &http.Server{Handler: proxy, ReadHeaderTimeout: 10 * time.Second}}
	if err := os.WriteFile(path, proxy.Certificate(), 0o600); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the functions' network: %w", err), n.Close())
	}
	n.url = "http://" + listener.Addr().String()
	go n.server.Serve(listener) //nolint:errcheck // it ends when it is closed
	return n, nil
}

// Close ends all connections.
func (n *Network) Close() error { return errors.Join(n.server.Close(), n.proxy.Close()) }

// Environment is all that the process of a function finds in its environment: what leads the SDKs to the pocket
// clouds and away from this machine's own configuration, and what Lambda and the template put there. logLevel is
// that of Lambda's advanced logging controls.
func (n *Network) Environment(spec template.Function, keys awscloud.Keys, logLevel string) []string {
	variables := map[string]string{
		"HTTPS_PROXY": n.url, "HTTP_PROXY": n.url, "SSL_CERT_FILE": n.certificate, "SSL_CERT_DIR": os.DevNull,
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
		"HOME":       filepath.Dir(n.certificate),
		"AWS_REGION": Region, "AWS_DEFAULT_REGION": Region,
		"AWS_ACCESS_KEY_ID": keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY": keys.SecretAccessKey,
		"AWS_LAMBDA_FUNCTION_NAME": spec.FunctionName, "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(spec.MemorySize), "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/" + spec.FunctionName, "AWS_LAMBDA_LOG_STREAM_NAME": "local",
		"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": logLevel,
		"_HANDLER": "bootstrap", "TZ": ":UTC", "LANG": "en_US.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin",
	}
	maps.Copy(variables, spec.Environment)
	var all []string
	for name, value := range variables {
		all = append(all, name+"="+value)
	}
	return all
}
