// Package deployment is what the mains of the functions share: it reads the environment that the
// template sets and makes of it what the functions are assembled from.
//
// Its invariant: a function starts with everything that it was asked to have or not at all, and
// says every variable that is wrong at once. What links the SDK of a service is in packages below,
// so that a function holds the code of what it may do and no more: the tables of a service that it
// never calls would be a tenth of its start.
package deployment

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// Environment is what a function finds around it. Reading what is missing or wrong returns a
// zero value, and Err says so.
type Environment struct {
	AWS       aws.Config
	Transport http.RoundTripper // to tenants' clouds, and to those of the deployment beside AWS
	Now       func() time.Time
	Log       *slog.Logger

	lookup func(string) string
	failed error
}

// New returns the environment whose variables lookup finds.
func New(cfg aws.Config, lookup func(string) string, now func() time.Time, log *slog.Logger) *Environment {
	return &Environment{AWS: cfg, Transport: http.DefaultTransport, Now: now, Log: log, lookup: lookup}
}

// Run is the whole of a main: it serves invocations with the handler that assemble makes, and
// ends the program if there is none.
func Run(assemble func(ctx context.Context, env *Environment) (lambda.Handler, error)) {
	collectLate(os.Getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"))
	log := lambdacontext.NewLogger()
	handler, err := start(context.Background(), log, assemble)
	if err != nil {
		log.Error("start", slog.String("error", err.Error()))
		os.Exit(1)
	}
	lambda.Start(handler)
}

// How much of its memory a function may fill before the garbage collector works for it, and what the collector
// lets a heap grow to, in per cent of what is in use.
const (
	memoryShare = 0.75 // the rest is the program's own and the kernel's
	heapGrowth  = 400
)

// collectLate has garbage collected late. Memory is paid for whether it is used or not, and the time of the
// processor is what requests wait for: by default a function would collect its few megabytes over and over, the
// first time before its first event. The limit keeps a large request from growing beyond what there is.
func collectLate(megabytes string) {
	size, err := strconv.Atoi(megabytes)
	if err != nil {
		return // nobody knows how much there is
	}
	debug.SetMemoryLimit(int64(memoryShare * float64(size<<20)))
	debug.SetGCPercent(heapGrowth)
}

func start(
	ctx context.Context, log *slog.Logger, assemble func(ctx context.Context, env *Environment) (lambda.Handler, error),
) (lambda.Handler, error) {
	env := New(aws.Config{}, os.Getenv, time.Now, log)
	env.AWS = env.Role()
	handler, err := assemble(ctx, env)
	return handler, errors.Join(env.Err(), err)
}

// Role is the configuration of a client of AWS that acts as the function's role: the region and the
// credentials that Lambda puts into the environment, which live as long as the process. The SDK's own
// config.LoadDefaultConfig finds the same, after it has looked for profiles, single sign-on and the metadata of
// machines. A function has none of these, and it would hold their clients, whose initialisation takes a third of
// the time until a small function's first event. AWS_ENDPOINT_URL, by which every tool is pointed at something
// else than AWS, holds here too.
func (e *Environment) Role() aws.Config {
	role := aws.Config{
		Region:     e.Required("AWS_REGION"),
		HTTPClient: awshttp.NewBuildableClient(), // one for all clients, so that they share connections
		Credentials: credentials.NewStaticCredentialsProvider(
			e.Required("AWS_ACCESS_KEY_ID"), e.Required("AWS_SECRET_ACCESS_KEY"), e.Optional("AWS_SESSION_TOKEN")),
	}
	if elsewhere := e.Optional("AWS_ENDPOINT_URL"); elsewhere != "" {
		role.BaseEndpoint = &elsewhere
	}
	return role
}

// Err is what was wrong with the variables that were read.
func (e *Environment) Err() error { return e.failed }

// Fail notes that a variable is wrong.
func (e *Environment) Fail(name string, err error) {
	e.failed = errors.Join(e.failed, fmt.Errorf("%s: %w", name, err))
}

// Required reads a variable that must be set.
func (e *Environment) Required(name string) string {
	value := e.lookup(name)
	if value == "" {
		e.Fail(name, errors.New("it must be set"))
	}
	return value
}

// Optional reads a variable that may be empty.
func (e *Environment) Optional(name string) string { return e.lookup(name) }

// Count reads a whole number that is not negative.
func (e *Environment) Count(name string) uint16 {
	n, err := strconv.ParseUint(e.lookup(name), 10, 16)
	if err != nil {
		e.Fail(name, err)
		return 0
	}
	return uint16(n)
}

// EventRetention is how long events are kept.
func (e *Environment) EventRetention() time.Duration {
	return time.Duration(e.Count("EVENT_RETENTION_DAYS")) * 24 * time.Hour
}

// NodeDomain is the domain that the host names of nodes are in.
func (e *Environment) NodeDomain() string { return e.Required("NODE_DOMAIN") }
