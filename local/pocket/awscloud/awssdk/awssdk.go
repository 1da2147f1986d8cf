// Package awssdk makes configurations of the real AWS SDK that reach the pocket AWS: for tests
// and for the local suite. Its one invariant: nothing it makes reads the environment or the
// network of the machine.
package awssdk

import (
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"latchkey/local/pocket/awscloud"
)

// Config is a configuration that signs with keys and sends over transport: pocket.Transport or
// pocket.Redirect.
func Config(transport http.RoundTripper, region string, keys awscloud.Keys) aws.Config {
	return aws.Config{
		Region:      region,
		Credentials: credentials.NewStaticCredentialsProvider(keys.AccessKeyID, keys.SecretAccessKey, ""),
		HTTPClient:  &http.Client{Transport: transport},
	}
}
