package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"latchkey"
	"latchkey/local/gateway"
	"latchkey/local/lambdasvc"
	"latchkey/local/pocket"
	"latchkey/local/template"
	"latchkey/shared/httpapi/apigw"
	"latchkey/shared/identity/authn"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/keyring"
	"latchkey/shared/seal"
	"latchkey/shared/seal/fileseal"
	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
	"latchkey/shared/suite/adminapi"
	"latchkey/shared/suite/authorizer"
)

// suite is everything that runs.
type suite struct {
	gateway http.Handler
	lambda  *lambdasvc.Service
	clouds  http.Handler

	at      addresses
	closers []func() error // in the order of opening
}

// surroundings are what the functions have in the place of AWS.
type surroundings struct {
	table  store.Table
	sealer *seal.Sealer
	now    func() time.Time
	log    *slog.Logger
}

// open opens the data, makes the functions of the template and puts the gateway in front.
func open(cfg config, at addresses, log *slog.Logger) (_ *suite, err error) {
	s := &suite{at: at}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	tmpl, err := template.Parse(latchkey.Template(), template.Options{Parameters: cfg.parameters})
	if err != nil {
		return nil, err
	}
	around, err := s.surroundings(cfg, log)
	if err != nil {
		return nil, err
	}
	functions, err := makeFunctions(tmpl, around)
	if err != nil {
		return nil, err
	}
	s.clouds = pocket.New(&pocket.Faults{}, func(*http.Request) string { return "" })
	s.lambda = lambdasvc.New(functions, time.Now, log)
	byID := map[string]lambdasvc.Invoker{}
	for _, f := range functions {
		byID[f.ID] = f
	}
	s.gateway, err = gateway.New(gateway.Config{Template: tmpl, Functions: byID, Now: time.Now, Log: log})
	return s, err
}

func (s *suite) surroundings(cfg config, log *slog.Logger) (surroundings, error) {
	table, err := bolt.Open(filepath.Join(cfg.data, "table.db"))
	if err != nil {
		return surroundings{}, fmt.Errorf("-data: %w", err)
	}
	s.closers = append(s.closers, table.Close)
	wrapper, err := fileseal.Open(filepath.Join(cfg.data, "seal.key"))
	if err != nil {
		return surroundings{}, fmt.Errorf("-data: %w", err)
	}
	return surroundings{table: table, sealer: seal.New(wrapper, time.Now), now: time.Now, log: log}, nil
}

func makeFunctions(tmpl *template.Template, around surroundings) ([]lambdasvc.Function, error) {
	specs, err := tmpl.Functions()
	if err != nil {
		return nil, err
	}
	var functions []lambdasvc.Function
	for _, spec := range specs {
		handler, err := makeHandler(spec, around)
		if err != nil {
			return nil, fmt.Errorf("functions/%s: %w", spec.Name, err)
		}
		functions = append(functions, lambdasvc.Function{
			ID: spec.ID, Name: spec.Name, FunctionName: spec.FunctionName, Timeout: spec.Timeout, Handler: handler,
			ARN: "arn:aws:lambda:us-east-1:123456789012:function:" + spec.FunctionName,
		})
	}
	return functions, nil
}

// makeHandler makes the function of one directory under functions/, as its main package does.
func makeHandler(spec template.Function, around surroundings) (lambdasvc.Invoker, error) {
	around.log = around.log.With(slog.String("function", spec.Name))
	switch spec.Name {
	case "authorizer":
		return authorizerFunction(around), nil
	case "adminapi":
		return adminapiFunction(around, spec.Environment)
	}
	return missing{}, nil
}

// missing is a function of the template that this program does not have.
type missing struct{}

// Invoke fails.
func (missing) Invoke(context.Context, []byte) ([]byte, error) {
	return nil, errors.New("this program does not have the function")
}

func authorizerFunction(s surroundings) lambdasvc.Invoker {
	return authorizer.New(authorizer.Config{
		Authenticator: &authn.Authenticator{
			Directory: &directory.Directory{Table: s.table, Sealer: s.sealer, Now: s.now},
			Keyring:   &keyring.Keyring{Table: s.table, Sealer: s.sealer, Now: s.now},
			Now:       s.now,
		},
		Log:     s.log,
		Refused: func(context.Context, authn.Reason) {},
	})
}

func adminapiFunction(s surroundings, env map[string]string) (lambdasvc.Invoker, error) {
	days, err := strconv.Atoi(env["EVENT_RETENTION_DAYS"])
	if err != nil {
		return nil, fmt.Errorf("EVENT_RETENTION_DAYS: %w", err)
	}
	addresses, err := adminapi.ParseControlPlane([]byte(env["CONTROL_PLANE_IPS"]), "us-east-1")
	if err != nil {
		return nil, fmt.Errorf("CONTROL_PLANE_IPS: %w", err)
	}
	return apigw.New(adminapi.New(adminapi.Deps{
		Table: s.table, Sealer: s.sealer, Now: s.now, Log: s.log,
		EventRetention: time.Duration(days) * 24 * time.Hour, ControlPlane: addresses,
	})), nil
}

// welcome prints where everything is.
func (s *suite) welcome(w io.Writer) {
	fmt.Fprintf(w, "API      http://%s\nclouds   http://%s\nLambda   http://%s\n", s.at.api, s.at.clouds, s.at.lambda) //nolint:errcheck // nobody reads it
}

// close ends what was opened.
func (s *suite) close() error {
	if s.lambda != nil {
		s.lambda.Wait()
	}
	var failed error
	for _, closer := range slices.Backward(s.closers) {
		failed = errors.Join(failed, closer())
	}
	return failed
}
