package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/runtimeapi"
	"latchkey/local/template"
	"latchkey/shared/store/dynamo"
)

// deployedRegion is what local/template resolves AWS::Region to.
const deployedRegion = "us-east-1"

// isolate deploys the template into the pocket clouds and runs the functions' own programs, as
// AWS would: in processes that have nothing but their environment, with the permissions that
// the template gives them and no others.
func (s *suite) isolate(ctx context.Context, cfg config, log *slog.Logger) (*deployment, error) {
	if runtime.GOOS != "linux" {
		return nil, errors.New("-isolated needs Linux: elsewhere Go programs do not heed SSL_CERT_FILE, by which they come to trust the pocket clouds")
	}
	built := make(chan error, 1)
	programs := filepath.Join(cfg.data, "functions")
	go func() { built <- buildFunctions(ctx, cmp.Or(cfg.functions, programs), cfg.functions != "") }()
	tmpl, specs, c, err := s.deploy(ctx, cfg)
	err = errors.Join(err, <-built)
	if err != nil {
		return nil, err
	}
	network, err := s.openNetwork(ctx, cfg, c)
	if err != nil {
		return nil, err
	}
	d := &deployment{template: tmpl, clouds: c}
	var running []*runtimeapi.Function
	for _, spec := range specs {
		f := runtimeapi.New(runtimeapi.Config{
			Program: filepath.Join(cmp.Or(cfg.functions, programs), spec.Name), Name: spec.FunctionName, ARN: functionARN(spec),
			Environment: append(network.environment(), environment(spec, c.secrets.Functions[spec.Name], cfg.verbose)...),
			Timeout:     spec.Timeout, Invocations: cfg.invocations, Now: cfg.now, Log: log.With(slog.String("function", spec.Name)),
		})
		s.closers = append(s.closers, f.Close)
		running = append(running, f)
		made := lambdaFunction(spec, f)
		made.Timeout = f.Longest() // a cold start is not counted against the function's own time-out
		d.functions = append(d.functions, made)
	}
	return d, warm(ctx, specs, running)
}

// warm starts a process of every function, so that the suite is ready when it says so.
func warm(ctx context.Context, specs []template.Function, running []*runtimeapi.Function) error {
	failed := make([]error, len(running))
	var all sync.WaitGroup
	for i, f := range running {
		all.Go(func() {
			if err := f.Warm(ctx); err != nil {
				failed[i] = fmt.Errorf("functions/%s does not start: %w", specs[i].Name, err)
			}
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

// buildFunctions builds the functions' programs for this machine, as they are deployed but for
// the platform. What is up to date is left alone.
func buildFunctions(ctx context.Context, dir string, given bool) error {
	if given {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil { //nolint:gosec // G703: the user names the folder
		return fmt.Errorf("-data: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "lambda.norpc", "-o", dir+string(filepath.Separator), "latchkey/functions/...") //nolint:gosec // G204: the user names the folder
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the functions: %w\n%s", err, bytes.TrimSpace(out))
	}
	return nil
}

// deploy does what an operator and CloudFormation do: secrets, then the stack.
func (s *suite) deploy(ctx context.Context, cfg config) (*template.Template, []template.Function, *clouds, error) {
	_, specs, err := resolve(cfg.parameters)
	if err != nil {
		return nil, nil, nil, err
	}
	c, err := s.openClouds(ctx, cfg, specs)
	if err != nil {
		return nil, nil, nil, err
	}
	parameters, err := c.parameters(ctx)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("pocket Secrets Manager: %w", err)
	}
	maps.Copy(parameters, cfg.parameters)
	tmpl, specs, err := resolve(parameters)
	if err != nil {
		return nil, nil, nil, err
	}
	s.settle(specs)
	if err := c.deploy(ctx, tmpl, specs); err != nil {
		return nil, nil, nil, err
	}
	s.secrets, s.specs = c.secrets, specs
	return tmpl, specs, c, nil
}

// parameters puts Latchkey's identities into secrets, and names them as parameters of the
// template.
func (c *clouds) parameters(ctx context.Context) (map[string]string, error) {
	client := secretsmanager.NewFromConfig(c.operator())
	azure, err := putSecret(ctx, client, "latchkey/azure-app", c.secrets.AzureApp)
	if err != nil {
		return nil, err
	}
	google, err := putSecret(ctx, client, "latchkey/google-credentials", c.secrets.GoogleKey)
	return map[string]string{
		"AzureAppSecretArn": azure, "AzureHomeTenantId": operatorDirectory, "GoogleCredentialsSecretArn": google,
		// The pocket clouds' grants take effect at once, so nobody waits for them here.
		"GrantPatienceSeconds": "0",
	}, err
}

// putSecret sees to it that a secret has a value, and returns its ARN.
func putSecret(ctx context.Context, client *secretsmanager.Client, name, value string) (string, error) {
	made, err := client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, SecretString: &value})
	if err == nil {
		return aws.ToString(made.ARN), nil
	}
	if _, exists := errors.AsType[*types.ResourceExistsException](err); !exists {
		return "", err
	}
	put, err := client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: &value})
	if err != nil {
		return "", err
	}
	return aws.ToString(put.ARN), nil
}

// operator is the configuration of the operator's administrator in AWS.
func (c *clouds) operator() aws.Config {
	return awssdk.Config(c.transport, deployedRegion, c.secrets.OperatorRoot)
}

// deploy creates the resources of the template that the functions use.
func (c *clouds) deploy(ctx context.Context, tmpl *template.Template, specs []template.Function) error {
	if err := c.functionKeys(specs); err != nil {
		return err
	}
	account := awscloud.Account{ID: operatorAccount}
	for _, spec := range specs {
		role, err := functionRole(spec, c.secrets.Functions[spec.Name])
		if err != nil {
			return err
		}
		account.Roles = append(account.Roles, role)
	}
	canary, err := canaryRole(tmpl)
	if err != nil {
		return err
	}
	account.Roles = append(account.Roles, canary)
	for _, r := range tmpl.OfType("AWS::KMS::Key") {
		policy, err := json.Marshal(r.Properties["KeyPolicy"])
		if err != nil {
			return err
		}
		account.Keys = append(account.Keys, awscloud.KMSKey{ID: r.ID, Region: deployedRegion, Policy: string(policy)})
	}
	if err := c.aws.Deploy(account); err != nil {
		return err
	}
	for _, r := range tmpl.OfType("AWS::DynamoDB::Table") {
		if err := dynamo.CreateTable(ctx, dynamodb.NewFromConfig(c.operator()), r.ID); err != nil {
			return err
		}
	}
	return nil
}

// functionPolicy is the name of the one policy of each function's role.
const functionPolicy = "template"

// functionRole is the role that the template gives a function.
func functionRole(spec template.Function, keys awscloud.Keys) (awscloud.Role, error) {
	const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	policy, err := policyOf(spec.Statements)
	return awscloud.Role{
		Name: spec.FunctionName, Trust: trust, Policies: map[string]string{functionPolicy: policy}, Keys: keys, Session: spec.FunctionName,
	}, err
}

// canaryRole is the template's role that tells whether functions may assume roles at all.
func canaryRole(tmpl *template.Template) (awscloud.Role, error) {
	r, ok := tmpl.Resource("CanaryRole")
	if !ok {
		return awscloud.Role{}, errors.New("the template has no CanaryRole")
	}
	trust, err := json.Marshal(r.Properties["AssumeRolePolicyDocument"])
	return awscloud.Role{Name: fmt.Sprint(r.Properties["RoleName"]), Trust: string(trust)}, err
}

// policyOf is the IAM policy of a function's statements.
func policyOf(statements []template.Statement) (string, error) {
	var all []map[string]any
	for _, s := range statements {
		one := map[string]any{"Sid": s.Sid, "Effect": s.Effect, "Action": s.Action}
		if s.NotResource != nil {
			one["NotResource"] = s.NotResource
		} else {
			one["Resource"] = s.Resource
		}
		if s.Condition != nil {
			one["Condition"] = s.Condition
		}
		all = append(all, one)
	}
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": all})
	return string(text), err
}

// network is how the functions' processes reach the pocket clouds, and only these.
type network struct{ proxy, certificate string }

// openNetwork opens a proxy for the processes. It has a listener of its own, because they start
// before the suite serves anybody else.
func (s *suite) openNetwork(ctx context.Context, cfg config, c *clouds) (network, error) {
	proxy, err := pocket.NewProxy(c.served, cfg.now)
	if err != nil {
		return network{}, err
	}
	s.closers = append(s.closers, proxy.Close)
	path, err := filepath.Abs(filepath.Join(cfg.data, "clouds.pem"))
	if err != nil {
		return network{}, fmt.Errorf("-data: %w", err)
	}
	if err := os.WriteFile(path, proxy.Certificate(), 0o600); err != nil { //nolint:gosec // G703: the user names the folder
		return network{}, fmt.Errorf("-data: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return network{}, err
	}
	server := &http.Server{Handler: proxy, ReadHeaderTimeout: 10 * time.Second}
	s.closers = append(s.closers, server.Close)
	go server.Serve(listener) //nolint:errcheck // it ends when it is closed
	return network{proxy: "http://" + listener.Addr().String(), certificate: path}, nil
}

// environment leads the SDKs to the pocket clouds and away from this machine's own configuration.
func (n network) environment() []string {
	return []string{
		"HTTPS_PROXY=" + n.proxy, "HTTP_PROXY=" + n.proxy, "SSL_CERT_FILE=" + n.certificate, "SSL_CERT_DIR=" + os.DevNull,
		"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull, "AWS_EC2_METADATA_DISABLED=true",
		"HOME=" + filepath.Dir(n.certificate),
	}
}

// environment is what Lambda and the template put into a function's environment.
func environment(spec template.Function, keys awscloud.Keys, verbose bool) []string {
	level := "WARN"
	if verbose {
		level = "DEBUG"
	}
	variables := map[string]string{
		"AWS_REGION": deployedRegion, "AWS_DEFAULT_REGION": deployedRegion,
		"AWS_ACCESS_KEY_ID": keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY": keys.SecretAccessKey,
		"AWS_LAMBDA_FUNCTION_NAME": spec.FunctionName, "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(spec.MemorySize), "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/" + spec.FunctionName, "AWS_LAMBDA_LOG_STREAM_NAME": "local",
		"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": level,
		"_HANDLER": "bootstrap", "TZ": ":UTC", "LANG": "en_US.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin",
	}
	maps.Copy(variables, spec.Environment)
	var all []string
	for name, value := range variables {
		all = append(all, name+"="+value)
	}
	return all
}
