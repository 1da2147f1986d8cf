// Package functions_test holds the programs of the functions against what they may link.
package functions_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The modules of services, by which a function is told apart from others: what a service's SDK does when its
// packages are initialised is part of each start, whether it is called or not.
const (
	dynamoDB      = "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ec2           = "github.com/aws/aws-sdk-go-v2/service/ec2"
	eventBridge   = "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	awsKMS        = "github.com/aws/aws-sdk-go-v2/service/kms"
	secrets       = "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	ses           = "github.com/aws/aws-sdk-go-v2/service/sesv2"
	stepFunctions = "github.com/aws/aws-sdk-go-v2/service/sfn"
	sns           = "github.com/aws/aws-sdk-go-v2/service/sns"
	sts           = "github.com/aws/aws-sdk-go-v2/service/sts"

	azureIdentity = "github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	azureKeys     = "github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	azureNetwork  = "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v6"

	googleKMS  = "cloud.google.com/go/kms"
	googleAuth = "golang.org/x/oauth2"
	grpc       = "google.golang.org/grpc" // of Google's SDK

	htmlTemplate = "html/template" // of the standard library: a tenth of a small start
)

// keys are what a function links that uses tenants' keys. Google's tracing brings html/template along.
var keys = []string{awsKMS, sts, azureIdentity, azureKeys, googleKMS, googleAuth, grpc, secrets, htmlTemplate}

// linked is what each function calls, and so may link.
var linked = map[string][]string{
	"adminapi":     {dynamoDB, awsKMS, stepFunctions},
	"authorizer":   {dynamoDB, awsKMS},
	"console":      {awsKMS, htmlTemplate},
	"encryption":   append([]string{dynamoDB, stepFunctions}, keys...),
	"fleettasks":   {dynamoDB, stepFunctions},
	"keytasks":     append([]string{dynamoDB}, keys...),
	"networktasks": {dynamoDB, stepFunctions, ec2, azureIdentity, azureNetwork, secrets},
	"nodes":        append([]string{dynamoDB}, keys...),
	"notify":       {dynamoDB, awsKMS, eventBridge, ses, sns},
	"operator":     {dynamoDB, awsKMS},
	"remind":       {dynamoDB},
	"validate":     append([]string{dynamoDB, stepFunctions}, keys...),
}

// support are modules that the services' SDKs share, and that do little when they are initialised.
var support = []string{
	"github.com/aws/aws-sdk-go-v2", "github.com/aws/aws-sdk-go-v2/credentials", "github.com/aws/aws-sdk-go-v2/aws/protocol/",
	"github.com/aws/aws-sdk-go-v2/internal/", "github.com/aws/aws-sdk-go-v2/service/internal/",
	"github.com/Azure/azure-sdk-for-go/sdk/azcore", "github.com/Azure/azure-sdk-for-go/sdk/internal",
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/internal",
}

// googles are modules of Google's that come with those in the table.
var googles = []string{
	"cloud.google.com/go/auth", "cloud.google.com/go/auth/oauth2adapt", "cloud.google.com/go/compute/metadata", "cloud.google.com/go/iam",
	"cloud.google.com/go/longrunning", "google.golang.org/api",
}

// program is a package as go list describes it.
type program struct {
	ImportPath string
	Standard   bool
	Module     *struct{ Path string }
}

// dependencies are the packages that a function links.
func dependencies(t *testing.T, function string) []program {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-tags", "lambda.norpc", "-deps", "-json=ImportPath,Standard,Module", "./"+function)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []program
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p program
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// sdk is what a package is of: a module of a cloud's SDK, or a package that is expensive by itself; "" if neither.
func sdk(p program) string {
	switch {
	case p.ImportPath == htmlTemplate:
		return htmlTemplate
	case p.Module == nil:
		return ""
	}
	name := p.Module.Path
	isOurs := func(of string) bool { return name == of || strings.HasSuffix(of, "/") && strings.HasPrefix(name, of) }
	if slices.ContainsFunc(support, isOurs) || slices.Contains(googles, name) {
		return ""
	}
	for _, cloud := range []string{"github.com/aws/aws-sdk-go", "github.com/Azure/", "cloud.google.com/", "google.golang.org/api", grpc, googleAuth} {
		if strings.HasPrefix(name, cloud) {
			return name
		}
	}
	return ""
}

func TestFunctionsLinkTheSDKsThatTheyCall(t *testing.T) {
	folders, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		function := folder.Name()
		if !folder.IsDir() || function == "internal" {
			continue
		}
		t.Run(function, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, p := range dependencies(t, function) {
				if name := sdk(p); name != "" {
					got = append(got, name)
				}
			}
			slices.Sort(got)
			want := slices.Sorted(slices.Values(linked[function]))
			if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
				t.Errorf("it may link (-) and links (+):\n%s", diff)
			}
		})
	}
}
